"""The least time for a step, by hand."""

from __future__ import annotations

import pytest

from resbench.timing.roofline import bound, copy_rate, floor_seconds, utilisation
from resbench.timing.worker.seen import Counts, Rates

RATES = Rates("cpu1", "float32", macs=1e9, copies={1000: 100.0, 100_000: 10.0})


def counts(macs: int, least_bytes: int) -> Counts:
    return Counts(operators=1, macs=macs, allocated=0, least_bytes=least_bytes)


def test_compute_bound() -> None:
    work = counts(20_000_000_000, 1000)  # 20 s of multiply-adds, 10 s of bytes
    assert floor_seconds(work, RATES) == pytest.approx(20.0)
    assert bound(work, RATES) == "compute"
    assert utilisation(40.0, work, RATES) == pytest.approx(0.5)


def test_memory_bound() -> None:
    work = counts(5_000_000_000, 1000)
    assert floor_seconds(work, RATES) == pytest.approx(10.0)
    assert bound(work, RATES) == "memory"
    assert utilisation(40.0, work, RATES) == pytest.approx(0.25)


@pytest.mark.parametrize(("size", "rate"), [(1, 100.0), (1000, 100.0), (10_000, 55.0), (100_000, 10.0), (10**9, 10.0)])
def test_the_copy_rate_belongs_to_the_footprint(size: int, rate: float) -> None:
    assert copy_rate(size, RATES.copies) == pytest.approx(rate)


def test_between_several_sizes() -> None:
    copies = {1: 0.0, 10: 1.0, 100: 5.0, 1000: 7.0}
    assert copy_rate(10 * 10**0.5, copies) == pytest.approx(3.0)
    assert copy_rate(100 * 10**0.5, copies) == pytest.approx(6.0)


def test_nothing_counted_has_no_floor() -> None:
    assert floor_seconds(counts(0, 0), RATES) == 0
    assert utilisation(1.0, counts(0, 0), RATES) is None
    assert bound(counts(0, 0), RATES) is None


def test_nothing_measured_has_no_floor() -> None:
    blind = Rates("cuda", "float32", macs=0.0)
    assert utilisation(1.0, counts(100, 100), blind) is None


def test_a_time_of_zero_has_no_utilisation() -> None:
    assert utilisation(0.0, counts(100, 100), RATES) is None


def test_products_with_padding_are_not_necessary() -> None:
    rates = Rates("cpu1", "float32", 1e9, {1 << 20: 1e9})
    counts = Counts(operators=1, macs=100_000_000, allocated=0, least_bytes=1000, padding=16_000_000)
    assert floor_seconds(counts, rates) == pytest.approx(0.084)
