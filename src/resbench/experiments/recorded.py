"""A lab that measures nothing: it evaluates quantities from recorded evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from resbench.errors import NotMeasured, Stale
from resbench.experiments.lab import Lab
from resbench.experiments.versions import VERSIONS
from resbench.records.evidence import Evidence, Subject, read_evidence, restored
from resbench.records.results import Request, Result

__all__ = ["RecordedLab", "has_evidence", "measuring"]


def has_evidence(folder: Path) -> bool:
    """Whether ``folder`` holds records of a setting."""
    return any(folder.glob("*/*.json"))


def measuring(setting: str, network: str) -> str:
    """The command that records what is missing of ``network``."""
    return f"`resbench measure --study examples/{setting.replace('-', '_')}/study.toml --select {network}` measures it"


class RecordedLab(Lab):
    """The records of one setting, in ``folder``.

    A network's records must be of one subject, and all networks' of the same images; what differs from the most is
    stale, since lesions and networks are compared image by image.
    """

    def __init__(self, setting: str, folder: Path):
        super().__init__(setting, folder)
        self._records: dict[Request, Evidence] | None = None

    def measure_all(self, requests: Iterable[Request]) -> None:
        """Nothing: what is not recorded is not measured here."""

    def result(self, request: Request) -> Result:
        """The recorded result.

        Raises:
            NotMeasured: there is no record; the message says which command makes it.
            Stale: the record is of another version of the experiment, or of another checkpoint or images than the rest.
            UserError: a record of the setting is damaged or of another schema.
        """
        found = self._results.get(request)
        if found is None:
            found = self._results[request] = self._read(request)
        if isinstance(found, Exception):
            raise found
        return found

    def operators(self) -> AbstractContextManager[None]:
        return nullcontext()  # plain numpy: torch need not be there, nor be told about threads

    def _read(self, request: Request) -> Result | Exception:
        records = self._all()
        what, way_out = f"{request.experiment} of {request.network}", measuring(self.setting, request.network)
        evidence = records.get(request)
        if evidence is None:
            return NotMeasured(f"{what} is not recorded in setting {self.setting}; {way_out}")
        wanted = VERSIONS.get(request.experiment)
        if evidence.version != wanted:
            return Stale(
                f"{what} was recorded by version {evidence.version} of the experiment, not {wanted}; {way_out}"
            )
        own = [record.subject for other, record in records.items() if other.network == request.network]
        if evidence.subject != _most(own):
            return Stale(f"{what} was recorded on another checkpoint or data than its other records; {way_out}")
        images = Counter((record.subject.labels, record.subject.images) for record in records.values())
        usual = images.most_common(1)[0][0]
        if (evidence.subject.labels, evidence.subject.images) != usual:
            mine = evidence.subject.images
            return Stale(f"{what} was recorded on other images ({mine}) than the setting's ({usual[1]}); {way_out}")
        return restored(evidence)

    def _all(self) -> dict[Request, Evidence]:
        if self._records is None:
            records = {}
            for path in sorted(self.folder.glob("*/*.json")):
                request = Request(path.stem, path.parent.name)
                record = read_evidence(self.folder, self.setting, request)
                if record is not None:
                    records[request] = record
            self._records = records
        return self._records


def _most(subjects: list[Subject]) -> Subject:
    return max(subjects, key=lambda one: (subjects.count(one), one.images))
