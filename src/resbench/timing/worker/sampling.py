"""How a case is sampled in one process: block size, warm-up until steady, samples."""

from __future__ import annotations

import time
from collections.abc import Callable

from .allocator import pin_allocator
from .case import Case
from .clock import Clock, Timed, clock_for
from .machine import state
from .seen import Round
from .steps import prepare

__all__ = ["PRECISION", "WARM_UP_SECONDS", "block_size", "measure", "sample", "warm_up"]

PRECISION = 1e-4
"""A block lasts so long that the clock's resolution is at most this share of it (``torch.utils.benchmark`` too)."""

WARM_UP_SECONDS = 5.0
"""After which a case that still gets faster is measured all the same, and said to be unsteady."""

_WINDOW = 3
"""Blocks in a window of the warm-up test: all of 3 before above all of 3 after has probability 1/20 by chance."""

_SAMPLES = 5
"""The fewest samples of a round, however slow a step is."""


def block_size(clock: Clock, work: Timed) -> int:
    """Steps in a block: the least multiple of the work's cycle that the clock resolves to :data:`PRECISION`."""
    steps = work.cycle
    while True:
        seconds = clock.seconds(work, steps)
        wanted = clock.resolution / PRECISION
        if seconds >= wanted:
            return steps
        # At least twice as many, and no more than ten times: the first steps are slower than the rest.
        factor = min(10.0, max(2.0, 1.2 * wanted / max(seconds, clock.resolution)))
        steps = work.cycle * int(-(-steps * factor // work.cycle))


def warm_up(
    clock: Clock, work: Timed, *, limit: float = WARM_UP_SECONDS, now: Callable[[], float] = time.perf_counter
) -> tuple[int, int, bool]:
    """Run until steady; the block size, the steps done, and whether they became steady within ``limit`` seconds.

    Steady: in two successive windows of three blocks, not every block of the earlier one was slower than every block of
    the later one.  That is the exact one-sided Mann-Whitney test at 5 %: it goes on while there is evidence that the
    work still gets faster.
    """
    started = now()
    steps = block_size(clock, work)
    done = 2 * steps  # At least: the block size was found by growing blocks.
    earlier = [clock.seconds(work, steps) for _ in range(_WINDOW)]
    while True:
        later = [clock.seconds(work, steps) for _ in range(_WINDOW)]
        if min(earlier) <= max(later):
            return steps, done + 2 * _WINDOW * steps, True
        done += _WINDOW * steps
        if now() - started > limit:
            return steps, done + _WINDOW * steps, False
        earlier = later


def sample(
    clock: Clock, work: Timed, steps: int, seconds: float, *, now: Callable[[], float] = time.perf_counter
) -> tuple[float, ...]:
    """Seconds per step of blocks of ``steps`` steps, for about ``seconds`` and at least five blocks."""
    started, found = now(), list[float]()
    while len(found) < _SAMPLES or now() - started < seconds:
        found.append(clock.seconds(work, steps) / steps)
    return tuple(found)


def measure(case: Case, *, seconds: float = 0.5) -> Round:
    """One round of ``case`` in this process: warm-up, then samples for about ``seconds``.

    From then on the process keeps the memory that it frees (:func:`.allocator.pin_allocator`).

    Raises:
        CaseError: the case cannot be timed here.
    """
    pin_allocator()
    work = prepare(case)
    try:
        clock = clock_for(cuda=case.cuda, flushed=case.cache == "flushed")
        steps, warmup, steady = warm_up(clock, work)
        before = state()
        samples = sample(clock, work, steps, seconds)
        return Round(samples, steps, warmup, steady, before, state())
    finally:
        work.close()
