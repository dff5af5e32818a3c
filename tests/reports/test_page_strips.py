"""Places on the line of a check, worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resbench.claims.model import AtLeast, AtMost, Between, Comparator, Equals, Monotone, Order, Ratio, Within
from resbench.reports.page.strips import Strip, strip_of


def strip(compare: Comparator, measured: Any, interval: Any = None, unit: str = "", seeds: Any = ()) -> Strip:
    made = strip_of(compare, measured, interval, unit, seeds)
    assert made is not None
    return made


def test_value_bound_and_seeds_by_hand() -> None:
    # From 0 (a seed) to 10 (the bound), with 6 % on both sides: 0 lies at 0.6 / 11.2, and 10 at 10.6 / 11.2.
    made = strip(AtMost(bound=10.0), 5.0, (4.0, 6.0), " %", [(0.0, None), (8.0, (7.0, 9.0))])
    [line] = made.lines
    [dot] = line.dots
    assert (dot.x, dot.low, dot.high) == (50.0, pytest.approx(41.07), pytest.approx(58.93))
    assert dot.text == "5 % [4, 6]"
    assert [seed.x for seed in line.seeds] == [pytest.approx(5.36), pytest.approx(76.79)]
    assert made.band is not None
    assert (made.band.left, made.band.right, made.band.open) == (0.0, pytest.approx(94.64), "left")
    assert made.summary == "5 %; 2 recorded seeds from 0 to 8 %"
    assert "10" in [tick.text for tick in made.ticks]


@pytest.mark.parametrize(
    ("compare", "sides"),
    [
        (AtLeast(bound=1.0), "right"),
        (Between(low=1.0, high=3.0), ""),
        (Within(value=2.0, abs=0.5), ""),
        (Ratio(over="a", under="b", at_most=3.0), "left"),
    ],
)
def test_what_is_accepted(compare: Comparator, sides: str) -> None:
    band = strip(compare, 2.0).band
    assert band is not None
    assert band.open == sides
    assert 0 <= band.left < 50 < band.right <= 100 or sides


def test_what_is_no_range_has_no_band() -> None:
    made = strip(Order(names=["a", "b"]), {"a": 1.0, "b": 3.0}, unit=" %")
    assert [line.label for line in made.lines] == ["a", "b"]
    assert made.lines[0].dots[0].x < made.lines[1].dots[0].x
    assert made.band is None
    assert made.summary == "a 1 %, b 3 %"
    assert strip(Monotone(direction="increasing"), [1.0, 2.0, 4.0]).band is None


def test_many_decades_are_logarithmic() -> None:
    made = strip(AtLeast(bound=1.0), 1e6)
    assert made.logarithmic
    assert not strip(AtLeast(bound=1.0), 500.0).logarithmic
    middle = strip(Between(low=1.0, high=1e6), 1e3)
    assert middle.lines[0].dots[0].x == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("compare", "measured"),
    [
        (Equals(value=3), 3),
        (AtLeast(bound=1.0), None),
        (AtLeast(bound=1.0), "nan"),
        (AtLeast(bound=1.0), math.nan),
        (AtLeast(bound=1.0), [1.0, math.inf]),
        (AtLeast(bound=1.0), []),
        (AtLeast(bound=1.0), True),
        (AtLeast(bound=1.0), "161/4"),
        (Order(names=["a", "b"]), {"a": 1.0, "b": None}),
    ],
)
def test_nothing_to_draw(compare: Comparator, measured: Any) -> None:
    assert strip_of(compare, measured, None, "") is None


numbers = st.floats(-1e12, 1e12, allow_nan=False)


@given(numbers, st.lists(numbers, min_size=1, max_size=80), st.lists(numbers, max_size=5))
def test_everything_lies_on_the_line(bound: float, values: list[float], seeds: list[float]) -> None:
    measured: Any = values[0] if len(values) == 1 else values
    made = strip(AtLeast(bound=bound), measured, None, "", [(seed, None) for seed in seeds])
    assert made.band is not None
    dots = [dot for line in made.lines for dot in (*line.dots, *line.seeds)]
    assert len(made.lines[0].dots) == min(len(values), 60)
    for place in [*(dot.x for dot in dots), made.band.left, made.band.right, *(tick.x for tick in made.ticks)]:
        assert 0 <= place <= 100
    inside = [value for value in values if value >= bound]
    if len(values) == 1 and inside:
        assert dots[0].x >= made.band.left
