"""Training the papers' networks without measuring them: some by name, or those of a plan."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from resbench.distributed import Ranks
from resbench.errors import UserError
from resbench.measuring.course import Course, Stopped
from resbench.measuring.pace import Pace
from resbench.measuring.trained import Places, Shelf, check_training, memory_errors
from resbench.measuring.work import estimate, step_work
from resbench.records.locking import Held
from resbench.records.places import baselines

__all__ = ["TrainOptions", "read_plan", "train_papers"]

Seed = Annotated[int, Meta(ge=1)]


class PlannedRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One network of the setting, trained once for each of ``seeds``."""

    network: str
    seeds: Annotated[tuple[Seed, ...], Meta(min_length=1)] = (1,)


class TrainingPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be trained, in order; a TOML file."""

    schema: Literal[1]
    setting: str
    run: Annotated[tuple[PlannedRun, ...], Meta(min_length=1)]

    @property
    def runs(self) -> tuple[tuple[str, int], ...]:
        """Network and seed, one after the other."""
        return tuple((run.network, seed) for run in self.run for seed in run.seeds)


def read_plan(path: Path) -> TrainingPlan:
    """The plan in the file ``path``.

    Raises:
        UserError: it cannot be read, or does not fit the schema.
    """
    try:
        return msgspec.toml.decode(path.read_bytes(), type=TrainingPlan)
    except OSError as error:
        raise UserError(f"--plan {path}: {error.strerror or error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"--plan {path}: {error}") from error


@dataclass(frozen=True)
class TrainOptions:
    """``runs``: network and seed, in order.  ``out``: resbench's own folders where None.  ``minutes``: then training
    stops at a checkpoint."""

    setting: str
    runs: tuple[tuple[str, int], ...]
    data: str = ""
    download: bool = False
    out: Path | None = None
    minutes: float | None = None
    device: str = "cpu"
    precision: str = "float32"


def train_papers(options: TrainOptions, ranks: Ranks | None = None) -> str:
    """Train what is not there yet; one line about it.  Another process may be at the same list.

    ``ranks``: processes that train each network together.

    Raises:
        UserError: an unknown setting or network, no data, a damaged file, or no memory.
    """
    from resbench.data.cifar10 import load_cifar10
    from resbench.networks.variants import unknown
    from resbench.training.recipes import load_recipes

    check_training(options.setting, options.precision, options.data)
    recipes = load_recipes(options.setting)
    for network, _ in options.runs:
        if network not in recipes:
            raise unknown(f"network of {options.setting}", network, recipes)
    among = ranks or Ranks()
    with among.in_turn():
        data = load_cifar10(options.data, download=options.download)
    shelf = Shelf(Places(options.setting, options.out), recipes, data, options.device, options.precision)
    return _Runs(options, shelf, among).all()


class _Runs:
    def __init__(self, options: TrainOptions, shelf: Shelf, ranks: Ranks):
        self.options, self.shelf, self.ranks = options, shelf, ranks
        folder = shelf.places.checkpoints("x", 1)[0].parent
        self.course = Course(options.setting, folder, len(options.runs), options.minutes, options.device)
        self.elsewhere: list[str] = []

    def all(self) -> str:
        stopped, runs = False, self.options.runs
        try:
            for index, (network, seed) in enumerate(runs):
                missing = [name for name, run in runs[index:] if not self.shelf.has(name, run)]
                self.course.ahead = sum(map(self._seconds, missing))
                self._alone(network, seed)
        except Stopped:
            stopped = True
        course = self.course
        text = f"{course.done} trained in {course.folder}, {course.kept} were there, of {course.total}"
        if stopped:
            return f"{text}; stopped by --max-minutes, the same command goes on"
        return f"{text}; left to another process: {', '.join(self.elsewhere)}" if self.elsewhere else text

    def _alone(self, network: str, seed: int) -> None:
        if self.ranks.world > 1:  # these processes are at it together, and nobody else should be
            self._one(network, seed)
            return
        try:
            with self.shelf.places.alone(network, seed):
                self._one(network, seed)
        except Held as other:
            self.elsewhere.append(f"{network} (seed {seed}{f', {other.by}' if other.by else ''})")

    def _one(self, network: str, seed: int) -> None:
        recipe = self.shelf.recipes[network]
        with memory_errors(network, recipe, self.options.device):
            if self.shelf.find(network, seed) is not None:
                self.course.kept += 1
                return
            self.shelf.train(network, seed, self.course, self._seconds(network), self.ranks)
            self.course.done += 1

    def _seconds(self, network: str) -> float:
        """Of its training, estimated."""
        recipe = self.shelf.recipes[network]
        step = self._pace.step_seconds(self.shelf.device_name, network, step_work(recipe))
        assert step is not None
        return estimate(recipe, (), step)

    @cached_property
    def _pace(self) -> Pace:
        return self.shelf.pace(baselines() / "pace.json", [network for network, _ in self.options.runs])
