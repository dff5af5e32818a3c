"""What holds of every comparator, whatever was measured."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from resbench.judging.compare import Judgement, Status, compare
from resbench.records.measurement import Measurement

HOLDS, VIOLATED, INCONCLUSIVE, ERROR = Status.HOLDS, Status.VIOLATED, Status.INCONCLUSIVE, Status.ERROR
PAIRS = [[1, 2], [2, 1], [3, 4], [4, 3], [5, 5]]  # Spearman 0.8, Kendall 0.6


def exact(comparator: Comparator, value: Any) -> Judgement:
    return compare(comparator, Measurement(value))


def sampled(comparator: Comparator, value: Any, **uncertainty: Any) -> Judgement:
    return compare(comparator, Measurement(value, method="bootstrap over the images", **uncertainty))


EVERY: list[tuple[Comparator, Any]] = [
    (Equals(value=[1, 2, 3]), [1, 2, 3]),
    (Equals(value=[1, "a"]), [1, "a"]),
    (Within(value=1, abs=100), 2.0),
    (Within(value=[1, 2], abs=100), [1.0, 2.0]),
    (AtLeast(bound=-1e300), [1.0, 2.0]),
    (AtMost(bound=1e300), [1.0, 2.0]),
    (Between(low=-1e300, high=1e300), 3.0),
    (Monotone(direction="increasing", slack=1e300), [1.0, 2.0, 3.0]),
    (Monotone(direction="decreasing", slack=1e300), [1.0, 2.0, 3.0]),
    (Rank(statistic="spearman", at_least=-1), PAIRS),
    (Rank(statistic="kendall", at_most=1), PAIRS),
    (Ratio(over="a", under="b", at_least=-1e300), {"a": 1.0, "b": 2.0, "other": 3.0}),
    (Order(names=["a", "b"]), {"a": 1.0, "b": 2.0, "other": 3.0}),
]


def spoilt(value: Any, bad: Any) -> list[Any]:
    """The value with one number at a time, and with the whole, replaced by something that is none."""
    if isinstance(value, list):
        return [
            bad,
            *([*value[:i], entry, *value[i + 1 :]] for i in range(len(value)) for entry in spoilt(value[i], bad)),
        ]
    if isinstance(value, dict):
        return [bad, *({**value, name: entry} for name in value for entry in spoilt(value[name], bad))]
    return [bad]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None, [], {}, "nan", object(), b"1", 1j, [[]]])
@pytest.mark.parametrize(("comparator", "value"), EVERY)
def test_what_is_no_number_is_never_green_nor_red(comparator: Comparator, value: Any, bad: Any) -> None:
    assert exact(comparator, value).status is HOLDS  # or else the rest shows nothing
    for broken in spoilt(value, bad):
        if comparator == Equals(value=[1, "a"]) and broken == [1, "nan"]:
            continue  # a text may be compared with a text
        assert exact(comparator, broken).status is ERROR, broken
        replicates = [value] * 120 + [broken]
        assert sampled(comparator, value, replicates=replicates).status is ERROR, broken
        assert sampled(comparator, broken, replicates=[value] * 120).status is ERROR, broken


numbers = st.floats(-100, 100).map(lambda x: round(x, 3))
entries = st.one_of(
    st.integers(), st.floats(), st.booleans(), st.text(max_size=3), st.none(), st.fractions(), st.just(10**400)
)
values = st.recursive(
    entries,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(EVERY), values, values, st.booleans())
def test_nothing_that_was_measured_raises(case: tuple[Comparator, Any], value: Any, other: Any, whole: bool) -> None:
    comparator, good = case
    exact(comparator, value)
    sampled(comparator, good if whole else value, replicates=[value] * 100 + [other])
    sampled(comparator, value, interval=other)


@given(numbers, numbers, numbers, numbers, numbers)
def test_a_higher_bound_is_never_easier(point: float, one: float, two: float, low: float, high: float) -> None:
    interval = (min(one, two), max(one, two))
    order = [HOLDS, INCONCLUSIVE, VIOLATED]
    easy, hard = (
        order.index(sampled(AtLeast(bound=bound), point, interval=interval).status)
        for bound in (min(low, high), max(low, high))
    )
    assert easy <= hard
    # And one bound seen from its two sides: what is clearly below is not above.
    below = sampled(AtMost(bound=low), point, interval=interval).status
    if sampled(AtLeast(bound=low), point, interval=interval).status is VIOLATED:
        assert below is HOLDS
    if below is VIOLATED:
        assert sampled(AtLeast(bound=low), point, interval=interval).status is HOLDS


@settings(max_examples=50)
@given(st.lists(numbers, min_size=2, max_size=6), st.floats(0, 20), st.data())
def test_green_lists_have_their_points_inside(listed: list[float], spread: float, data: st.DataObject) -> None:
    target = data.draw(numbers)
    comparators: list[Comparator] = [
        AtLeast(bound=target),
        AtMost(bound=target),
        Between(low=target, high=target + 40),
        Within(value=target, abs=40),
        Monotone(direction="increasing", slack=abs(target)),
    ]
    replicates = (np.array(listed) + np.random.default_rng(0).uniform(-spread, spread, (120, len(listed)))).tolist()
    shuffled = data.draw(st.permutations(range(len(listed))))
    for comparator in comparators:
        judgement = sampled(comparator, listed, replicates=replicates)
        seen = exact(comparator, listed).status
        if judgement.status in (HOLDS, VIOLATED):
            assert judgement.status is seen
        if isinstance(comparator, Monotone):
            continue
        reordered = [[replicate[place] for place in shuffled] for replicate in replicates]
        again = sampled(comparator, [listed[place] for place in shuffled], replicates=reordered)
        assert again.status is judgement.status


@given(st.permutations(range(5)))
def test_rank_does_not_depend_on_the_order_of_the_pairs(order: list[int]) -> None:
    for statistic, value in (("spearman", 0.8), ("kendall", 0.6)):
        shuffled = [PAIRS[place] for place in order]
        assert exact(Rank(statistic=statistic, at_least=0), shuffled).measured == value  # type: ignore[arg-type]
        assert exact(Rank(statistic=statistic, at_least=0), [[y, x] for x, y in shuffled]).measured == value  # type: ignore[arg-type]
