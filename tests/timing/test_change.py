"""When something is slower: intervals against scipy, Holm by hand, verdicts by their definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from resbench.timing.change import (
    ALPHA,
    Change,
    Ratio,
    geometric_mean,
    holm,
    ratio_of_pairs,
    ratio_of_processes,
    verdict,
)

_TIMES = st.lists(st.floats(0.5, 2.0), min_size=3, max_size=8, unique=True)


@given(first=_TIMES, second=_TIMES)
def test_independent_runs_are_compared_by_welchs_test(first: list[float], second: list[float]) -> None:
    ratio = ratio_of_processes(first, second)
    result = stats.ttest_ind(np.log(second), np.log(first), equal_var=False)
    low, high = result.confidence_interval(1 - ALPHA)
    assert ratio.p == pytest.approx(result.pvalue, rel=1e-6, abs=1e-12)
    assert (ratio.low, ratio.high) == pytest.approx((math.exp(low), math.exp(high)))


@given(logarithms=st.lists(st.floats(-1, 1), min_size=3, max_size=8, unique=True), alpha=st.sampled_from([0.01, 0.005]))
def test_pairs_are_compared_by_students_test(logarithms: list[float], alpha: float) -> None:
    ratio = ratio_of_pairs(logarithms, alpha)
    result = stats.ttest_1samp(logarithms, 0.0)
    low, high = result.confidence_interval(1 - alpha)
    assert ratio.p == pytest.approx(result.pvalue, rel=1e-6, abs=1e-12)
    assert (ratio.low, ratio.high) == pytest.approx((math.exp(low), math.exp(high)))
    assert ratio.estimate == pytest.approx(math.exp(np.mean(logarithms)))


def test_one_process_or_pair_says_nothing_about_how_they_differ() -> None:
    assert ratio_of_processes([1.0], [1.0, 1.1]) is None
    assert ratio_of_processes([1.0, 1.1], [1.0]) is None
    assert ratio_of_pairs([0.1]) is None


def test_no_spread_at_all() -> None:
    assert ratio_of_processes([1.0, 1.0], [1.0, 1.0]) == Ratio(1.0, 1.0, 1.0, 1.0)
    assert ratio_of_pairs([math.log(2.0)] * 3).p == 0.0
    assert ratio_of_processes([1.0, 1.0], [2.0, 2.0]).p == 0.0


def test_holm_by_hand() -> None:
    """Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, never falling."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("ratio", "p", "change"),
    [
        (Ratio(1.10, 1.06, 1.14, 0), 0.001, Change.SLOWER),
        (Ratio(1.10, 1.06, 1.14, 0), 0.02, Change.AMBIGUOUS),
        (Ratio(1.04, 1.03, 1.045, 0), 0.001, Change.SAME),
        (Ratio(1.04, 1.01, 1.07, 0), 0.001, Change.AMBIGUOUS),
        (Ratio(1.00, 0.97, 1.03, 0), 0.9, Change.SAME),
        (Ratio(1.00, 0.90, 1.10, 0), 0.9, Change.AMBIGUOUS),
        (Ratio(0.90, 0.87, 0.93, 0), 0.001, Change.FASTER),
        (Ratio(0.96, 0.955, 0.97, 0), 0.001, Change.SAME),
    ],
)
def test_a_change_needs_significance_and_magnitude(ratio: Ratio, p: float, change: Change) -> None:
    assert verdict(ratio, p) is change


def test_the_level_and_the_margin_count() -> None:
    ratio = Ratio(1.10, 1.01, 1.19, 0)
    assert verdict(ratio, 0.007, alpha=0.005) is Change.AMBIGUOUS
    assert verdict(ratio, 0.007, alpha=0.01) is Change.SLOWER
    assert verdict(ratio, 0.007, margin=0.2) is Change.SAME


@given(low=st.floats(0.5, 2), up=st.floats(0, 1), p=st.floats(0, 1))
def test_faster_mirrors_slower(low: float, up: float, p: float) -> None:
    high = low * (1 + up)
    ratio = Ratio(math.sqrt(low * high), low, high, p)
    mirrored = Ratio(1 / ratio.estimate, 1 / high, 1 / low, p)
    swap = {Change.SLOWER: Change.FASTER, Change.FASTER: Change.SLOWER}
    first, second = verdict(ratio, p), verdict(mirrored, p)
    assert second is swap.get(first, first)


def test_the_geometric_mean() -> None:
    assert geometric_mean([0.5, 2.0]) == pytest.approx(1.0)
    assert math.isnan(geometric_mean([]))
