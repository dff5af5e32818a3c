"""Clocks: seconds for a block of steps.  On a GPU by events around the block, on a CPU by the wall clock."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["Clock", "CpuClock", "CudaClock", "Timed", "clock_for"]


class Timed(Protocol):
    """What a clock times: :class:`resbench.timing.worker.steps.Work`, or a test's own."""

    cycle: int
    cuda: bool

    @property
    def step(self) -> Callable[[], object]: ...

    def restart(self) -> None: ...


class Clock(Protocol):
    """``resolution``: the smallest difference, in seconds, that it can see."""

    @property
    def resolution(self) -> float: ...

    def seconds(self, work: Timed, steps: int) -> float:
        """Seconds that ``steps`` steps took together, from the beginning of the draws."""
        ...


class CpuClock:
    """The wall clock around a block, without garbage collection inside it (as the standard library's ``timeit``)."""

    def __init__(self, now: Callable[[], float] = time.perf_counter):
        self._now = now
        self._resolution = 0.0

    @property
    def resolution(self) -> float:
        """The median of the smallest differences between two readings, measured once."""
        if not self._resolution:
            differences = sorted(self._difference() for _ in range(101))
            self._resolution = differences[len(differences) // 2]
        return self._resolution

    def _difference(self) -> float:
        started = now = self._now()
        while now == started:
            now = self._now()
        return now - started

    def seconds(self, work: Timed, steps: int) -> float:
        work.restart()
        step, repeats = work.step, range(steps)
        collecting = gc.isenabled()
        gc.disable()
        try:
            started = self._now()
            for _ in repeats:
                step()
            return self._now() - started
        finally:
            if collecting:
                gc.enable()


class CudaClock:
    """Events on the stream before and after a block: nothing is synchronised within it.

    ``flushed``: before every step a buffer of twice the L2 cache is overwritten, and each step has events of its own,
    so that neither weights nor activations are found in the cache (as ``triton.testing.do_bench`` does).
    """

    resolution = 0.5e-6  # of cudaEventElapsedTime, CUDA runtime API, section 5.5

    def __init__(self, *, flushed: bool = False):
        import torch

        self._flush: torch.Tensor | None = None
        if flushed:
            size = 2 * int(torch.cuda.get_device_properties(0).L2_cache_size)
            self._flush = torch.empty(size, dtype=torch.int8, device="cuda")

    def seconds(self, work: Timed, steps: int) -> float:
        import torch

        work.restart()
        step, flush = work.step, self._flush
        collecting = gc.isenabled()
        gc.disable()
        try:
            marks = []
            for first in range(0, steps, 1 if flush is not None else steps):
                if flush is not None:
                    flush.zero_()
                begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
                begin.record()
                for _ in range(first, first + 1 if flush is not None else steps):
                    step()
                end.record()
                marks.append((begin, end))
            torch.cuda.synchronize()
        finally:
            if collecting:
                gc.enable()
        return float(sum(begin.elapsed_time(end) for begin, end in marks)) / 1e3


def clock_for(*, cuda: bool, flushed: bool = False) -> Clock:
    """The clock of a device."""
    return CudaClock(flushed=flushed) if cuda else CpuClock()
