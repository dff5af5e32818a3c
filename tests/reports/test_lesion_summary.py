"""Quartiles, bins and corrected tests of lesions, against others' arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lesion_samples import sweep
from scipy import stats

from resbench.reports.lesion_summary import by_number, by_tau, costliest, differing, pairs_summary


def test_quartiles_are_those_of_each_k() -> None:
    lesions = [{"k": 2, "error": error} for error in (5.0, 1.0, 2.0, 4.0, 3.0)] + [{"k": 1, "error": 7.0}]
    one, two = by_number(lesions)
    assert (one.low, one.high, one.count, one.median, one.worst) == (1, 1, 1, 7, 7)
    assert (two.low, two.count, two.first_quartile, two.median, two.third_quartile, two.worst) == (2, 5, 2, 3, 4, 5)


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=80))
def test_every_order_is_in_the_bin_of_its_tau(thousandths: list[int]) -> None:
    lesions = [{"kendall_tau": tau / 1000, "error": float(index)} for index, tau in enumerate(thousandths)]
    bins = by_tau(lesions)
    assert len(bins) <= 12
    assert sum(one.count for one in bins) == len(lesions)
    assert [one.high for one in bins] == sorted((one.high for one in bins), reverse=True)
    for one in bins:
        own = [each for each in lesions if one.low + 1e-9 < each["kendall_tau"] <= one.high + 1e-9]
        assert (len(own), max(each["error"] for each in own)) == (one.count, one.worst)


def test_an_order_that_is_kept_is_in_the_first_bin() -> None:
    first, last = by_tau([{"kendall_tau": 1.0, "error": 0.0}, {"kendall_tau": 0.5, "error": 1.0}])
    assert (first.high, first.worst) == (1, 0)
    assert last.worst == 1


def pair(value: float, low: float, high: float) -> dict[str, Any]:
    return {"interaction": value, "interaction_interval": [low, high], "delta": 1.0}


def test_holm_is_that_of_scipy() -> None:
    generator = np.random.default_rng(3)
    values, errors = generator.normal(0, 3, 200), generator.uniform(0.3, 2, 200)
    half = stats.norm.ppf(0.975) * errors
    pairs = [pair(v, v - h, v + h) for v, h in zip(values.tolist(), half.tolist(), strict=True)]
    p = np.sort(2 * stats.norm.sf(np.abs(values / errors)))
    adjusted = np.maximum.accumulate(p * np.arange(200, 0, -1))
    found = differing(pairs)
    assert 0 < sum(found) == int((adjusted <= 0.05).sum())
    ranked = np.argsort(-np.abs(values / errors))
    assert np.array(found)[ranked[: sum(found)]].all()


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        pytest.param([pair(1, 0.1, 9)], [True], id="the end nearer to 0 counts"),
        pytest.param([pair(-1, -9, -0.1)], [True], id="below 0 as above"),
        pytest.param([pair(1, -0.1, 2)], [False], id="0 is inside"),
        pytest.param([pair(1, 0.1, 2), pair(1, 0.1, 2)], [False, False], id="two at 5 percent each are not enough"),
        pytest.param([pair(0, 0, 0), pair(2, 2, 2)], [False, True], id="no width"),
        pytest.param([{"interaction": 9.0, "interaction_interval": None}], [False], id="no interval"),
    ],
)
def test_what_differs_from_zero(pairs: list[dict[str, Any]], expected: list[bool]) -> None:
    assert differing(pairs) == expected


def test_pairs_come_to_means_and_the_strongest() -> None:
    pairs = [pair(-4, -5, -3), pair(1, 0.9, 1.1), pair(0, -1, 1)]
    found = pairs_summary(pairs, most=2)
    assert (found.count, found.differing, found.mean_increase) == (3, 2, 1)
    assert found.mean_size == pytest.approx(5 / 3)
    assert found.strongest == pairs[:2]


def test_the_costliest_unit_has_the_largest_increase() -> None:
    single = sweep(("single",))["single"]
    assert costliest(single)["delta"] == max(one["delta"] for one in single)
