"""Lists and tables whose entries come with intervals: differences and ratios lie between the extremes."""

from __future__ import annotations

from typing import Any

import pytest

from resbench.claims.model import AtLeast, AtMost, Comparator, Monotone, Order, Rank, Ratio
from resbench.judge import Status, compare
from resbench.records.measurement import Measurement


def given(value: Any, intervals: Any) -> Measurement:
    return Measurement(value, intervals=intervals, method="sequence")


LIST = given([10.0, 20.0, 40.0], [(9.0, 12.0), (15.0, 25.0), (30.0, 50.0)])
TABLE = given({"a": 2.0, "b": 10.0}, {"a": (1.0, 3.0), "b": (8.0, 12.0)})
CASES: list[tuple[Comparator, Measurement, Status, tuple[float, float]]] = [
    (AtLeast(bound=9.0), LIST, Status.HOLDS, (9.0, 12.0)),
    (AtLeast(bound=10.0), LIST, Status.INCONCLUSIVE, (9.0, 12.0)),
    (AtLeast(bound=2.0), given([2.0], [(2.0, 2.0)]), Status.HOLDS, (2.0, 2.0)),
    (AtMost(bound=29.0), LIST, Status.VIOLATED, (30.0, 50.0)),
    (Monotone(direction="increasing"), LIST, Status.HOLDS, (3.0, 16.0)),
    (Monotone(direction="decreasing"), LIST, Status.VIOLATED, (-35.0, -5.0)),
    (Monotone(direction="increasing", slack=-0.0, strict=True), LIST, Status.HOLDS, (3.0, 16.0)),
    (Order(names=["a", "b"], margin=5.0), TABLE, Status.HOLDS, (5.0, 11.0)),
    (Order(names=["a", "b"], margin=5.5), TABLE, Status.INCONCLUSIVE, (5.0, 11.0)),
    (Ratio(over="a", under="b", at_most=0.4), TABLE, Status.HOLDS, (1 / 12, 3 / 8)),
    (Ratio(over="b", under="a", at_least=3.0), TABLE, Status.INCONCLUSIVE, (8 / 3, 12.0)),
]


@pytest.mark.parametrize(("comparator", "measurement", "status", "interval"), CASES)
def test_judged(
    comparator: Comparator, measurement: Measurement, status: Status, interval: tuple[float, float]
) -> None:
    found = compare(comparator, measurement)
    assert found.status is status, found.message
    assert found.interval == pytest.approx(interval)


def test_the_interval_stands_beside_the_entry_that_decided() -> None:
    found = compare(AtLeast(bound=9.0), LIST)
    assert found.message == "measured 10, 20, 40, expected >= 9; value 1 of 3 is 10 [9, 12]"


@pytest.mark.parametrize("interval", [(-1.0, 2.0), (0.0, 2.0), (-2.0, 0.0)])
def test_a_denominator_that_may_be_zero(interval: tuple[float, float]) -> None:
    table = given({"a": 2.0, "b": sum(interval) / 2 or 1.0}, {"a": (1.0, 3.0), "b": interval})
    found = compare(Ratio(over="a", under="b", at_most=9.0), table)
    assert found.status is Status.INCONCLUSIVE
    assert "cannot be told from 0" in found.message


@pytest.mark.parametrize(
    ("comparator", "measurement", "message"),
    [
        (AtLeast(bound=0.0), given([1.0, 2.0], [(0.0, 2.0)]), "do not fit"),
        (AtLeast(bound=0.0), given(1.0, [(0.0, 2.0)]), "do not fit"),
        (AtLeast(bound=0.0), given([1.0], {"a": (0.0, 2.0)}), "do not fit"),
        (AtLeast(bound=0.0), given([1.0], [(2.0, 0.0)]), "reversed"),
        (AtLeast(bound=0.0), given([1.0], [(2.0,)]), "not an interval"),
        (Order(names=["a", "b"]), given({"a": 1.0, "b": 2.0}, {"a": (0.0, 1.0)}), "lack entries"),
        (
            Rank(statistic="spearman", at_least=0.5),
            given([[1.0, 2.0]] * 3, [[0.0, 1.0]] * 3),
            "rank correlation",
        ),
    ],
)
def test_what_does_not_fit_is_an_error(comparator: Comparator, measurement: Measurement, message: str) -> None:
    found = compare(comparator, measurement)
    assert found.status is Status.ERROR
    assert message in found.message


def test_the_confidence_of_replicates_is_the_measurements() -> None:
    values = [float(value) for value in range(1000)]
    wide, narrow = (
        compare(AtLeast(bound=0.0), Measurement([499.0], replicates=[[v] for v in values], method="b", confidence=c))
        for c in (0.96, 0.5)
    )
    assert wide.interval == pytest.approx((20, 980), abs=2)
    assert narrow.interval == pytest.approx((250, 750), abs=2)
