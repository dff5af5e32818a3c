"""The networks of a study, measured one after the other; every result is recorded at once, and never made twice."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resbench.errors import UserError
from resbench.measuring.course import Course, Stopped, current
from resbench.measuring.study import Study, StudyNetwork
from resbench.measuring.work import passes
from resbench.records.evidence import Subject
from resbench.records.locking import Held, held
from resbench.records.places import baselines
from resbench.records.results import Request
from resbench.talking import note

if TYPE_CHECKING:
    from resbench.targets.target import UserTarget

__all__ = ["MeasureOptions", "measure_study"]

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


def measure_study(study: Study, options: MeasureOptions) -> str:
    """Measure and record what is not yet recorded of this checkpoint, these data and this version; one line about it.

    Raises:
        UserError: a network, its weights or the data cannot be loaded, or a record cannot be written.
    """
    planned = study.requests(options.select)
    folder = options.out or baselines() / "claims" / study.setting
    total = sum(len(requests) for _, requests in planned)
    course = Course(study.setting, folder, total, options.minutes, options.device)
    elsewhere: list[str] = []
    try:
        for network, requests in planned:
            try:
                with held(folder / network.name, "measuring"):
                    _one(study, network, requests, options, course)
            except Held as other:
                elsewhere.append(f"{network.name} ({other.by})" if other.by else network.name)
                course.total -= len(requests)
    except Stopped:
        return course.summary(stopped=True)
    return course.summary() + (f"; left to another process: {', '.join(elsewhere)}" if elsewhere else "")


def _one(
    study: Study, network: StudyNetwork, requests: Sequence[Request], options: MeasureOptions, course: Course
) -> None:
    target, subject = _subject(study, network, options)
    open_ones = [request for request in requests if not current(course.folder, study.setting, request, subject)]
    course.kept += len(requests) - len(open_ones)
    if open_ones:
        _measure(course, open_ones, target, subject)


def _measure(course: Course, requests: Sequence[Request], target: UserTarget, subject: Subject) -> None:
    from resbench.experiments.lab import TargetLab

    image, units = _seconds_per_image(target), len(target.units)
    course.measure(
        requests,
        subject,
        lambda request: TargetLab(target).result(Request(request.experiment, "target")),
        lambda request: image * passes(request.experiment, subject.images, units),
    )


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
    note(f"{network.name}: {target}")
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


def _seconds_per_image(target: UserTarget) -> float:
    """Of one forward pass, tried on a batch."""
    from resbench.targets.classifying import classified_wrong

    assert target.data is not None
    tried = target.data.subset(range(min(_TRIED, len(target.data))))
    classified_wrong(target.model, tried.subset(range(2)), target.device)
    begun = time.monotonic()
    classified_wrong(target.model, tried, target.device)
    return (time.monotonic() - begun) / len(tried)
