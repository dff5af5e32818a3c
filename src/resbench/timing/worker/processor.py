"""Processor time of a block: what the code computed, without the time in which other programs had the core."""

from __future__ import annotations

import time
from types import TracebackType

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

__all__ = ["Processor"]


class Processor:
    """A context: ``seconds`` that this thread computed within it, and whether it ``waited`` of its own accord.

    A thread that never waits (for another thread, a lock, a disk, a GPU) and still takes longer by the clock than it
    computed was interrupted by others: its processor time is what it takes undisturbed.  A thread that waits takes what
    the clock says.  ``seconds`` is None where the system does not tell the two apart (elsewhere than on Linux).
    """

    def __init__(self) -> None:
        self.seconds: float | None = None
        self.waited = False

    def __enter__(self) -> Processor:
        self._switches = _voluntary_switches()
        self._started = time.thread_time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds, switches = time.thread_time() - self._started, _voluntary_switches()
        if switches is not None and self._switches is not None:
            self.seconds, self.waited = seconds, switches > self._switches


def _voluntary_switches() -> int | None:
    """How often this thread has given up its core by itself: getrusage(2), ru_nvcsw."""
    if resource is None or not hasattr(resource, "RUSAGE_THREAD"):
        return None
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
