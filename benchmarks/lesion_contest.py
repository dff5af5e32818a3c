"""The engine for lesions and the loop that a user would write, in turns on the same images."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.lesion_floor import Work, work_of
from benchmarks.lesion_subject import loader_over, plans_of, shortcuts_of, unit_modules
from benchmarks.user_loop import sweep
from resbench.lesions import screening
from resbench.lesions.engine import predicted_classes
from resbench.lesions.executable import prepare
from resbench.lesions.plans import Plan
from resbench.lesions.running import Runner
from resbench.targets.images import Images
from resbench.targets.target import UserTarget

__all__ = ["LOOP", "TIE", "Contest", "Differences", "Sweep", "compared"]

Result = TypeVar("Result")

LOOP = "loop"

TIE = 1e-4
"""How close two logits are that rounding may exchange, relative to the image's largest."""

Classes = NDArray[np.int32]


@dataclass(frozen=True)
class Differences:
    """Of ``predictions``, so many are ``differing`` from the loop's; of them so many are ``ties``.

    ``widest``: how far the loop's best logit lies above that of the class the engine gave, relative, at most.
    """

    predictions: int
    differing: int = 0
    ties: int = 0
    widest: float = 0.0

    def __add__(self, other: Differences) -> Differences:
        return Differences(
            self.predictions + other.predictions,
            self.differing + other.differing,
            self.ties + other.ties,
            max(self.widest, other.widest),
        )

    @property
    def identical(self) -> bool:
        """Whether all predictions agree but for ties."""
        return self.differing == self.ties

    @property
    def agreement(self) -> float:
        return 1.0 - self.differing / self.predictions


@dataclass(frozen=True)
class Sweep:
    """A list of lesions, measured.  ``size``: images in a slice.

    ``seconds``: of each contestant, one value a slice.  ``calibration``: seconds that a sweep takes once, however many
    images it has, and that are not among ``seconds``.  ``differences``: of each contestant but the loop.
    """

    lesions: int
    size: int
    seconds: Mapping[str, Sequence[float]]
    calibration: Mapping[str, float]
    work: Work
    differences: Mapping[str, Differences]

    def ratios(self, name: str) -> list[float]:
        """How many times as fast as the loop, slice by slice."""
        return [loop / own for loop, own in zip(self.seconds[LOOP], self.seconds[name], strict=True)]

    def image_seconds(self, name: str) -> float:
        """The median over slices."""
        return float(np.median(self.seconds[name])) / self.size


class Contest:
    """Everybody, ready to run slices of ``size`` images.

    ``preparation``: seconds of making ready, once for all sweeps.  ``absent``: who cannot take part, and why.
    """

    def __init__(self, target: UserTarget, precisions: Sequence[str], size: int, loader: str):
        assert target.data is not None
        self.target, self.images, self.size, self.loader = target, target.data, size, loader
        self.shortcuts, self.names = shortcuts_of(target), unit_modules(target)
        self.preparation: dict[str, float] = {}
        self.absent: dict[str, str] = {}
        self.notes: dict[str, dict[str, object]] = {}
        self._runners: dict[str, Runner] = {}
        for precision in precisions:
            started = time.perf_counter()
            runner = _quiet(lambda precision=precision: self._runner(precision))
            if "not_screened" in runner.notes:
                self.absent[precision] = str(runner.notes["not_screened"])
                continue
            self.preparation[precision] = time.perf_counter() - started
            self._runners[precision] = runner
            self.notes[precision] = runner.notes

    def _runner(self, precision: str) -> Runner:
        """For slices: the engine chooses its batches by the number of images."""
        return Runner(self.target, self._slice(0), precision, device=self.target.device)

    def _slice(self, number: int) -> Images:
        return self.images.subset(range(number * self.size, (number + 1) * self.size))

    def measure(self, mode: str, slices: int, doing: Callable[[str], None] = lambda text: None) -> Sweep:
        """``slices`` slices; who begins changes with every slice."""
        plans = plans_of(self.target, mode)
        doing(f"{mode}: warming up")
        self._turns(plans[:3], 0, 0)
        seconds: dict[str, list[float]] = {}
        calibration: dict[str, list[float]] = {}
        differences: dict[str, Differences] = {}
        for number in range(slices):
            doing(f"{mode}: slice {number + 1} of {slices}")
            turns = self._turns(plans, number, number)
            logits = turns[LOOP].logits
            for name, turn in turns.items():
                seconds.setdefault(name, []).append(turn.seconds)
                calibration.setdefault(name, []).append(turn.calibration)
                if name != LOOP:
                    found = compared(turn.classes, logits)
                    differences[name] = differences.get(name, Differences(0)) + found
        once = {name: float(np.sum(values)) for name, values in calibration.items()}
        ordered = {name: seconds[name] for name in (LOOP, *self._runners)}
        return Sweep(len(plans), self.size, ordered, once, self._work(plans), differences)

    def _turns(self, plans: Sequence[Plan], number: int, order: int) -> dict[str, _Turn]:
        part = self._slice(number)
        loader = loader_over(part, self.loader, pinned=self.target.device.type == "cuda")
        lesions = [[name for name, left in zip(self.names, plan, strict=True) if not left] for plan in plans]
        turns: dict[str, Callable[[], _Turn]] = {LOOP: lambda: self._loop(loader, lesions)}
        for name, runner in self._runners.items():
            turns[name] = lambda runner=runner: self._engine(runner, plans, part)
        return {name: turns[name]() for name in list(turns)[:: -1 if order % 2 else 1]}

    def _loop(self, loader: object, lesions: Sequence[Sequence[str]]) -> _Turn:
        device, model = self.target.device, self.target.model
        _wait(device)
        started = time.perf_counter()
        logits, classes = list[Tensor](), list[Tensor]()
        for found in sweep(model, loader, lesions, self.shortcuts, device):  # type: ignore[arg-type]
            logits.append(found)
            classes.append(found.argmax(1))
        taken = time.perf_counter() - started
        return _Turn(taken, 0.0, torch.stack(classes).to(torch.int32).numpy(), torch.stack(logits))

    def _engine(self, runner: Runner, plans: Sequence[Plan], images: Images) -> _Turn:
        _wait(self.target.device)
        with _calibrations() as calibrated:
            started = time.perf_counter()
            classes = _quiet(lambda: runner.run(plans, images))
            taken = time.perf_counter() - started
        return _Turn(taken - sum(calibrated), sum(calibrated), classes, torch.empty(0))

    def _work(self, plans: Sequence[Plan]) -> Work:
        model = _Plain(self.target)
        example = self.images.take(range(2), self.target.device)[0]
        prepared = _quiet(lambda: prepare(model, example))
        # A CUDA graph tells nobody of its products; images of another number do not go through it.
        return work_of(prepared.workers[0], plans, example[:1] if example.is_cuda else example)


class _Plain:
    """A target as :func:`prepare` needs it."""

    def __init__(self, target: UserTarget):
        self.model: nn.Module = target.model
        self.units, self.globs = target.units, target.globs


@dataclass(frozen=True)
class _Turn:
    seconds: float
    calibration: float
    classes: Classes
    logits: Tensor


def compared(classes: Classes, logits: Tensor) -> Differences:
    """The engine's classes ``(plans, images)`` against the loop's logits ``(plans, images, classes)``."""
    expected = torch.stack([predicted_classes(rows) for rows in logits]).numpy()
    widest, ties = 0.0, 0
    positions = np.argwhere(classes != expected)
    for plan, image in positions:
        row, given = logits[plan, image], int(classes[plan, image])
        gap = float((row.max() - row[given]) / row.abs().max()) if given >= 0 else float("inf")
        gap = gap if gap == gap else float("inf")
        widest, ties = max(widest, gap), ties + (gap < TIE)
    return Differences(classes.size, len(positions), ties, widest)


@contextmanager
def _calibrations() -> Iterator[list[float]]:
    """The seconds of each calibration of a screened sweep while it lasts: once a sweep, however many images it has."""
    found: list[float] = []
    original = screening._Sweep.calibrate

    def timed(sweep: screening._Sweep, *given: object) -> float:
        started = time.perf_counter()
        try:
            return original(sweep, *given)  # type: ignore[arg-type]
        finally:
            found.append(time.perf_counter() - started)

    screening._Sweep.calibrate = timed  # type: ignore[method-assign,assignment]
    try:
        yield found
    finally:
        screening._Sweep.calibrate = original  # type: ignore[method-assign]


def _quiet(work: Callable[[], Result]) -> Result:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the model's own affair
        return work()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
