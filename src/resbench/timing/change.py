"""When is a case slower?  Significance *and* magnitude, corrected for the number of cases; otherwise it says so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

__all__ = [
    "ALPHA",
    "MARGIN",
    "Change",
    "Ratio",
    "geometric_mean",
    "holm",
    "ratio_of_pairs",
    "ratio_of_processes",
    "verdict",
]

ALPHA = 0.01
"""Probability of a false SLOWER or FASTER among *all* the cases of one comparison (Holm 1979)."""

MARGIN = 0.05
"""Changes of less than 5 % are SAME.  Chosen: where asv begins to list regressions (its default threshold)."""


class Change(StrEnum):
    """Verdicts.  ``MISSING`` (a side has no samples) and ``UNHEALTHY`` (the machine was not fit) are never green."""

    SAME = "SAME"
    FASTER = "FASTER"
    SLOWER = "SLOWER"
    AMBIGUOUS = "AMBIGUOUS"
    UNHEALTHY = "UNHEALTHY"
    MISSING = "MISSING"


@dataclass(frozen=True)
class Ratio:
    """Time of the second run over the first's: above 1 is slower.

    ``low``, ``high``: interval of coverage 1 - ALPHA.  ``p``: two-sided, of "the ratio is 1".
    """

    estimate: float
    low: float
    high: float
    p: float


def ratio_of_processes(first: Sequence[float], second: Sequence[float]) -> Ratio | None:
    """The ratio of two runs from one median a process: Welch's t interval on the logarithms.

    Processes are the independent units: samples within one share its memory layout and its moment.  None where either
    side has fewer than two processes: nothing is known about how they differ.
    """
    from scipy.stats import t as student

    a, b = np.log(np.asarray(first, float)), np.log(np.asarray(second, float))
    if len(a) < 2 or len(b) < 2:
        return None
    difference = float(b.mean() - a.mean())
    parts = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    error = math.sqrt(sum(parts))
    if error == 0.0:
        return Ratio(math.exp(difference), math.exp(difference), math.exp(difference), 0.0 if difference else 1.0)
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1))
    half = error * float(student.ppf(1 - ALPHA / 2, freedom))
    p = 2 * float(student.sf(abs(difference) / error, freedom))
    return Ratio(math.exp(difference), math.exp(difference - half), math.exp(difference + half), p)


def holm(values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: each may be compared with the level of the whole family."""
    order = sorted(range(len(values)), key=lambda index: values[index])
    adjusted, largest = [1.0] * len(values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = largest
    return adjusted


def ratio_of_pairs(logarithms: Sequence[float], alpha: float = ALPHA) -> Ratio | None:
    """The ratio of two sides from one log ratio a pair of processes that ran in lock step: Student's t interval.

    None of fewer than two pairs.
    """
    from scipy.stats import t as student

    values = np.asarray(logarithms, float)
    if len(values) < 2:
        return None
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))
    if error == 0.0:
        return Ratio(math.exp(mean), math.exp(mean), math.exp(mean), 0.0 if mean else 1.0)
    half = error * float(student.ppf(1 - alpha / 2, len(values) - 1))
    p = 2 * float(student.sf(abs(mean) / error, len(values) - 1))
    return Ratio(math.exp(mean), math.exp(mean - half), math.exp(mean + half), p)


def verdict(ratio: Ratio, p: float, margin: float = MARGIN, alpha: float = ALPHA) -> Change:
    """SLOWER or FASTER: significant (``p``, adjusted) and beyond ``margin``.  SAME: the interval lies within it.

    ``alpha``: the level, where one comparison is looked at more than once.
    """
    if p < alpha and ratio.estimate >= 1 + margin:
        return Change.SLOWER
    if p < alpha and ratio.estimate <= 1 / (1 + margin):
        return Change.FASTER
    if 1 / (1 + margin) < ratio.low and ratio.high < 1 + margin:
        return Change.SAME
    return Change.AMBIGUOUS


def geometric_mean(ratios: Sequence[float]) -> float:
    """Of the ratios of all cases; NaN of none."""
    return math.exp(sum(math.log(ratio) for ratio in ratios) / len(ratios)) if ratios else math.nan
