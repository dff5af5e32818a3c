"""A lab that measures nothing: it evaluates quantities from recorded evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from resbench.claims.model import Expectation
from resbench.errors import NotMeasured, Stale, UserError
from resbench.experiments.lab import Lab
from resbench.records.evidence import Evidence, read_evidence, restored
from resbench.records.measurement import Measurement
from resbench.records.results import Request, Result
from resbench.records.versions import NETWORKS, VERSIONS

if TYPE_CHECKING:
    from resbench.measuring.study import StudyNetwork

__all__ = ["RUNS_FOR_A_MEDIAN", "TRAINED", "RecordedLab", "has_evidence", "measuring"]

TRAINED = ("cifar10", "cifar10-short")
"""The settings whose networks resbench trains and records in one go, with `resbench measure --setting`."""

T = TypeVar("T", bound=Hashable)

RUNS_FOR_A_MEDIAN = 5
"""As many as the papers' medians are of; with fewer, the first alone is judged, with the tolerance of one run."""


def has_evidence(folder: Path) -> bool:
    """Whether ``folder`` holds records of a setting."""
    return any(folder.glob("*/*.json"))


def measuring(setting: str, network: str) -> str:
    """The command that records what is missing of ``network``."""
    if setting in TRAINED:
        return f"`resbench measure --setting {setting} --select {network}` measures it"
    return f"`resbench measure --study examples/{setting.replace('-', '_')}/study.toml --select {network}` measures it"


class RecordedLab(Lab):
    """The records of one setting, in ``folder``.

    A network's records must be of one subject, and all networks' of the same images; what differs from the most is
    stale, since lesions and networks are compared image by image.  Those of networks that resbench trained must also
    be of the present recipe and networks' code (see :mod:`resbench.records.versions`); those of others, of the network
    and the weights that the setting's study names, where there is one beside the records.

    Of a network that was trained several times the first run is judged; its test error, where there are
    ``RUNS_FOR_A_MEDIAN``, by the median.
    """

    def __init__(self, setting: str, folder: Path):
        super().__init__(setting, folder)
        self._records: dict[Request, Evidence] | None = None
        self._study: Mapping[str, StudyNetwork] | None = None

    def measure_all(self, requests: Iterable[Request]) -> None:
        """Nothing: what is not recorded is not measured here."""

    def result(self, request: Request) -> Result:
        """The recorded result.

        Raises:
            NotMeasured: there is no record; the message says which command makes it.
            Stale: the record is of another version of the experiment or of the networks' code, of another recipe, of
                another network or weights than the study names, or of another checkpoint or other data than the rest.
            UserError: a record of the setting is damaged or of another schema.
        """
        found = self._results.get(request)
        if found is None:
            found = self._results[request] = self._read(request)
        if isinstance(found, Exception):
            raise found
        return found

    def evaluate(self, expectation: Expectation) -> Measurement:
        """As a lab does, from what is recorded; a test error is the median of the runs where there are enough."""
        first = super().evaluate(expectation)
        if expectation.quantity != "accuracy.test_error":
            return first
        runs = self._runs(Request("evaluation", str(expectation.params["network"])))
        if len(runs) < RUNS_FOR_A_MEDIAN:
            return first
        from resbench.experiments.accuracy import median_test_error  # exact claims are judged without numpy

        return median_test_error(runs)

    def operators(self) -> AbstractContextManager[None]:
        return nullcontext()  # plain numpy: torch need not be there, nor be told about threads

    def _read(self, request: Request) -> Result | Exception:
        evidence = self._all().get(request)
        what, way_out = f"{request.experiment} of {request.network}", measuring(self.setting, request.network)
        if evidence is None and self.setting in TRAINED:
            # The same words for all that is missing, which reports then show once.
            missing = f"not recorded in setting {self.setting} yet: `resbench measure --setting {self.setting}`"
            return NotMeasured(f"{missing} trains and records what `resbench claims wanted` lists")
        if evidence is None:
            return NotMeasured(f"{what} is not recorded in setting {self.setting}; {way_out}")
        reason = self._stale(evidence)
        return restored(evidence) if reason is None else Stale(f"{what} was recorded {reason}; {way_out}")

    def _stale(self, evidence: Evidence) -> str | None:
        """Why a record speaks of something else than the present networks, data and experiments."""
        wanted, mine, records = VERSIONS.get(evidence.experiment), evidence.subject, self._all().values()
        if evidence.version != wanted:
            return f"by version {evidence.version} of the experiment, not {wanted}"
        if mine.recipe:
            if mine.networks != NETWORKS:
                return f"with version {mine.networks} of the networks' code, not {NETWORKS}"
            if mine.recipe != _recipe(self.setting, evidence.network):
                return "of another recipe than the present one"
            if mine.data != _usual(records, lambda one: one.subject.data):
                return "on other data than the setting's other records"
        elif (field := self._unlike_study(evidence)) is not None:
            return f"with another {field} than the present study's"
        own = [record for record in records if record.network == evidence.network]
        if mine != _usual(own, lambda one: one.subject, lambda one: one.subject.images):
            return "on another checkpoint or data than its other records"
        usual = _usual(records, lambda one: (one.subject.labels, one.subject.images))
        if (mine.labels, mine.images) != usual:
            return f"on other images ({mine.images}) than the setting's ({usual[1]})"
        return None

    def _unlike_study(self, evidence: Evidence) -> str | None:
        """What the setting's study now says otherwise of a network that others trained."""
        if self._study is None:
            from resbench.measuring.study import read_study, study_file

            file = study_file(self.setting, self.folder.parent.parent)  # baselines/claims/SETTING
            self._study = {one.name: one for one in read_study(file).network} if file.is_file() else {}
        named, mine = self._study.get(evidence.network), evidence.subject
        if named is None:
            return None
        pairs: dict[str, tuple[object, object]] = {
            "target": (named.target, mine.target),
            "source": (named.source, mine.source),
            "published error": (named.published_error, mine.published_error),
        }
        return next((field for field, (wanted, seen) in pairs.items() if wanted != seen), None)

    def _runs(self, request: Request) -> list[Result]:
        """All recorded runs of ``request`` that are like the first in all but seed and weights, the first included."""
        first = self._all().get(request)
        found = []
        run = 1
        while first is not None:
            record = read_evidence(self.folder, self.setting, request, run=run)
            if record is None:
                break
            if _alike(record) == _alike(first):
                found.append(restored(record))
            run += 1
        return found

    def _all(self) -> dict[Request, Evidence]:
        """Of the first runs."""
        if self._records is None:
            records = {}
            for path in sorted(self.folder.glob("*/*.json")):
                request = Request(path.stem, path.parent.name)
                record = read_evidence(self.folder, self.setting, request)
                if record is not None:
                    records[request] = record
            self._records = records
        return self._records


def _usual(
    records: Iterable[Evidence], key: Callable[[Evidence], T], size: Callable[[Evidence], int] = lambda _: 0
) -> T:
    """What most records have; of equally many the one of the greatest ``size``."""
    chosen = list(records)
    counts = Counter(key(record) for record in chosen)
    sizes = {key(record): size(record) for record in chosen}
    return max(counts, key=lambda one: (counts[one], sizes[one]))


def _recipe(setting: str, network: str) -> str | None:
    """The fingerprint of the present recipe, None where there is none."""
    from resbench.training.recipes import load_recipes  # needs torch, which only networks trained here cost

    try:
        recipe = load_recipes(setting).get(network)
    except UserError:
        return None
    return None if recipe is None else recipe.fingerprint


def _alike(record: Evidence) -> tuple[object, ...]:
    subject = record.subject
    return record.version, subject.recipe, subject.networks, subject.data, subject.labels
