"""What many lesions come to: quartiles by how severe they are, and which pairs of units interact."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["RANDOM", "Pairs", "Spread", "by_number", "by_tau", "costliest", "differing", "pairs_summary"]

RANDOM = ("multi", "duplicate", "reorder")
"""The modes whose lesions are drawn."""

_MOST_BINS = 12
_WIDTHS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
_LEVEL = 0.05
_QUANTILE = 1.959963984540054
"""Standard errors from the middle of a normal 95 % interval to its end."""

Lesion = Mapping[str, Any]


@dataclass(frozen=True)
class Spread:
    """Errors (percent) of the ``count`` lesions with ``low < severity <= high``; of one k both are k."""

    low: float
    high: float
    count: int
    first_quartile: float
    median: float
    third_quartile: float
    worst: float

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2


def by_number(lesions: Sequence[Lesion]) -> list[Spread]:
    """Of the lesions of each ``k``, ascending."""
    return [
        _spread(k, k, [one["error"] for one in lesions if one["k"] == k]) for k in sorted({one["k"] for one in lesions})
    ]


def by_tau(lesions: Sequence[Lesion]) -> list[Spread]:
    """Of the orders by Kendall's tau, from the least changed on, in at most twelve bins of a round width."""
    taus = [one["kendall_tau"] for one in lesions]
    for width in _WIDTHS:
        # A tau of 0.98, computed, may lie a hair above it.
        bins = [math.ceil(tau / width - 1e-9) for tau in taus]
        if len(set(bins)) <= _MOST_BINS:
            break
    return [
        _spread((b - 1) * width, b * width, [one["error"] for one, own in zip(lesions, bins, strict=True) if own == b])
        for b in sorted(set(bins), reverse=True)
    ]


def _spread(low: float, high: float, errors: Sequence[float]) -> Spread:
    first, median, third = (float(value) for value in np.percentile(errors, (25, 50, 75)))
    return Spread(low, high, len(errors), first, median, third, max(errors))


def costliest(single: Sequence[Lesion]) -> Lesion:
    """The single deletion with the largest increase."""
    return max(single, key=lambda one: one["delta"])


def differing(pairs: Sequence[Lesion]) -> list[bool]:
    """Whether each interaction differs from 0, at 5 % for all pairs together (Holm 1979).

    Each p-value is that of a normal law whose 95 % interval has the end nearer to 0 in common with the measured one.
    """
    p = [_p_value(one["interaction"], one["interaction_interval"]) for one in pairs]
    differ = [False] * len(p)
    for rank, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        if p[index] > _LEVEL / (len(p) - rank):
            break
        differ[index] = True
    return differ


def _p_value(value: float, interval: Sequence[float] | None) -> float:
    if interval is None or value == 0:
        return 1.0
    half = value - interval[0] if value > 0 else interval[1] - value
    # An interval of no width: every image says the same.
    return math.erfc(_QUANTILE * abs(value) / half / math.sqrt(2)) if half > 0 else 0.0


@dataclass(frozen=True)
class Pairs:
    """Of all pairs: how many interactions differ from 0, and their mean size beside what a pair costs (points)."""

    count: int
    differing: int
    mean_size: float
    mean_increase: float
    strongest: list[Lesion]


def pairs_summary(pairs: Sequence[Lesion], most: int = 5) -> Pairs:
    """``strongest``: the ``most`` pairs whose interaction is furthest from 0."""
    return Pairs(
        len(pairs),
        sum(differing(pairs)),
        math.fsum(abs(one["interaction"]) for one in pairs) / len(pairs),
        math.fsum(one["delta"] for one in pairs) / len(pairs),
        sorted(pairs, key=lambda one: -abs(one["interaction"]))[:most],
    )
