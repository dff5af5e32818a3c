"""The default cases by pytest-benchmark's fixture, with resbench's clock.

pytest-benchmark's own timing neither warms up until steady nor waits for a GPU.  So the samples are resbench's, and
pytest-benchmark gets them one a round through its public interface: its timer is a clock that shows the sample that is
replayed.  ``extra_info`` has the whole record, which ``resbench compare`` reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from resbench.timing.health import unhealthy
from resbench.timing.readers import EXTRA
from resbench.timing.record import TimingRecord
from resbench.timing.worker.case import Case
from resbench.timing.worker.grid import cases
from resbench.timing.worker.sampling import measure

SECONDS = 0.3


class Replay:
    """A clock that stands still but for the sample that is replayed."""

    def __init__(self) -> None:
        self.now = 0.0
        self.samples: Iterator[float] = iter(())

    def rewind(self) -> None:
        self.now = 0.0

    def advance(self) -> None:
        self.now = next(self.samples)


REPLAY = Replay()


def resbench_clock() -> float:
    """The name that pytest-benchmark's files give for the timer."""
    return REPLAY.now


def parameters() -> list[Any]:
    """Each case in the group of those that differ only in the subject and its shape."""
    found = []
    for case in cases("default"):
        group = f"{case.passing}, {case.dtype}, {case.format}, {case.mode}, batch {case.batch}, {case.device}"
        marks = pytest.mark.benchmark(group=group, timer=resbench_clock)
        found.append(pytest.param(case, marks=marks, id=case.key))
    return found


@pytest.mark.bench
@pytest.mark.parametrize("case", parameters())
def test_seconds_per_step(case: Case, benchmark: Any) -> None:
    # Where pytest-benchmark is disabled, as under xdist, the case is only tried.
    found = measure(case, seconds=SECONDS if benchmark.enabled else 0.0)
    record = TimingRecord(case, case.version, (found,), unhealthy=unhealthy((found,)))
    benchmark.extra_info[EXTRA] = msgspec.to_builtins(record)
    REPLAY.samples = iter(found.seconds)
    benchmark.pedantic(REPLAY.advance, setup=REPLAY.rewind, rounds=len(found.seconds))
    if benchmark.enabled:
        assert tuple(benchmark.stats.stats.data) == found.seconds
