"""The smallest effect that a claim can see, worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from resbench.claims.model import (
    AtLeast,
    AtMost,
    Between,
    Comparator,
    Equals,
    Monotone,
    Order,
    Rank,
    Ratio,
    Within,
)
from resbench.judging.compare import Status, compare
from resbench.judging.power import Effect, Power, powers
from resbench.records.measurement import Measurement

Seeds = Sequence[tuple[Any, tuple[float, float] | None]]


def power(comparator: Comparator, *seeds: tuple[Any, tuple[float, float] | None]) -> Power:
    (found,) = powers(comparator, seeds)
    return found


def test_a_lower_bound() -> None:
    """90 % and more: the intervals begin 1, 3, 2 above it."""
    found = power(AtLeast(bound=90), (92, (91, 93)), (94, (93, 95)), (94, (92, 96)))
    assert (found.way, found.factor, found.margins) == ("fall", False, (1.0, 3.0, 2.0))
    assert found.effect(0.5) == Effect(2.0, 0.5), "the second of three: 2 / (3 + 1)"
    assert found.effect(0.95) == Effect(3.0, 0.75), "three seeds allow no more than 3 / 4"
    assert found.effect(0.25) == Effect(1.0, 0.25)


def test_an_upper_bound() -> None:
    found = power(AtMost(bound=1), (0.0, (0.0, 0.25)), (0.5, (0.125, 0.75)))
    assert (found.way, found.margins) == ("rise", (0.75, 0.25))


def test_twenty_seeds_reach_95_percent() -> None:
    """The 20th of 20: 20 / 21 = 95.2 %; of 19 the 19th: 19 / 20 = 95 % sharp; of 18 only 94.7 %."""
    seeds = [(float(place), (float(place), 100.0)) for place in range(1, 21)]
    assert power(AtLeast(bound=0), *seeds).effect(0.95) == Effect(20.0, 20 / 21)
    assert power(AtLeast(bound=0), *seeds[:19]).effect(0.95) == Effect(19.0, 0.95)
    assert power(AtLeast(bound=0), *seeds[:18]).effect(0.95) == Effect(18.0, 18 / 19)
    assert power(AtLeast(bound=0), *seeds).effect(0.5) == Effect(11.0, 11 / 21)


def test_two_bounds_have_a_power_each() -> None:
    for comparator in (Between(low=-5, high=5), Within(value=0, abs=5)):
        fall, rise = powers(comparator, [(1, (-1, 2))])
        assert (fall.way, fall.margins, rise.way, rise.margins) == ("fall", (4.0,), "rise", (3.0,))


def test_the_fall_of_a_ratio_is_a_factor() -> None:
    """10 [8, 13], at least 2: down to a quarter the interval is [2, 3.25], and still holds."""
    found = power(Ratio(over="a", under="b", at_least=2), (10, (8, 13)))
    assert (found.way, found.factor, found.margins) == ("fall", True, (4.0,))
    found = power(Ratio(over="a", under="b", at_most=0.5), (0.1, (0.0, 0.25)))
    assert (found.way, found.factor, found.margins) == ("rise", False, (0.25,))


def test_a_rank_correlation() -> None:
    found = power(Rank(statistic="spearman", at_most=-0.25), (-0.5, (-0.625, -0.375)))
    assert (found.way, found.margins) == ("rise", (0.125,))


def test_the_entry_nearest_to_the_bound() -> None:
    """The record has the interval of the entry that decided, [71, 78], of a list."""
    found = power(AtLeast(bound=50), ([90.0, 74.5, 91.0], (71.0, 78.0)))
    assert found.margins == (21.0,)


def test_the_smallest_step() -> None:
    """19, 4, 1 falls by 15 and 3; the interval of the smaller step is [2.5, 3.25]."""
    found = power(Monotone(direction="decreasing", strict=True), ([19.0, 4.0, 1.0], (2.5, 3.25)))
    assert (found.way, found.margins) == ("fall", (2.5,))
    found = power(Order(names=["a", "b"], margin=1), ({"a": 1.0, "b": 4.0}, (2.5, 3.25)))
    assert found.margins == (1.5,)


def test_a_point_nearer_than_its_interval() -> None:
    """The judge asks for the point as well, where resampling is biased."""
    assert power(AtLeast(bound=90), (91, (92, 94))).margins == (1.0,)
    assert power(AtLeast(bound=90), ([93, 91], (92, 94))).margins == (1.0,)


def test_without_an_interval_the_point_counts() -> None:
    assert power(AtMost(bound=3), (1, None)).margins == (2.0,)


def test_what_does_not_hold_has_nothing_to_lose() -> None:
    found = power(AtLeast(bound=90), (95, (94, 96)), (90, (89, 91)), (80, (79, 81)), (None, None))
    assert found.margins == (4.0, 0.0, 0.0, 0.0)
    ratio = power(Ratio(over="a", under="b", at_least=2), (4, (3, 5)), (2, (1, 3)), (None, None))
    assert ratio.margins == (1.5, 1.0, 1.0)


@pytest.mark.parametrize(
    ("comparator", "measured"),
    [
        (Equals(value="yes"), "yes"),
        (Between(low=0, high=1), [0.5, 0.25]),
        (Within(value=[1.0, 2.0], abs=1.0), [1.0, 2.0]),
        (AtLeast(bound=1), None),
    ],
)
def test_where_no_power_follows(comparator: Comparator, measured: Any) -> None:
    assert powers(comparator, [(measured, None)]) == []
    assert powers(comparator, []) == []


def test_the_judge_agrees() -> None:
    """Shifted by a little less than the effect a verdict is HOLDS as often as said, by a little more less often."""
    noise = np.random.default_rng(0)
    bound, width = AtLeast(bound=0.0), 0.5
    values = 2.0 + 0.3 * noise.normal(size=19)
    (found,) = powers(bound, [(value, (value - width, value + width)) for value in values])

    def held(shift: float) -> int:
        shifted = [Measurement(v - shift, interval=(v - shift - width, v - shift + width), method="t") for v in values]
        return sum(compare(bound, one).status is Status.HOLDS for one in shifted)

    assert min(found.margins) > 0.0
    half, most = found.effect(0.5).size, found.effect(0.95).size
    assert (held(0.0), held(half - 1e-6), held(half + 1e-6)) == (19, 10, 9)
    assert (held(most - 1e-6), held(most + 1e-6)) == (1, 0)


def test_ready_for_json() -> None:
    found = power(AtLeast(bound=90), (92, (91, 93)), (94, (93, 95)), (94, (92, 96)))
    assert found.to_json() == {
        "way": "fall",
        "kind": "shift",
        "effects": [
            {"wanted": 0.5, "size": 2.0, "probability": 0.5},
            {"wanted": 0.95, "size": 3.0, "probability": 0.75},
        ],
        "margins": [1.0, 3.0, 2.0],
    }
