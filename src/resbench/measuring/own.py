"""The papers' networks: planned from the claims, trained, lesioned and recorded, one after the other.

The order is that of :mod:`resbench.measuring.planning`.  Whatever is finished is on disk: a training's state every few
minutes, a network when it is trained, a result when it is measured; a run that ends at any moment goes on there.
Several processes may share a plan: each takes the networks that no other is at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resbench.errors import Damaged, UserError
from resbench.measuring.course import Course, Stopped, current
from resbench.measuring.planning import Need, Work, experiments_of, needs_of, planned, selected, steps
from resbench.measuring.trained import Places, Shelf, Tested, check_training, known_pace, memory_errors, provenance
from resbench.measuring.work import estimate, step_work
from resbench.records.evidence import Evidence, Subject, evidence_path, read_evidence
from resbench.records.locking import Held, held
from resbench.records.places import baselines
from resbench.records.results import Request
from resbench.records.versions import NETWORKS, VERSIONS

if TYPE_CHECKING:
    from resbench.training.checkpoints import Saved
    from resbench.training.recipes import Recipe

__all__ = ["CLAIMED", "OwnOptions", "measure_own"]

CLAIMED: Mapping[str, str] = {"cifar10-short": "cifar10"}
"""A setting without claims of its own is planned by those of another."""
_PACE_SECONDS = 60.0
"""A pace is written at once; who holds the file for longer is not at it."""


@dataclass(frozen=True)
class OwnOptions:
    """``seeds``: networks of each recipe, trained with seeds 1, 2 and so on.  ``checkpoints``: resbench's own folders
    where None; ``out``: the committed evidence where None.  ``minutes``: then training stops at a checkpoint."""

    setting: str
    select: tuple[str, ...] = ()
    seeds: int = 1
    data: str = ""
    download: bool = False
    checkpoints: Path | None = None
    out: Path | None = None
    minutes: float | None = None
    device: str = "cpu"
    precision: str = "float32"


def measure_own(options: OwnOptions) -> str:
    """Train, measure and record what the claims of the setting still need; one line about it.

    Raises:
        UserError: no such setting or network, no data, a damaged file, or no memory.
    """
    from resbench.claims import load_claims
    from resbench.data.cifar10 import load_cifar10
    from resbench.training.recipes import load_recipes

    check_training(options.setting, options.precision, options.data)
    recipes = load_recipes(options.setting)
    needs = needs_of(load_claims(), CLAIMED.get(options.setting, options.setting))
    selected((), needs, options.select, recipes, lambda name, experiments: 0.0)  # a wrong name, before the data load
    data = load_cifar10(options.data, download=options.download)
    shelf = Shelf(Places(options.setting, options.checkpoints), recipes, data, options.device, options.precision)
    return _Run(options, needs, shelf).all()


class _Run:
    """One run of the command."""

    def __init__(self, options: OwnOptions, needs: Sequence[Need], shelf: Shelf):
        self.options, self.needs, self.shelf = options, needs, shelf
        self.folder = options.out or baselines() / "claims" / options.setting
        self.tested = Tested(shelf.data)
        self.pace_file = (options.out or baselines()) / "pace.json"
        self.elsewhere: list[str] = []

    def all(self) -> str:
        self._check_data()
        runs = range(1, self.options.seeds + 1)
        globs = self.options.select or ("*",)
        chosen = selected((), self.needs, globs, self.shelf.recipes, lambda name, experiments: 0.0)
        self.pace = self.shelf.pace(self.pace_file, [work.network for work in chosen])
        plans = [self.plan(run) for run in runs]
        total = sum(len(work.experiments) for plan in plans for work in plan)
        course = Course(self.options.setting, self.folder, total, self.options.minutes, self.options.device)
        try:
            queue = [(work, run) for run, plan in zip(runs, plans, strict=True) for work in plan]
            for index, (work, run) in enumerate(queue):
                course.ahead = sum(later.seconds for later, _ in queue[index:])
                self._alone(work, run, course)
        except Stopped:
            return course.summary(stopped=True)
        others = f"; left to another process: {', '.join(self.elsewhere)}" if self.elsewhere else ""
        return course.summary() + others

    def _check_data(self) -> None:
        """Networks of one setting are compared image by image.

        Raises:
            UserError: most networks recorded there were trained and tested on other images.
        """
        networks = sorted(path.parent.name for path in self.folder.glob("*/evaluation.json"))
        found = [self._evidence(Request("evaluation", network), 1) for network in networks]
        counts = Counter(evidence.subject.data for evidence in found if evidence is not None)
        usual, mine = max(counts, key=lambda data: (counts[data], data), default=""), self.shelf.data.fingerprint
        if usual and counts[usual] > counts[mine]:
            raise UserError(
                f"--data {self.options.data} is other images ({mine}) than those of the records in {self.folder} "
                f"({usual}), which would be stale: give those, or another --out"
            )

    def plan(self, run: int) -> list[Work]:
        """The networks of one run: first what is missing, then what is complete and only to be looked at."""
        recipes = self.shelf.recipes

        def recorded(request: Request) -> bool:
            evidence = self._evidence(request, run)
            return evidence is not None and self._fits(evidence, run)

        def cost(network: str, experiments: Collection[str]) -> float:
            left = [name for name in experiments if not recorded(Request(name, network))]
            trained = not left or self.shelf.has(network, run)
            return estimate(recipes[network], left, self._step_seconds(network), trained=trained)

        order, _ = steps(self.needs, recorded, cost, recipes)
        plan = planned(self.needs, order, cost)
        if self.options.select:
            return selected(plan, self.needs, self.options.select, recipes, cost)
        named = {work.network for work in plan}
        others = {name for need in self.needs for name in need.networks if name in recipes} - named
        complete = [Work(name, experiments_of(self.needs, name)) for name in sorted(others)]
        return plan + [work for work in complete if all(recorded(Request(e, work.network)) for e in work.experiments)]

    def _alone(self, work: Work, run: int, course: Course) -> None:
        """Train and measure one network, unless another process is at it."""
        try:
            with self.shelf.places.alone(work.network, run), held(self._place(work.network, run), "measuring"):
                self._one(work, run, course)
        except Held as other:
            self.elsewhere.append(f"{work.network} ({other.by})" if other.by else work.network)
            course.total -= len(work.experiments)

    def _one(self, work: Work, run: int, course: Course) -> None:
        name, recipe = work.network, self.shelf.recipes[work.network]
        requests = [Request(experiment, name) for experiment in work.experiments]
        if self._complete(requests, run):
            course.kept += len(requests)
            return
        with memory_errors(name, recipe, self.options.device):
            saved = self.shelf.find(name, run) or self._train(name, run, course)
            subject = self._subject(name, recipe, saved)
            setting = self.options.setting
            open_ones = [r for r in requests if not current(self.folder, setting, r, subject, run=run)]
            course.kept += len(requests) - len(open_ones)
            target = self.tested.target(name, recipe, saved)
            course.measure(
                open_ones,
                subject,
                _measured(target),
                lambda r: estimate(recipe, [r.experiment], self._step_seconds(name), trained=True),
                run=run,
                training=provenance(saved, self.shelf.data),
            )

    def _train(self, name: str, run: int, course: Course) -> Saved:
        recipe = self.shelf.recipes[name]
        saved, trained = self.shelf.train(name, run, course, estimate(recipe, (), self._step_seconds(name)))
        self._note(name, trained.seconds_per_step)
        return saved

    def _subject(self, name: str, recipe: Recipe, saved: Saved) -> Subject:
        return Subject(
            target=f"resbench:{name}",
            checkpoint=saved.sha256,
            data=self.shelf.data.fingerprint,
            labels=self.tested.labels,
            images=len(self.shelf.data.test_labels),
            seed=saved.seed,
            recipe=recipe.fingerprint,
            networks=NETWORKS,
            precision=saved.precision,
        )

    def _complete(self, requests: Sequence[Request], run: int) -> bool:
        """Whether there is evidence of one network for all ``requests``: then it need not even be at hand."""
        found = [self._evidence(request, run) for request in requests]
        there = [evidence for evidence in found if evidence is not None and self._fits(evidence, run)]
        return len(there) == len(requests) and len({evidence.subject for evidence in there}) == 1

    def _evidence(self, request: Request, run: int) -> Evidence | None:
        try:
            return read_evidence(self.folder, self.options.setting, request, run=run)
        except Damaged:  # `current` says so, and sets it aside, when it is its turn
            return None

    def _place(self, network: str, run: int) -> Path:
        """The folder of a network's records."""
        return evidence_path(self.folder, Request("evaluation", network), run=run).parent

    def _fits(self, evidence: Evidence, run: int) -> bool:
        """Whether a record is of the present experiment, recipe, networks' code and data, and of this run."""
        subject, recipe = evidence.subject, self.shelf.recipes.get(evidence.network)
        present = (run, NETWORKS, self.shelf.data.fingerprint, None if recipe is None else recipe.fingerprint)
        mine = (subject.seed, subject.networks, subject.data, subject.recipe)
        return evidence.version == VERSIONS.get(evidence.experiment) and mine == present

    def _step_seconds(self, network: str) -> float:
        found = self.pace.step_seconds(self.shelf.device_name, network, step_work(self.shelf.recipes[network]))
        assert found is not None
        return found

    def _note(self, name: str, step_seconds: float) -> None:
        """Write what was seen; other processes write there too."""
        work = step_work(self.shelf.recipes[name])
        with held(self.pace_file, "noting a pace", wait=_PACE_SECONDS):
            known_pace(self.pace_file).noted(self.shelf.device_name, name, step_seconds, work).write(self.pace_file)
        self.pace = self.pace.noted(self.shelf.device_name, name, step_seconds, work)


def _measured(target: object) -> Callable[[Request], tuple[Mapping[str, object], ...]]:
    from resbench.experiments.lab import measured

    return lambda request: measured(request, target)
