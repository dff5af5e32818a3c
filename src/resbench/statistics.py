"""Intervals and resampling: what the judge and the lesion sweeps need, on numpy and scipy.

Intervals are two-sided; ``confidence`` is their coverage.  Shares are fractions in [0, 1], errors percent.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "CONFIDENCE",
    "bootstrap_weights",
    "clopper_pearson",
    "percentile_interval",
    "rank_correlations",
    "wilson",
]

CONFIDENCE = 0.95
FloatArray = NDArray[np.float64]


def wilson(errors: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of the share ``errors / n``, as fractions in [0, 1]."""
    return _proportion(errors, n, confidence, "wilson")


def clopper_pearson(errors: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The exact (conservative) interval of the share ``errors / n``, as fractions in [0, 1]."""
    return _proportion(errors, n, confidence, "exact")


def _proportion(errors: int, n: int, confidence: float, method: Literal["wilson", "exact"]) -> tuple[float, float]:
    from scipy.stats import binomtest

    interval = binomtest(errors, n).proportion_ci(confidence, method)
    return float(interval.low), float(interval.high)


def bootstrap_weights(n: int, replicates: int, seed: int) -> NDArray[np.int64]:
    """How often each of ``n`` images is drawn in each replicate: ``[replicates, n]``, every row summing to ``n``.

    The rows are multinomial with equal probabilities.  One seed gives one set of weights, whatever is weighted
    with them: two sweeps over the same images that share the seed are resampled in pairs.
    """
    if n < 1 or replicates < 1:
        raise ValueError(f"nothing to resample: {n} samples, {replicates} replicates")
    # n draws counted are the multinomial itself, and ten times as fast as numpy's n binomials a row.
    drawn = np.random.default_rng(seed).integers(n, size=(replicates, n))
    drawn += n * np.arange(replicates)[:, None]
    return np.bincount(drawn.ravel(), minlength=replicates * n).reshape(replicates, n)


def percentile_interval(replicates: ArrayLike, confidence: float = CONFIDENCE) -> tuple[FloatArray, FloatArray]:
    """The central ``confidence`` of the replicates along the first axis: ``[B, ...]`` to two arrays ``[...]``.

    Both ends are rounded outwards to a replicate, so that few replicates widen an interval and never narrow it.
    """
    values = np.asarray(replicates, dtype=np.float64)
    tail = (1.0 - confidence) / 2.0
    low = np.quantile(values, tail, axis=0, method="lower")
    high = np.quantile(values, 1.0 - tail, axis=0, method="higher")
    return np.asarray(low), np.asarray(high)


def rank_correlations(statistic: Literal["spearman", "kendall"], x: ArrayLike, y: ArrayLike) -> FloatArray:
    """The rank correlation (Spearman's rho, Kendall's tau-b) of every row: two ``[B, n]`` to ``[B]``.

    NaN where a row is constant.  Rounded to 12 decimals, so that perfect agreement is 1 and not 0.9999999999999999.
    """
    first, second = np.asarray(x), np.asarray(y)
    correlations = _spearman(first, second) if statistic == "spearman" else _kendall(first, second)
    return np.round(correlations, 12)


def _spearman(x: NDArray[Any], y: NDArray[Any]) -> FloatArray:
    """Pearson's correlation of the mid-ranks, row by row (scipy.stats.spearmanr takes one row at a time)."""
    from scipy.stats import rankdata

    # Whatever the ties, the mean rank of n values is (n + 1) / 2.
    a, b = (np.asarray(rankdata(values, axis=1)) - (values.shape[1] + 1) / 2 for values in (x, y))
    with np.errstate(invalid="ignore"):
        result: FloatArray = (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return result


def _kendall(x: NDArray[Any], y: NDArray[Any]) -> FloatArray:
    from scipy.stats import kendalltau

    rows: Any = zip(x, y, strict=True)
    return np.array([float(kendalltau(first, second).statistic) for first, second in rows])
