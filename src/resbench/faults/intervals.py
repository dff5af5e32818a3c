"""Faults of the uncertainty that the judge goes by: intervals, resampling, rank correlations."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from resbench import confidence_sequences, statistics
from resbench.experiments import resampling
from resbench.faults.described import Function, Injected, described
from resbench.faults.fault import Fault
from resbench.faults.patching import replaced, wrapped
from resbench.judging import compare

__all__ = ["FAULTS"]

_COMPARATORS = "tests/judging/test_comparators.py::"
_STATISTICS = "tests/test_statistics.py::"


def interval_ignored() -> Injected:
    """A sampled value is judged by its point, as if it were exact."""
    return wrapped(compare, "_decide", lambda original: lambda *given: original(*given[:3], None))


def interval_of_one_side() -> Injected:
    """The lower end is the median: the interval of a one-sided test is read as a two-sided one."""

    def faulty(replicates: Any, confidence: float = statistics.CONFIDENCE) -> tuple[Any, Any]:
        rows = np.asarray(replicates, dtype=np.float64)
        low = np.quantile(rows, 0.5, axis=0, method="lower")
        return low, np.quantile(rows, confidence, axis=0, method="higher")

    return replaced(statistics, "percentile_interval", faulty)


def bonferroni_forgotten() -> Injected:
    """Each of several statistics has an interval of its own at 95 %, not all of them together."""

    def faulty(original: Function) -> Function:
        return lambda *given: original(*given[:-1], 1)

    return wrapped(compare, "_intervals", faulty)


def wald_for_wilson() -> Injected:
    """A share's interval is the normal approximation's, which is empty where no image was wrong."""

    def faulty(errors: int, n: int, confidence: float = statistics.CONFIDENCE) -> tuple[float, float]:
        from scipy.stats import norm

        share = errors / n
        half = float(norm.ppf(0.5 + confidence / 2)) * math.sqrt(share * (1 - share) / n)
        return share - half, share + half

    return replaced(statistics, "wilson", faulty)


def bootstrap_unpaired() -> Injected:
    """Every quantity resamples images of its own: what two networks share does not cancel."""
    calls = itertools.count()

    def faulty(original: Any) -> Function:
        return lambda images, member: original.__wrapped__(images, 1000 * next(calls) + member)

    return wrapped(resampling, "image_weights", faulty)


def looks_uncorrected() -> Injected:
    """Every look of a sequential run has an ordinary interval, as if it were the only one."""

    def faulty(values: Any, counts: Any, *, alpha: Any, low: float = 0.0, high: float = 1.0) -> tuple[Any, Any]:
        from scipy.stats import norm

        support, seen = np.asarray(values, dtype=np.float64), np.asarray(counts, dtype=np.float64)
        total = np.maximum(seen.sum(-1), 1.0)
        mean = seen @ support / total
        half = norm.ppf(1.0 - np.asarray(alpha) / 2.0) * np.sqrt((seen @ support**2 / total - mean**2) / total)
        return np.maximum(low, mean - half), np.minimum(high, mean + half)

    return replaced(confidence_sequences, "mean_sequence", faulty)


def values_for_ranks() -> Injected:
    """Pearson's correlation of the values in the place of their ranks'."""

    def faulty(x: Any, y: Any) -> Any:
        return np.array([np.corrcoef(*pair)[0, 1] for pair in zip(x, y, strict=True)])

    return replaced(statistics, "_spearman", faulty)


FAULTS: tuple[Fault, ...] = (
    described("judge", interval_ignored, tests=(_COMPARATORS + "test_the_whole_interval_decides",)),
    described("judge", interval_of_one_side, tests=(_STATISTICS + "test_percentile_interval_rounds_outwards",)),
    described(
        "judge",
        bonferroni_forgotten,
        tests=(_COMPARATORS + "test_many_elements_have_wider_intervals_together",),
    ),
    described("judge", wald_for_wilson, tests=(_STATISTICS + "test_wilson_by_hand",)),
    described(
        "judge",
        bootstrap_unpaired,
        tests=("tests/experiments/test_quantities.py::test_replicates_are_paired_between_lesions",),
    ),
    described(
        "judge",
        looks_uncorrected,
        tests=("tests/test_confidence_sequences.py::test_it_narrows_like_the_ordinary_interval",),
    ),
    described(
        "judge",
        values_for_ranks,
        tests=(_STATISTICS + "test_perfect_agreement_is_exactly_one",),
    ),
)
