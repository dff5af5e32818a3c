"""How much room there is to a bound, worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from resbench.claims.model import AtLeast, AtMost, Between, Comparator, Equals, Monotone, Order, Rank, Ratio, Within
from resbench.judging.compare import Status, compare
from resbench.judging.margins import Margin, smallest
from resbench.records.measurement import Measurement


def margin(comparator: Comparator, value: Any, interval: tuple[float, float] | None = None, **fields: Any) -> Margin:
    method = "exact" if interval is None and not fields else "Wilson"
    found = compare(comparator, Measurement(value, interval, method=method, **fields)).margin
    assert found is not None
    return found


def test_a_lower_bound() -> None:
    """92 in [91, 93] beside 90: the near end is 1 inside, as far as half the interval is wide."""
    found = margin(AtLeast(bound=90), 92, (91, 93))
    assert found == Margin(1.0, 1.0, 90.0)
    assert (found.size, found.unit) == (1.0, "half widths")


def test_an_upper_bound() -> None:
    assert margin(AtMost(bound=1), 0.5, (0.125, 0.75)) == Margin(0.25, 0.3125, 1.0)


def test_of_two_bounds_the_nearer() -> None:
    assert margin(Between(low=0, high=10), 8, (7, 9)) == Margin(1.0, 1.0, 5.0)
    assert margin(Between(low=0, high=10), 2.5, (2, 3)) == Margin(2.0, 0.5, 5.0)
    assert margin(Within(value=10, abs=2), 11, (10.5, 11.5)) == Margin(0.5, 0.5, 2.0)


def test_across_the_bound_it_is_negative() -> None:
    """From 89 to 93 the interval straddles 90; from 86 to 88 it lies across, by more than twice its half width."""
    straddles, across = margin(AtLeast(bound=90), 91, (89, 93)), margin(AtLeast(bound=90), 87, (86, 88))
    assert (straddles.room, straddles.size) == (-1.0, -0.5)
    assert (across.room, across.size) == (-4.0, -4.0)


def test_the_point_counts_where_its_interval_is_askew() -> None:
    assert margin(AtLeast(bound=90), 91, (92, 94)) == Margin(1.0, 1.0, 90.0)


@pytest.mark.parametrize(
    ("comparator", "value", "room", "tolerance", "size"),
    [
        (AtLeast(bound=4), 5, 1.0, 4.0, 0.25),
        (AtMost(bound=4), 3, 1.0, 4.0, 0.25),
        (AtMost(bound=-4), -5, 1.0, 4.0, 0.25),
        (Between(low=2, high=10), 4, 2.0, 4.0, 0.5),
        (Within(value=10, abs=2), 10, 2.0, 2.0, 1.0),
        (AtLeast(bound=0), 5, 5.0, None, None),
    ],
)
def test_without_noise_it_is_in_units_of_the_tolerance(
    comparator: Comparator, value: float, room: float, tolerance: float | None, size: float | None
) -> None:
    found = margin(comparator, value)
    assert found == Margin(room, None, tolerance)
    assert found.size == size
    assert found.unit == ("tolerances" if tolerance else "")


def test_an_interval_of_no_width_is_no_noise() -> None:
    assert margin(AtLeast(bound=4), 5, (5, 5)) == Margin(1.0, None, 4.0)


def test_of_a_list_and_of_steps_that_which_decided() -> None:
    assert margin(AtLeast(bound=1), [4, 2, 3]).room == 1.0
    assert margin(Order(names=["a", "b", "c"], margin=1), {"a": 1, "b": 4, "c": 5.5}) == Margin(0.5, None, 1.0)
    assert margin(Monotone(direction="increasing"), [1, 4, 6]) == Margin(2.0, None, None)
    intervals = [(8.0, 10.0), (4.0, 6.0)]
    assert margin(AtLeast(bound=1), [9, 5], intervals=intervals) == Margin(3.0, 1.0, 1.0)


def test_a_rank_correlation_is_its_own() -> None:
    assert margin(Rank(statistic="spearman", at_least=0.5), [[1, 1], [2, 2], [3, 3]]) == Margin(0.5, None, 0.5)


def test_a_sampled_ratio_is_measured_by_factors() -> None:
    """Between 8 and 32 beside 2: a factor of 4 to the near end, and 2 from the middle to either end."""
    intervals = {"a": (8.0, 32.0), "b": (1.0, 1.0)}
    found = margin(Ratio(over="a", under="b", at_least=2), {"a": 16, "b": 1}, intervals=intervals)
    assert found.log
    assert (found.room, found.half_width) == pytest.approx((math.log(4), math.log(2)))
    assert found.size == pytest.approx(2.0)
    above = margin(Ratio(over="a", under="b", at_most=64), {"a": 16, "b": 1}, intervals=intervals)
    assert above.room == pytest.approx(math.log(2))
    both = margin(Ratio(over="a", under="b", at_least=2, at_most=128), {"a": 16, "b": 1}, intervals=intervals)
    assert both.tolerance == pytest.approx(math.log(8))


def test_ratios_below_one() -> None:
    """From 0.5 to 0.8 beside 0.25, and below 0.9."""
    intervals = {"a": (0.5, 0.8), "b": (1.0, 1.0)}
    found = margin(Ratio(over="a", under="b", at_least=0.25), {"a": 0.6, "b": 1}, intervals=intervals)
    assert (found.room, found.half_width) == pytest.approx((math.log(2), math.log(1.6) / 2))
    above = margin(Ratio(over="a", under="b", at_most=0.9), {"a": 0.6, "b": 1}, intervals=intervals)
    assert (above.room, above.tolerance) == pytest.approx((math.log(0.9 / 0.8), -math.log(0.9)))


def test_a_ratio_that_may_be_0_has_no_logarithm() -> None:
    ratio = Ratio(over="a", under="b", at_least=-1)
    assert margin(ratio, {"a": 2, "b": 1}, intervals={"a": (0.0, 3.0), "b": (1.0, 1.0)}) == Margin(1.0, 1.5, 1.0)
    zero = Ratio(over="a", under="b", at_least=0)
    assert margin(zero, {"a": 2, "b": 1}, intervals={"a": (1.0, 3.0), "b": (1.0, 1.0)}) == Margin(1.0, 1.0, None)


def test_a_ratio_that_may_be_negative_or_is_exact_is_not() -> None:
    ratio = Ratio(over="a", under="b", at_least=0.5)
    assert margin(ratio, {"a": 2, "b": 1}) == Margin(1.5, None, 0.5)
    assert margin(ratio, {"a": 2, "b": 1}, intervals={"a": (-1.0, 3.0), "b": (1.0, 1.0)}) == Margin(-1.5, 2.0, 0.5)
    below = Ratio(over="a", under="b", at_least=-2)
    assert margin(below, {"a": 2, "b": 1}, intervals={"a": (1.0, 3.0), "b": (1.0, 1.0)}) == Margin(3.0, 1.0, 2.0)


@pytest.mark.parametrize(
    ("comparator", "value"),
    [
        (Equals(value="relu"), "relu"),
        (Equals(value=3), 3),
        (Equals(value=3), 4),
        (Within(value=3), 3),
        (AtLeast(bound=1), 10**400),
        (AtLeast(bound=1), math.nan),
    ],
)
def test_what_has_no_margin(comparator: Comparator, value: Any) -> None:
    """Words, one accepted value, more than a float can hold, and errors; the verdict stays what it is."""
    found = compare(comparator, Measurement(value))
    assert found.margin is None
    assert found.status is not Status.ERROR or value != value


def test_a_tolerance_that_no_float_holds_is_none() -> None:
    """The bounds may be far apart; the room of a value inside is then just as far."""
    assert margin(Between(low=0, high=1.7e308), 5) == Margin(5.0, None, 0.85e308)


def test_the_worst_first() -> None:
    """Across the bound, then what moves by chance, then what does not; without a size at all it is left out."""
    margins = {
        "exact": Margin(0.1, None, 10.0),
        "on the bound": Margin(0.0, None, 10.0),
        "sampled": Margin(3.0, 1.0, None),
        "nearer": Margin(1.0, 1.0, None),
        "none": None,
        "sizeless": Margin(5.0, None, None),
        "across": Margin(-1.0, None, 10.0),
        "far across": Margin(-1.0, 1.0, None),
    }
    order = ["far across", "across", "nearer", "sampled", "on the bound", "exact"]
    assert smallest(margins, margins.__getitem__) == order


def test_equal_ones_stay_in_their_order() -> None:
    """Whatever they are: such that cannot be compared, too."""
    entries = [{"b": 1}, {"a": 1}]
    assert smallest(entries, lambda _: Margin(1.0, 1.0, None)) == entries


def test_as_json() -> None:
    assert Margin(2.0, None, 4.0).to_json() == {
        "room": 2.0, "half_width": None, "tolerance": 4.0, "size": 0.5, "unit": "tolerances", "log": False,
    }  # fmt: skip
