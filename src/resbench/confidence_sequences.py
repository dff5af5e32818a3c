"""Confidence sequences: intervals of a mean that hold at all sample sizes at once, however often one looks.

An ordinary 95 % interval is right with 95 % at one sample size fixed beforehand; whoever looks at it after every batch
and stops when it clears a bound is wrong far more often.  A confidence sequence at ``alpha`` contains the mean at
*every* size with probability at least ``1 - alpha``, so that one may stop whenever it clears a bound (Robbins 1970).

This one bets (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting", Journal of the
Royal Statistical Society B 86(1), arXiv:2010.09686; the mixture is their diversified Kelly bet).  Were ``m`` the mean
of ``x`` in ``[a, b]``, the wealth ``prod(1 + c (x - m) / (m - a))`` of a bet ``0 < c < 1`` would be a martingale that
starts at 1, and so would be the average over several ``c``; by Ville's inequality it ever reaches ``1 / alpha`` with
probability at most ``alpha``.  The sequence holds each ``m`` against which neither side's wealth came to ``2 / alpha``.

What makes it fit for lesions: it is exact, not asymptotic; it adapts to the variance (a deletion that changes few
predictions is decided early); the bets do not depend on the data, so that the wealth follows from how often each value
occurred and is computed only where one looks; and it needs one mean only *on average over the data*: observations that
alternate between strata with means of their own (the two halves of the digits) keep it valid wherever the strata stand
level, because ``prod(1 + l (mu_i - m)) <= (1 + l mean(mu_i - m))^n = 1`` (arithmetic and geometric mean).

The mean is that of the population that the observations are drawn from, as for this package's other intervals; it is
not that of a finite test set.  The observations must come in random order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["BETS", "METHOD", "SOURCE", "mean_sequence", "side_of"]

METHOD = "betting confidence sequence"
SOURCE = "Waudby-Smith and Ramdas 2024, JRSS B 86(1), arXiv:2010.09686"

BETS = 0.995 * 1.4 ** -np.arange(24.0)
"""Fractions of the largest bet: from nearly all of it, best where hardly anything varies, to 0.0004 of it, best after
some 10^6 images; the best bet lies within a factor of 1.2 of one of them, which costs at most 3 % of its growth."""

_HALVINGS = 32
"""The limits are exact to the range's width over 2^32, and rounded outwards."""

Floats = NDArray[np.float64]


def mean_sequence(
    values: ArrayLike, counts: ArrayLike, *, alpha: ArrayLike, low: float = 0.0, high: float = 1.0
) -> tuple[Floats, Floats]:
    """The confidence sequence of a mean at one look.

    Args:
        values: what an observation can be, ``(V,)``, each in ``[low, high]``.
        counts: how often each value occurred so far, ``(..., V)``.
        alpha: probability that the sequence ever misses the mean, in (0, 1); a scalar or ``(...)``.
        low, high: the range of an observation, known beforehand.

    Returns:
        Two arrays ``(...)``; the whole range where nothing was observed.  The observed mean lies between them.

    Raises:
        ValueError: values outside the range, or an alpha outside (0, 1).
    """
    support, seen, levels = _checked(values, counts, alpha, low, high)
    lower = _lower(support - low, seen, high - low, levels)
    upper = _lower(high - support, seen, high - low, levels)
    return low + lower, high - upper


def side_of(
    mean: ArrayLike,
    values: ArrayLike,
    counts: ArrayLike,
    *,
    alpha: ArrayLike,
    low: float = 0.0,
    high: float = 1.0,
) -> NDArray[np.int64]:
    """On which side of ``mean`` the sequence lies at this look: 1 above it, -1 below it, 0 undecided; ``(...)``.

    The same as comparing :func:`mean_sequence` with ``mean``, which lies strictly inside the range, but cheaper.
    """
    support, seen, levels = _checked(values, counts, alpha, low, high)
    bound = np.broadcast_to(np.asarray(mean, dtype=np.float64), seen.shape[:-1])
    threshold = np.log(2.0 / levels)
    above = _log_wealth(support - low, seen, bound - low) >= threshold
    below = _log_wealth(high - support, seen, high - bound) >= threshold
    return above.astype(np.int64) - below.astype(np.int64)


def _checked(
    values: ArrayLike, counts: ArrayLike, alpha: ArrayLike, low: float, high: float
) -> tuple[Floats, Floats, Floats]:
    support, seen = np.asarray(values, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    levels = np.asarray(alpha, dtype=np.float64)
    if support.min() < low or support.max() > high:
        raise ValueError(f"values from {support.min()} to {support.max()} in a range from {low} to {high}")
    if not ((levels > 0.0) & (levels < 1.0)).all():
        raise ValueError(f"alpha {levels} is no probability between 0 and 1")
    return support, seen, levels


def _lower(values: Floats, counts: Floats, width: float, alpha: Floats) -> Floats:
    """The lower limit of the mean of ``values >= 0``: the wealth falls as the mean that is bet against rises."""
    total = counts.sum(-1)
    mean = np.divide(counts @ values, total, out=np.zeros(total.shape), where=total > 0)
    threshold = np.log(2.0 / alpha)
    refuted, possible = np.zeros(mean.shape), mean
    for _ in range(_HALVINGS):
        middle = (refuted + possible) / 2.0
        rich = _log_wealth(values, counts, np.maximum(middle, width * 1e-300)) >= threshold
        refuted, possible = np.where(rich, middle, refuted), np.where(rich, possible, middle)
    return refuted


def _log_wealth(values: Floats, counts: Floats, mean: Floats) -> Floats:
    """Logarithm of the wealth after betting that the mean of ``values >= 0`` exceeds ``mean``, ``(...)``."""
    gains = values / mean[..., None] - 1.0  # (..., V)
    logs = np.log1p(BETS[:, None] * gains[..., None, :])  # (..., bets, V)
    wealths = np.einsum("...bv,...v->...b", logs, counts)
    richest = wealths.max(-1)  # scipy's logsumexp does the same, at five times the time
    total: Floats = richest + np.log(np.exp(wealths - richest[..., None]).mean(-1))
    return total
