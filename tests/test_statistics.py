from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from resbench.statistics import (
    bootstrap_weights,
    clopper_pearson,
    percentile_interval,
    rank_correlations,
    wilson,
)


def test_wilson_by_hand() -> None:
    # p = 0.1, n = 100, z = 1.959964: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)
    assert wilson(10, 100) == pytest.approx((0.05522914, 0.17436566), abs=1e-7)


def test_clopper_pearson_without_errors_by_hand() -> None:
    # The upper end is where (1 - p)^10 = 0.025.
    assert clopper_pearson(0, 10) == pytest.approx((0.0, 1 - 0.025**0.1))


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
@given(data=st.data(), n=st.integers(1, 5000))
def test_proportion_intervals_hold_the_share_and_mirror(interval: object, data: st.DataObject, n: int) -> None:
    errors = data.draw(st.integers(0, n))
    low, high = interval(errors, n)  # type: ignore[operator]
    assert 0.0 <= low <= errors / n + 1e-12
    assert errors / n - 1e-12 <= high <= 1.0
    mirrored = interval(n - errors, n)  # type: ignore[operator]
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_proportion_interval_needs_samples() -> None:
    with pytest.raises(ValueError, match="n must be"):
        wilson(0, 0)


def test_weights_are_counts_of_n_draws() -> None:
    weights = bootstrap_weights(40, 3000, seed=1)
    assert weights.shape == (3000, 40)
    assert (weights.sum(axis=1) == 40).all()
    # Multinomial: mean 1, variance (1 - 1/40), covariance between images -1/40.
    assert weights.mean(axis=0) == pytest.approx(np.ones(40), abs=0.1)
    assert weights.var() == pytest.approx(1 - 1 / 40, abs=0.02)


def test_weights_follow_their_seed() -> None:
    assert (bootstrap_weights(9, 50, seed=3) == bootstrap_weights(9, 50, seed=3)).all()
    assert (bootstrap_weights(9, 50, seed=3) != bootstrap_weights(9, 50, seed=4)).any()


def test_one_image_is_drawn_every_time() -> None:
    assert bootstrap_weights(1, 1, seed=0).tolist() == [[1]]


@pytest.mark.parametrize(("n", "replicates"), [(0, 10), (10, 0)])
def test_nothing_to_resample(n: int, replicates: int) -> None:
    with pytest.raises(ValueError, match="nothing to resample"):
        bootstrap_weights(n, replicates, seed=0)


def test_percentile_interval_rounds_outwards() -> None:
    # 0.025 * 99 = 2.475 and 0.975 * 99 = 96.525, of the values 0 ... 99 in any order.
    low, high = percentile_interval(np.random.default_rng(0).permutation(100))
    assert (low, high) == (2.0, 97.0)


def test_intervals_of_counts_are_floats() -> None:
    for end in percentile_interval(np.arange(100)):
        assert end.dtype == np.float64


def test_percentile_interval_takes_columns_apart() -> None:
    low, high = percentile_interval(np.stack([np.arange(100), -np.arange(100)], axis=1))
    assert low.tolist() == [2.0, -97.0]
    assert high.tolist() == [97.0, -2.0]


def test_a_tail_beyond_the_replicates_is_the_extreme() -> None:
    assert percentile_interval(np.arange(100), confidence=0.9999) == (0.0, 99.0)


def test_rank_correlations_by_hand() -> None:
    x, y = [[1.0, 2, 3, 4, 5]], [[2.0, 1, 4, 3, 5]]
    assert rank_correlations("spearman", x, y).tolist() == [0.8]  # 1 - 6 * 4 / (5 * 24)
    assert rank_correlations("kendall", x, y).tolist() == [0.6]  # 8 pairs agree, 2 do not


def test_perfect_agreement_is_exactly_one() -> None:
    x = np.arange(54.0)[None]
    for statistic in ("spearman", "kendall"):
        assert rank_correlations(statistic, x, np.exp(x / 9)).tolist() == [1.0]  # type: ignore[arg-type]


def test_rank_correlations_have_twelve_decimals() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 5, 23))
    for statistic in ("spearman", "kendall"):
        found = rank_correlations(statistic, x, y)  # type: ignore[arg-type]
        assert (found == np.round(found, 12)).all()
        assert (found != np.round(found, 11)).any()


def test_rows_without_a_partner_are_no_data() -> None:
    with pytest.raises(ValueError, match="shorter"):
        rank_correlations("kendall", [[1.0, 2, 3], [1.0, 2, 3]], [[1.0, 2, 3]])


def test_a_constant_has_no_rank_correlation() -> None:
    for statistic in ("spearman", "kendall"):
        assert np.isnan(rank_correlations(statistic, [[1.0, 2, 3]], [[4.0, 4, 4]])).all()  # type: ignore[arg-type]


@given(st.integers(0, 10_000), st.integers(3, 30))
def test_rank_correlations_are_scipys_ties_included(seed: int, n: int) -> None:
    x, y = np.random.default_rng(seed).integers(0, 8, size=(2, 4, n)).astype(float)
    for row in range(4):
        expected = spearmanr(x[row], y[row]).statistic if np.ptp(x[row]) and np.ptp(y[row]) else np.nan
        assert rank_correlations("spearman", x, y)[row] == pytest.approx(expected, abs=1e-9, nan_ok=True)
        expected = kendalltau(x[row], y[row]).statistic
        assert rank_correlations("kendall", x, y)[row] == pytest.approx(expected, abs=1e-9, nan_ok=True)
