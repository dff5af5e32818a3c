from __future__ import annotations

import math
from fractions import Fraction
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
from resbench.judging.compare import MIN_REPLICATES, Judgement, Status, compare
from resbench.judging.statistic import Region, labels, statistics
from resbench.records.measurement import Measurement

HOLDS, VIOLATED, INCONCLUSIVE, ERROR = Status.HOLDS, Status.VIOLATED, Status.INCONCLUSIVE, Status.ERROR
PAIRS = [[1, 2], [2, 1], [3, 4], [4, 3], [5, 5]]  # Spearman 0.8, Kendall 0.6


def exact(comparator: Comparator, value: Any) -> Judgement:
    return compare(comparator, Measurement(value))


def sampled(comparator: Comparator, value: Any, **uncertainty: Any) -> Judgement:
    return compare(comparator, Measurement(value, method="bootstrap over the images", **uncertainty))


def around(value: Any, spread: float, count: int = 400, seed: int = 0) -> list[Any]:
    """Replicates of a number, list, list of pairs or table: uniform within ``spread`` of it."""
    generator = np.random.default_rng(seed)
    if isinstance(value, dict):
        return [{name: x + generator.uniform(-spread, spread) for name, x in value.items()} for _ in range(count)]
    array = np.asarray(value, dtype=float)
    return list((array + generator.uniform(-spread, spread, (count, *array.shape))).tolist())


@pytest.mark.parametrize(
    ("comparator", "value", "status"),
    [
        (Equals(value=2**70), 2**70, HOLDS),
        (Equals(value=2**70), 2**70 + 1, VIOLATED),  # the same float
        (Equals(value=2**70), float(2**70), HOLDS),  # a float that is that integer, although it prints as 1.18...e+21
        (Equals(value=str(3**60)), 3**60, HOLDS),
        (Equals(value="161/4"), Fraction(161, 4), HOLDS),
        (Equals(value="161/4"), 40.25, HOLDS),
        (Equals(value="161/4"), "161/4", HOLDS),
        (Equals(value="1/3"), 1 / 3, VIOLATED),  # no float is a third
        (Equals(value=54), 54.0, HOLDS),
        (Equals(value=0.3), 0.1 + 0.2, VIOLATED),  # floats exactly
        (Equals(value=6.03), 6.03, HOLDS),
        (Equals(value=0.1), Fraction(1, 10), HOLDS),  # a bound means its decimal
        (Equals(value=1), True, ERROR),
        (Equals(value=True), 1, ERROR),
        (Equals(value=True), True, HOLDS),
        (Equals(value=True), False, VIOLATED),
        (Equals(value="relu"), "relu", HOLDS),
        (Equals(value="relu"), "tanh", VIOLATED),
        (Equals(value="relu"), 3, ERROR),
        (Equals(value=16), "16", ERROR),
        (Equals(value=[1, "1/2", 0.25]), [1, 0.5, Fraction(1, 4)], HOLDS),
        (Equals(value=[1, 2]), [2, 1], VIOLATED),
        (Equals(value=[1, 2]), [1, 2, 3], ERROR),
        (Equals(value=[1, 2]), [1], ERROR),
        (Equals(value=[1]), 1, ERROR),
        (Equals(value=1), [1], ERROR),
        (Equals(value=["a", 1]), ["a", 2], VIOLATED),
        (Equals(value=["a", 1]), ["b", True], ERROR),
        (Equals(value=1), {"a": 1}, ERROR),
        (Within(value=0.7, abs=0.1), 0.8, HOLDS),  # 0.7 + 0.1 < 0.8 in floats
        (Within(value=16.5, abs=0.5), 17.0, HOLDS),
        (Within(value=16.5, abs=0.5), 17.01, VIOLATED),
        (Within(value=16.5, abs=0.5), 16.0, HOLDS),
        (Within(value=16.5, abs=0.5), 15.99, VIOLATED),
        (Within(value=-200, rel=0.1), -180, HOLDS),
        (Within(value=-200, rel=0.1), -179, VIOLATED),
        (Within(value=100, abs=1, rel=0.02), 103, HOLDS),
        (Within(value=[1, 10], rel=0.1), [1.1, 9], HOLDS),
        (Within(value=[1, 10], rel=0.1), [1.2, 10], VIOLATED),
        (Within(value=[1, 10], rel=0.1), [1, 8.9], VIOLATED),
        (Within(value=[1, 10], abs=9), [1, 10, 10], ERROR),
        (Within(value=5, abs=1), [4, 5, 6], HOLDS),
        (Within(value=5, abs=1), [4, 5, 7], VIOLATED),
        (AtLeast(bound=0.1), Fraction(1, 10), HOLDS),  # although the float 0.1 is above a tenth
        (AtLeast(bound=0.9), 0.9, HOLDS),
        (AtLeast(bound=0.9), 0.8999, VIOLATED),
        (AtLeast(bound=0.9), [0.95, 0.91], HOLDS),
        (AtLeast(bound=0.9), [0.95, 0.89], VIOLATED),
        (AtLeast(bound=0.9), {"a": 1}, ERROR),
        (AtLeast(bound=0.9), True, ERROR),
        (AtLeast(bound=0.9), "1", ERROR),
        (AtMost(bound=3), 3, HOLDS),
        (AtMost(bound=3), [1, 4], VIOLATED),
        (Between(low=1, high=2), [1, 2], HOLDS),
        (Between(low=1, high=2), [0.5, 1.5], VIOLATED),
        (Between(low=1, high=2), [1.5, 2.5], VIOLATED),
        (Monotone(direction="increasing"), [1, 1, 2], HOLDS),
        (Monotone(direction="increasing"), [1, 2, 1.9], VIOLATED),
        (Monotone(direction="increasing", slack=0.1), [1, 2, 1.9], HOLDS),
        (Monotone(direction="increasing", strict=True), [1, 1, 2], VIOLATED),
        (Monotone(direction="decreasing"), [3, 2, 2], HOLDS),
        (Monotone(direction="decreasing"), [3, 2, 2.1], VIOLATED),
        (Monotone(direction="decreasing", strict=True), [3, 2, 1], HOLDS),
        (Monotone(direction="increasing"), [1], ERROR),
        (Monotone(direction="increasing"), 1, ERROR),
        (Monotone(direction="increasing"), [[1, 2], [3, 4]], ERROR),
        (Rank(statistic="spearman", at_least=0.8), PAIRS, HOLDS),
        (Rank(statistic="spearman", at_least=0.81), PAIRS, VIOLATED),
        (Rank(statistic="kendall", at_most=0.6), PAIRS, HOLDS),
        (Rank(statistic="kendall", at_least=0.5, at_most=0.59), PAIRS, VIOLATED),
        (Rank(statistic="spearman", at_least=1), [[x, 2**x] for x in range(54)], HOLDS),
        (Rank(statistic="spearman", at_least=0), [[1, 5], [2, 5], [3, 5]], ERROR),
        (Rank(statistic="spearman", at_least=1), [[1, 1], [2, 2], [3, 3]], HOLDS),
        (Rank(statistic="spearman", at_least=0), [[1, 1], [2, 2]], ERROR),
        (Rank(statistic="spearman", at_least=0), [1, 2, 3], ERROR),
        (Rank(statistic="spearman", at_least=0), [[1, 2, 3]] * 3, ERROR),
        (Ratio(over="a", under="b", at_most=0.5), {"a": 1, "b": 2}, HOLDS),
        (Ratio(over="a", under="b", at_most=0.49), {"a": 1, "b": 2}, VIOLATED),
        (Ratio(over="a", under="b", at_least=-1), {"a": 1, "b": 0}, ERROR),
        (Ratio(over="a", under="c", at_least=0), {"a": 1, "b": 2}, ERROR),
        (Ratio(over="a", under="b", at_least=0), [1, 2], ERROR),
        (Order(names=["a", "b", "c"]), {"c": 3, "b": 1, "a": 1}, HOLDS),
        (Order(names=["a", "b", "c"]), {"a": 1, "b": 3, "c": 2}, VIOLATED),
        (Order(names=["a", "b"], margin=0.1), {"a": 0.7, "b": 0.8}, HOLDS),  # 0.8 - 0.7 > 0.1 in floats
        (Order(names=["a", "b"], margin=0.2), {"a": 0.1, "b": 0.3}, HOLDS),  # 0.3 - 0.1 < 0.2 in floats
        (Order(names=["a", "b"], margin=0.11), {"a": 0.7, "b": 0.8}, VIOLATED),
        (Order(names=["a", "b", "c"]), {"a": 1, "b": 2}, ERROR),
        (Order(names=["a", "b"]), {"a": 1, "b": "2"}, ERROR),
    ],
)  # fmt: skip
def test_exact(comparator: Comparator, value: Any, status: Status) -> None:
    judgement = exact(comparator, value)
    assert judgement.status is status, judgement.message
    assert judgement.interval is None
    assert judgement.message


@pytest.mark.parametrize(
    ("interval", "status"),
    [((0.9, 0.95), HOLDS), ((0.89, 0.95), INCONCLUSIVE), ((0.8, 0.899), VIOLATED), ((0.8, 0.9), INCONCLUSIVE)],
)
def test_the_whole_interval_decides(interval: tuple[float, float], status: Status) -> None:
    judgement = sampled(AtLeast(bound=0.9), sum(interval) / 2, interval=interval)
    assert (judgement.status, judgement.interval) == (status, interval)


def test_an_interval_around_a_narrow_region_is_inconclusive() -> None:
    assert sampled(Between(low=4, high=5), 4.5, interval=(1, 10)).status is INCONCLUSIVE
    assert sampled(Equals(value=1), 1, interval=(1, 1)).status is HOLDS
    assert sampled(Equals(value=1), 1, interval=(1, 2)).status is INCONCLUSIVE


def test_a_biased_interval_must_agree_with_its_point() -> None:
    assert sampled(AtLeast(bound=0.9), 0.85, interval=(0.91, 0.95)).status is INCONCLUSIVE
    assert sampled(AtLeast(bound=0.9), 0.92, interval=(0.8, 0.85)).status is INCONCLUSIVE


def test_percentiles_of_a_scalars_replicates() -> None:
    replicates = [float(x) for x in range(100)]  # the interval is [2, 97]
    for bound, status in [(2, HOLDS), (2.5, INCONCLUSIVE), (97, INCONCLUSIVE), (97.5, VIOLATED)]:
        judgement = sampled(AtLeast(bound=bound), 50, replicates=replicates)
        assert (judgement.status, judgement.interval) == (status, (2, 97))


def test_lists_are_judged_by_their_worst_element() -> None:
    def judged(*values: float) -> Judgement:
        return sampled(AtLeast(bound=0), list(values), replicates=around(values, 1.0))

    assert judged(5, 3, 2).status is HOLDS
    assert judged(5, 0.2, -5).status is VIOLATED
    assert judged(5, 0.2, 3).status is INCONCLUSIVE
    assert "value 2 of 3 is 0.2 [" in judged(5, 0.2, 3).message
    interval = judged(5, 3, 2).interval
    assert interval is not None
    assert interval == pytest.approx((1, 3), abs=0.05)


def test_many_elements_have_wider_intervals_together() -> None:
    """With 2.5 % of the replicates across, one value is judged at 95 %, ten together at 99.5 % each."""
    one = [[1.0]] * 97 + [[-1.0]] * 2 + [[1.0]]
    assert sampled(AtLeast(bound=0), [1.0], replicates=one).status is HOLDS
    ten = [row * 10 for row in one]
    assert sampled(AtLeast(bound=0), [1.0] * 10, replicates=ten).status is INCONCLUSIVE


def test_steps_of_an_order_and_of_a_monotone_list() -> None:
    table = {"a": 1.0, "b": 4.0, "c": 4.5}
    replicates = around(table, 1.0)
    assert sampled(Order(names=["a", "b"], margin=0.5), table, replicates=replicates).status is HOLDS
    judgement = sampled(Order(names=["a", "b", "c"]), table, replicates=replicates)
    assert (judgement.status, judgement.measured) == (INCONCLUSIVE, table)
    assert "the rise from b to c is 0.5 [" in judgement.message
    assert sampled(Order(names=["b", "a"]), table, replicates=replicates).status is VIOLATED
    values = list(table.values())
    lists = [list(replicate.values()) for replicate in replicates]
    assert sampled(Monotone(direction="increasing", slack=1.6), values, replicates=lists).status is HOLDS
    assert sampled(Monotone(direction="increasing"), values, replicates=lists).status is INCONCLUSIVE
    assert sampled(Monotone(direction="decreasing"), values, replicates=lists).status is VIOLATED


def test_noise_alone_does_not_make_a_flat_list_fall() -> None:
    """The smallest of many noisy steps is always negative; each step by itself is not."""
    flat = np.random.default_rng(1).normal(size=30)
    judgement = sampled(Monotone(direction="increasing"), flat.tolist(), replicates=around(flat.tolist(), 3.0))
    assert judgement.status is INCONCLUSIVE


def test_paired_replicates_decide_what_unpaired_ones_cannot() -> None:
    common = np.random.default_rng(0).normal(size=300)
    paired = [{"a": x, "b": x + 0.5} for x in common]
    unpaired = [{"a": x, "b": y + 0.5} for x, y in zip(common, common[::-1], strict=True)]
    assert sampled(Order(names=["a", "b"]), {"a": 0.0, "b": 0.5}, replicates=paired).status is HOLDS
    assert sampled(Order(names=["a", "b"]), {"a": 0.0, "b": 0.5}, replicates=unpaired).status is INCONCLUSIVE


def test_rank_correlations_are_recomputed_on_every_replicate() -> None:
    replicates = [PAIRS] * 195 + [[[x, -y] for x, y in PAIRS]] * 5  # at 2.5 %, the first percentile is a flipped one
    judgement = sampled(Rank(statistic="spearman", at_least=0.5), PAIRS, replicates=replicates)
    assert (judgement.status, judgement.measured, judgement.interval) == (INCONCLUSIVE, 0.8, (-0.8, 0.8))
    judgement = sampled(Rank(statistic="kendall", at_least=0.5), PAIRS, replicates=[PAIRS] * 200)
    assert (judgement.status, judgement.measured, judgement.interval) == (HOLDS, 0.6, (0.6, 0.6))


def test_two_replicates_are_two_rank_correlations() -> None:
    columns = [[np.array([x, x]), np.array([y, -y])] for x, y in PAIRS]
    (found,) = statistics(Rank(statistic="spearman", at_least=0), columns)
    assert found.tolist() == [0.8, -0.8]


def test_ratios_of_replicates() -> None:
    table = {"a": 10.0, "b": 2.0}
    replicates = around(table, 1.0)
    judgement = sampled(Ratio(over="a", under="b", at_least=2.9), table, replicates=replicates)
    assert (judgement.status, judgement.measured) == (HOLDS, 5.0)
    assert judgement.interval is not None
    assert 3 <= judgement.interval[0] <= 3.8
    assert 7 <= judgement.interval[1] <= 11
    assert sampled(Ratio(over="a", under="b", at_most=2), table, replicates=replicates).status is VIOLATED


def test_a_denominator_that_may_be_zero_is_inconclusive() -> None:
    for middle in (0.5, 0.0):
        table = {"a": 100.0, "b": middle}
        judgement = sampled(Ratio(over="a", under="b", at_least=1), table, replicates=around(table, 1.0))
        assert (judgement.status, judgement.measured) == (INCONCLUSIVE, None)
        assert "'b', cannot be told from 0" in judgement.message
        assert judgement.expected == "a / b >= 1"
    once = [{"a": 1.0, "b": 1.0}] * 200 + [{"a": 1.0, "b": 0.0}]
    assert sampled(Ratio(over="a", under="b", at_least=1), {"a": 1.0, "b": 1.0}, replicates=once).status is INCONCLUSIVE


def test_a_denominator_near_one_is_far_from_zero() -> None:
    table = {"a": 3.0, "b": 1.0}
    assert sampled(Ratio(over="a", under="b", at_least=1.5), table, replicates=around(table, 0.5)).status is HOLDS


@pytest.mark.parametrize(
    ("value", "uncertainty", "words"),
    [
        (1.0, {}, "no uncertainty"),
        (1.0, {"replicates": []}, "no uncertainty"),
        ([1.0, 2.0], {"interval": (0.0, 3.0)}, "no uncertainty"),
        (1.0, {"replicates": [1.0] * (MIN_REPLICATES - 1)}, "too few"),
        (1.0, {"interval": (2.0, 0.0)}, "reversed"),
        (1.0, {"interval": (0.0, math.nan)}, "nan is not a finite number"),
        (1.0, {"interval": (-math.inf, 2.0)}, "-inf is not a finite number"),
        (1.0, {"interval": (0.0, 1.0, 2.0)}, "is not an interval"),
        (1.0, {"replicates": [[1.0]] * 200}, "shape"),
        ([1.0, 2.0], {"replicates": [[1.0]] * 200}, "shape"),
        ([1.0, 2.0], {"replicates": [[1.0, 2.0]] * 199 + [[1.0]]}, "one shape"),
        ([1.0, 2.0], {"replicates": [[1.0, math.nan]] * 200}, "NaN"),
        (1.0, {"replicates": [1.0] * 199 + [math.inf]}, "infinity"),
        (1.0, {"replicates": ["1.0"] * 200}, "not numbers"),
        (1.0, {"replicates": [True] * 200}, "not numbers"),
        (1.0, {"replicates": [None] * 200}, "None is not a number"),
        (10**400, {"interval": (0, 10**400)}, "too large"),
    ],
)  # fmt: skip
def test_uncertainty_that_is_none(value: Any, uncertainty: dict[str, Any], words: str) -> None:
    judgement = sampled(AtMost(bound=5), value, **uncertainty)
    assert judgement.status is ERROR
    assert words in judgement.message


def test_an_error_shows_what_was_measured_and_expected() -> None:
    for value, uncertainty in ([1.0, 2.0], {}), (10**400, {"interval": (0, 10**400)}):
        judgement = sampled(AtMost(bound=5), value, **uncertainty)  # type: ignore[arg-type]
        assert (judgement.status, judgement.measured, judgement.expected) == (ERROR, value, "<= 5")
        assert judgement.interval is None


def test_replicates_of_tables_need_every_name() -> None:
    replicates = [{"a": 1.0, "b": 2.0}] * 150 + [{"a": 1.0}]
    assert sampled(Order(names=["a", "b"]), {"a": 1.0, "b": 2.0}, replicates=replicates).status is ERROR


def test_replicates_may_be_fractions_or_arrays() -> None:
    assert sampled(AtMost(bound=1), Fraction(1, 2), replicates=[Fraction(1, 2)] * 100).status is HOLDS
    array = np.full((100, 2), 0.5)
    assert sampled(AtMost(bound=1), array[0], replicates=array).status is HOLDS
    assert exact(AtMost(bound=1), np.float32(0.5)).measured == 0.5


def test_a_sampled_word_has_no_interval() -> None:
    assert sampled(Equals(value=True), True, replicates=[True] * 200).status is ERROR
    assert sampled(Equals(value="relu"), "relu").status is ERROR


@pytest.mark.parametrize(
    ("comparator", "text"),
    [
        (Equals(value=6.03), "6.03 exactly"),
        (Equals(value="161/4"), "161/4 exactly"),
        (Equals(value=list(range(54))), "0, 1, 2, 3, 4, 5, ... (54 values) exactly"),
        (Within(value=16.5, abs=0.5), "16.5 +- 0.5"),
        (Within(value=16.5, rel=0.02), "16.5 +- 2 %"),
        (AtLeast(bound=0.9), ">= 0.9"),
        (AtMost(bound=5), "<= 5"),
        (Between(low=0.1, high=0.9), "0.1 to 0.9"),
        (Monotone(direction="increasing", strict=True), "strictly increasing"),
        (Monotone(direction="decreasing", slack=0.5), "decreasing, steps back <= 0.5"),
        (Rank(statistic="spearman", at_least=0.9), "spearman >= 0.9"),
        (Rank(statistic="kendall", at_least=0.1, at_most=0.2), "kendall 0.1 to 0.2"),
        (Ratio(over="a", under="b", at_most=0.5), "a / b <= 0.5"),
        (Order(names=["a", "b"]), "a <= b"),
        (Order(names=["a", "b"], margin=2), "a <= b, each by >= 2"),
    ],
)
def test_expectations_in_words(comparator: Comparator, text: str) -> None:
    assert exact(comparator, 1).expected == text


def test_sentences() -> None:
    assert exact(Equals(value=3), Fraction(7, 2)).message == "measured 7/2, expected 3 exactly"
    assert exact(Equals(value=3), Fraction(7, 2)).measured == "7/2"
    judgement = sampled(AtLeast(bound=0.9), 0.93, interval=(0.89, 0.95))
    assert judgement.message == "measured 0.93 [0.89, 0.95], expected >= 0.9; the interval straddles the bound"
    judgement = exact(AtMost(bound=2), [1, 5, 2])
    assert judgement.message == "measured 1, 5, 2, expected <= 2; value 2 of 3 is 5"
    judgement = exact(Monotone(direction="increasing"), [1, 2, 1.5])
    assert judgement.message == "measured 1, 2, 1.5, expected increasing; the rise from value 2 to 3 is -0.5"
    judgement = exact(Monotone(direction="decreasing"), [3, 4])
    assert judgement.message == "measured 3, 4, expected decreasing; the fall from value 1 to 2 is -1"


def test_the_statistic_nearest_to_a_bound_is_named() -> None:
    assert exact(Between(low=1, high=10), [8.5, 2]).message.endswith("value 2 of 2 is 2")
    assert exact(Between(low=1, high=10), [9, 3]).message.endswith("value 1 of 2 is 9")
    assert exact(Between(low=1, high=10), [5, 11, 12]).message.endswith("value 3 of 3 is 12")
    assert exact(Within(value=[1, 100], abs=5), [4, 96]).message.endswith("value 2 of 2 is 96")


def test_the_room_of_an_interval_is_to_the_nearer_bound() -> None:
    low, high = Fraction(2), Fraction(5)
    assert Region(Fraction(1), Fraction(9)).room(low, high) == 1
    assert Region(Fraction(0), Fraction(6)).room(low, high) == 1
    assert Region(high=Fraction(4)).room(low, high) == -1
    assert Region().room(low, high) == math.inf


def test_every_statistic_has_one_label() -> None:
    assert labels(AtLeast(bound=0), 1) == [""]
    assert labels(AtLeast(bound=0), 2) == ["value 1 of 2", "value 2 of 2"]
    assert labels(Monotone(direction="increasing"), 1) == ["the rise from value 1 to 2"]
    assert labels(Order(names=["a", "b", "c"]), 2) == ["the rise from a to b", "the rise from b to c"]


def test_what_is_shown_is_ready_for_json() -> None:
    whole = exact(Equals(value=2), Fraction(4, 2)).measured
    assert (whole, type(whole)) == (2, int)
    assert exact(Order(names=["a", "b"]), {"b": Fraction(1, 2), "a": 0, "c": 7}).measured == {"a": 0, "b": "1/2"}
    assert exact(AtLeast(bound=0), math.nan).measured is None


def test_a_rank_correlation_of_numbers_that_no_float_holds() -> None:
    judgement = exact(Rank(statistic="spearman", at_least=0), [[1, 1], [2, 2], [3, 10**400]])
    assert (judgement.status, judgement.message) == (ERROR, "a number is too large for a float")


def test_judgements_of_words() -> None:
    words = "measured tanh, expected relu exactly"
    assert exact(Equals(value="relu"), "tanh") == Judgement(VIOLATED, "tanh", "relu exactly", None, words)
    assert exact(Equals(value=["a", 1]), ["a", Fraction(1, 2)]).measured == ["a", "1/2"]


@pytest.mark.parametrize(
    ("comparator", "value", "words"),
    [
        (Equals(value=[1]), 1, "measured a single value where a list is expected"),
        (Equals(value=1), [1], "measured a list where a single value is expected"),
        (Equals(value="relu"), {"a": 1}, "measured a table where a single value is expected"),
        (Ratio(over="a", under="b", at_least=0), [1, 2], "measured a list where a table is expected"),
        (Equals(value=True), 1, "1 (int) cannot equal True (bool)"),
        (Equals(value=1), True, "True (bool) cannot equal 1 (int)"),
        (Equals(value="relu"), 3, "'3' and 'relu' cannot be compared: one is text, one a number"),
        (Equals(value=16), "16", "'16' and '16' cannot be compared: one is text, one a number"),
    ],
)
def test_what_has_another_sort_than_expected(comparator: Comparator, value: Any, words: str) -> None:
    assert exact(comparator, value).message == words
