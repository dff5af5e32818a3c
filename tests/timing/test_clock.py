"""Clocks and sampling, on a clock that is told what to say."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resbench.timing.worker import processor as processor_module
from resbench.timing.worker.clock import CpuClock, CudaClock
from resbench.timing.worker.processor import Processor
from resbench.timing.worker.sampling import PRECISION, block_size, measure, sample, warm_up


class FakeWork:
    """Steps that advance a fake time; ``costs``: seconds of each step, the last one for ever."""

    cuda = False

    def __init__(self, *costs: float, cycle: int = 1):
        self.costs, self.cycle = list(costs), cycle
        self.time, self.done, self.restarts = 0.0, 0, 0
        self.collecting: set[bool] = set()

    def now(self) -> float:
        return self.time

    def step(self) -> None:
        self.time += self.costs[min(self.done, len(self.costs) - 1)]
        self.done += 1
        self.collecting.add(gc.isenabled())

    def restart(self) -> None:
        self.restarts += 1


class FakeClock:
    """Of a stated resolution, on a fake work's time."""

    def __init__(self, resolution: float = 1e-7):
        self.resolution = resolution

    def seconds(self, work: FakeWork, steps: int) -> float:
        return CpuClock(work.now).seconds(work, steps)


def test_a_block_is_timed_as_a_whole() -> None:
    work = FakeWork(0.5)
    assert CpuClock(work.now).seconds(work, 4) == pytest.approx(2.0)
    assert (work.done, work.restarts) == (4, 1)


def test_garbage_is_not_collected_inside_a_block() -> None:
    work = FakeWork(0.5)
    assert gc.isenabled()
    CpuClock(work.now).seconds(work, 2)
    assert work.collecting == {False}
    assert gc.isenabled()


def test_garbage_collection_comes_back_after_an_error() -> None:
    class Broken(FakeWork):
        def step(self) -> None:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        CpuClock().seconds(Broken(1.0), 1)
    assert gc.isenabled()


def test_the_resolution_is_the_median_of_the_smallest_differences() -> None:
    def ticking() -> Iterator[float]:
        time = 0.0
        while True:
            # Each reading is seen twice; every tenth tick is late.
            for tick in range(10):
                yield time
                yield time
                time += 1.0 if tick == 9 else 0.25

    readings = ticking()
    assert CpuClock(lambda: next(readings)).resolution == 0.25


@given(cost=st.floats(1e-7, 0.1), cycle=st.sampled_from([1, 10]), resolution=st.sampled_from([1e-8, 1e-7, 5e-7]))
def test_a_block_is_long_enough_for_the_clock_and_not_much_longer(cost: float, cycle: int, resolution: float) -> None:
    work = FakeWork(cost, cycle=cycle)
    steps = block_size(FakeClock(resolution), work)
    assert steps % cycle == 0
    assert steps * cost >= resolution / PRECISION * (1 - 1e-9)
    assert steps == cycle or steps * cost <= 3 * resolution / PRECISION + cycle * cost


def test_warm_up_goes_on_while_blocks_get_faster() -> None:
    """Two steps find the block size of one; then windows of three blocks, until one is no faster than that before."""
    falling = [10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0]
    work = FakeWork(10.0, *falling, 2.0)
    steps, done, steady = warm_up(FakeClock(), work, limit=1000.0, now=work.now)
    assert (steps, steady) == (1, True)
    # block size 1; windows 10 9 8, 7 6 5, 4 3 2, 2 2 2: the last is not faster throughout than the third.
    assert work.done == 1 + 12
    assert done >= 12


def test_warm_up_ends_at_once_where_nothing_changes() -> None:
    work = FakeWork(1.0)
    assert warm_up(FakeClock(), work, now=work.now)[2] is True
    assert work.done == 1 + 6


def test_a_single_slow_start_is_not_waited_for() -> None:
    work = FakeWork(1.0, 9.0, 1.0)
    assert warm_up(FakeClock(), work, now=work.now)[2] is True
    assert work.done == 1 + 6


def test_work_that_never_becomes_steady_is_said_to_be_unsteady() -> None:
    work = FakeWork(*(1.0 / (1 + step) for step in range(10_000)))
    _, done, steady = warm_up(FakeClock(1e-9), work, limit=2.0, now=work.now)
    assert steady is False
    assert done > 6


def test_samples_are_seconds_per_step_for_about_the_time_given() -> None:
    work = FakeWork(0.01)
    found = sample(FakeClock(), work, 5, 1.0, now=work.now)
    assert found == pytest.approx([0.01] * 20)
    assert len(found) == 20


def test_slow_steps_are_sampled_five_times_all_the_same() -> None:
    work = FakeWork(7.0)
    assert sample(FakeClock(), work, 1, 1.0, now=work.now) == pytest.approx([7.0] * 5)


def test_a_round_of_a_real_case() -> None:
    from resbench.timing.worker.case import Case

    seen = measure(Case("unit:single", "16@32", passing="inference", batch=1), seconds=0.01)
    assert len(seen.seconds) >= 5
    assert all(0 < value < 10 for value in seen.seconds)
    assert seen.steps >= 1
    assert seen.warmup > seen.steps


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("flushed", [False, True])
def test_events_time_what_the_gpu_does(flushed: bool) -> None:
    """Twice the work in a block takes about twice the time; the flush is not in it."""

    class Product:
        cuda, cycle = True, 1

        def __init__(self) -> None:
            self.a = torch.randn(2048, 2048, device="cuda")

        def step(self) -> None:
            self.a @ self.a

        def restart(self) -> None: ...

    clock, work = CudaClock(flushed=flushed), Product()
    clock.seconds(work, 20)
    one, two = clock.seconds(work, 20), clock.seconds(work, 40)
    assert 1.5 < two / one < 2.5


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone tells waiting from being interrupted")
def test_processor_time_is_not_that_of_waiting() -> None:
    with Processor() as busy:
        sum(range(300_000))
    assert busy.seconds is not None
    assert busy.seconds > 0.0005
    with Processor() as asleep:
        time.sleep(0.05)
    assert asleep.waited
    assert asleep.seconds is not None
    assert asleep.seconds < 0.04


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone tells waiting from being interrupted")
def test_a_step_of_a_unit_never_waits() -> None:
    """Backward passes on a CPU run in the thread that asks for them: its processor time is the step's."""
    from resbench.timing.worker.case import Case
    from resbench.timing.worker.steps import prepare

    work = prepare(Case("unit:preact", "16@32", batch=2))
    try:
        work.step()
        waited = []
        for _ in range(10):
            with Processor() as processor:
                work.step()
            waited.append(processor.waited)
    finally:
        work.close()
    assert sum(waited) <= 1


def test_without_the_systems_help_there_is_no_processor_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor_module, "resource", None)
    with Processor() as processor:
        pass
    assert (processor.seconds, processor.waited) == (None, False)
