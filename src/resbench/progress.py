"""Progress bars on standard error, where that is a terminal; nothing elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from resbench.talking import note, shows_progress

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from resbench.records.results import Request

__all__ = ["CountProgress", "MeasurementProgress", "training_progress"]


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=14),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


class MeasurementProgress:
    """Shows which experiments are left and for how long; weighs each by its expected cost."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._left: list[Request] = []

    def __enter__(self) -> Self:
        if shows_progress():
            self._progress = _bar()
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def started(self, requests: list[Request]) -> None:
        from resbench.experiments.lab import COSTS, workers

        if self._progress is None:
            return
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._left = list(requests)
        total = sum(COSTS.get(request.experiment, 1.0) for request in requests)
        # Until the first experiment has ended there is no speed to tell the time left by, only the expected cost.
        about = f"{_words(requests[0])}, ~{total / min(workers(), len(requests)):.0f} s"
        self._task = self._progress.add_task(about, total=total)

    def finished(self, request: Request) -> None:
        from resbench.experiments.lab import COSTS

        if self._progress is None or self._task is None:
            return
        self._left = [other for other in self._left if other != request]
        upcoming = self._left[0] if self._left else request
        self._progress.update(self._task, advance=COSTS.get(request.experiment, 1.0), description=_words(upcoming))


def _words(request: Request) -> str:
    return f"{request.experiment.replace('_', ' ')} of {request.network}"


@contextmanager
def training_progress(costs: dict[str, float]) -> Iterator[TrainingProgress]:
    """A bar over networks to train, weighed by ``costs`` (network to relative cost)."""
    shown = TrainingProgress(costs)
    try:
        yield shown
    finally:
        shown.stop()


class TrainingProgress:
    """Told of every epoch; without a terminal it prints one line a finished network."""

    def __init__(self, costs: dict[str, float]):
        self._costs, self._shares = costs, dict.fromkeys(costs, 0.0)
        self._progress = _bar() if shows_progress() else None
        self._finished = 0
        if self._progress is not None:
            self._task = self._progress.add_task("training", total=sum(costs.values()))
            self._progress.start()

    def report(self, network: str, done: int, total: int, *, saved: bool = False) -> None:
        self._shares[network] = done / total
        if saved:
            self._finished += 1
        if self._progress is not None:
            completed = sum(self._costs[name] * share for name, share in self._shares.items())
            self._progress.update(self._task, completed=completed, description=f"training {network}")
        elif saved:
            note(f"trained {network} ({self._finished} of {len(self._costs)})", prefix="")

    def stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()


class CountProgress:
    """A bar over ``total`` things of about the same cost; a context manager; nothing without a terminal."""

    def __init__(self, total: int):
        self._total = total
        self._progress = _bar() if shows_progress() else None

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._task = self._progress.add_task("starting", total=self._total)
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def of(self, total: int) -> Self:
        """There are ``total`` things after all."""
        if self._progress is not None:
            self._progress.update(self._task, total=total)
        return self

    def doing(self, what: str, *, finished: int = 0) -> None:
        """``what`` begins now; ``finished`` things have ended since the last call."""
        if self._progress is not None:
            self._progress.update(self._task, advance=finished, description=what[:48])
