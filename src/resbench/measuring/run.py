"""The networks of a study, measured one after the other; every result is recorded at once, and never made twice."""

from __future__ import annotations

import datetime
import hashlib
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resbench.errors import NotMeasured, UserError
from resbench.experiments.versions import VERSIONS
from resbench.measuring.study import Study, StudyNetwork
from resbench.records.environment import environment
from resbench.records.evidence import Made, Subject, read_evidence, write
from resbench.records.partial import source_fingerprint
from resbench.records.places import baselines
from resbench.records.results import Request

if TYPE_CHECKING:
    from resbench.targets.target import UserTarget

__all__ = ["MeasureOptions", "measure_study"]

_DRAWS: Mapping[str, int] = {"multiple_deletion": 240, "reordering": 160, "duplication": 60}
"""Lesions of an experiment, each on a third of its images; at most, since short networks allow fewer."""
_TRIED = 256


@dataclass(frozen=True)
class MeasureOptions:
    """``root``: the folder of the study.  ``checkpoints``: the study's own folder where None.  ``out``: the committed
    evidence where None.  ``minutes``: nothing is begun that would probably end later."""

    root: Path
    select: tuple[str, ...] = ()
    data: str = ""
    download: bool = False
    checkpoints: Path | None = None
    out: Path | None = None
    minutes: float | None = None
    limit: int | None = None
    device: str = "cpu"


@dataclass
class _Course:
    """How far the run is.  ``pace``: seconds taken by seconds estimated, so far."""

    total: int
    started: float
    done: int = 0
    kept: int = 0
    expected: float = 0.0
    taken: float = 0.0

    @property
    def pace(self) -> float:
        return self.taken / self.expected if self.expected else 1.0

    def over(self, minutes: float | None, expected: float) -> bool:
        used = time.monotonic() - self.started
        return minutes is not None and used + expected * self.pace > 60.0 * minutes

    def say(self, request: Request, text: str) -> None:
        place = f"{self.done + self.kept}/{self.total}"
        print(f"resbench: {place} {request.network} {request.experiment}: {text}", file=sys.stderr, flush=True)


def measure_study(study: Study, options: MeasureOptions) -> str:
    """Measure and record what is not yet recorded of this checkpoint, these data and this version; one line about it.

    Raises:
        UserError: a network, its weights or the data cannot be loaded, or a record cannot be written.
    """
    planned = study.requests(options.select)
    folder = options.out or baselines() / "claims" / study.setting
    course = _Course(sum(len(requests) for _, requests in planned), time.monotonic())
    missing: list[str] = []
    for network, requests in planned:
        target, subject = _subject(study, network, options)
        open_ones = [request for request in requests if not _current(folder, study.setting, request, subject)]
        course.kept += len(requests) - len(open_ones)
        if not open_ones:
            continue
        pace = _seconds_per_image(target)
        for request in open_ones:
            expected = pace * _passes(request, target)
            if course.over(options.minutes, expected):
                return f"{_recorded(course, folder)}; stopped by --max-minutes, the same command goes on"
            course.say(request, f"about {_shown(expected * course.pace)}")
            begun = time.monotonic()
            try:
                _record(folder, study.setting, request, target, subject, options.device)
            except NotMeasured as reason:
                missing.append(f"{request.network}/{request.experiment} ({reason})")
                course.total -= 1
                continue
            course.done += 1
            course.taken += time.monotonic() - begun
            course.expected += expected
    rest = f"; not measurable: {', '.join(missing)}" if missing else ""
    return f"{_recorded(course, folder)}{rest}"


def _recorded(course: _Course, folder: Path) -> str:
    return f"{course.done} recorded in {folder}, {course.kept} were there, of {course.total}"


def _subject(study: Study, network: StudyNetwork, options: MeasureOptions) -> tuple[UserTarget, Subject]:
    from resbench.targets.load import load_target

    described = study.options(
        network,
        checkpoints=options.checkpoints or options.root,
        root=options.root,
        data=options.data,
        download=options.download,
        limit=options.limit,
        device=options.device,
    )
    if not described.data:
        raise UserError("the study names no data: give --data (cifar10:ROOT, imagefolder:ROOT or npz:FILE)")
    target = load_target(described)
    print(f"resbench: {network.name}: {target}", file=sys.stderr)
    assert described.checkpoint is not None
    assert target.data is not None
    subject = Subject(
        target=network.target,
        checkpoint=hashlib.sha256(described.checkpoint.read_bytes()).hexdigest(),
        data=target.data.fingerprint(),
        labels=hashlib.sha256(target.data.labels.numpy().tobytes()).hexdigest(),
        images=len(target.data),
        seed=study.seed,
        source=network.source,
        published_error=network.published_error,
    )
    return target, subject


def _current(folder: Path, setting: str, request: Request, subject: Subject) -> bool:
    """Whether there is a record of the present subject and version; a damaged one is made again."""
    try:
        evidence = read_evidence(folder, setting, request)
    except UserError as error:
        print(f"resbench: {error}; measured again", file=sys.stderr)
        return False
    return evidence is not None and evidence.subject == subject and evidence.version == VERSIONS[request.experiment]


def _record(folder: Path, setting: str, request: Request, target: UserTarget, subject: Subject, device: str) -> None:
    import torch

    from resbench.experiments.lab import TargetLab

    begun = time.monotonic()
    result = TargetLab(target).result(Request(request.experiment, "target"))
    made = Made(
        at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        source=source_fingerprint(),
        environment=environment(),
        device=device,
        threads=torch.get_num_threads(),
        seconds=round(time.monotonic() - begun, 1),
    )
    write(folder, setting, request, VERSIONS[request.experiment], subject, made, result)


def _seconds_per_image(target: UserTarget) -> float:
    """Of one forward pass, tried on a batch."""
    from resbench.targets.classifying import classified_wrong

    assert target.data is not None
    tried = target.data.subset(range(min(_TRIED, len(target.data))))
    classified_wrong(target.model, tried.subset(range(2)), target.device)
    begun = time.monotonic()
    classified_wrong(target.model, tried, target.device)
    return (time.monotonic() - begun) / len(tried)


def _passes(request: Request, target: UserTarget) -> float:
    """How many images pass the whole network, at most; a pass backwards along a path counts like one forwards.

    Single deletions share their beginnings: half of the network each, on average.  Once for each target the lab tests
    whether it is at chance.
    """
    from resbench.experiments.lesion import THIRDS

    assert target.data is not None
    images, units = len(target.data), len(target.units)
    if request.experiment in _DRAWS:
        return _DRAWS[request.experiment] * images / THIRDS
    each = {"single_deletion": 1 + units / 2, "path_gradients": (1 + units) / 5, "path_spectrum": (1 + units) / 10}
    return images * each.get(request.experiment, 1.0)


def _shown(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
