"""Exact quantities of stochastic depth's survival schedules (Huang 2016, section 3).

Results are fractions, but for the statistics of the drawn depth, which are rounded once.  A probability parameter is
text (``"1/2"``, ``"0.2"``) or a number, which stands for its shortest decimal form; anything else raises ValueError.
Units are counted from 1; ``l = 0`` is the input.  The formulas are written out here, not taken from
:mod:`resbench.networks.sampling`, so that the two can disagree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

__all__ = [
    "closed_form_gap",
    "depth_deviation",
    "depth_probability",
    "depth_range",
    "depth_variance",
    "expected_depth",
    "expected_depths",
    "limit_gaps",
    "poisson_binomial",
    "relative_depth",
    "speedups",
    "subnetworks",
    "survival",
    "survival_values",
    "time_saving",
    "units_of_layers",
]

Schedule = Literal["linear", "uniform"]
Probability = str | int | float | Fraction


def survival(n: int, p_last: Probability, unit: int, schedule: Schedule = "linear") -> Fraction:
    """``p_l`` of unit ``l = unit``: ``1 - (l / L) (1 - p_L)`` (equation 4), or ``p_L`` for all.

    ``unit = 0`` is the input, which survives surely under either rule.
    """
    last = _probability(p_last)
    if n < 1 or not 0 <= unit <= n:
        raise ValueError(f"there is no unit {unit} in a network of {n}")
    if schedule not in ("linear", "uniform"):
        raise ValueError(f"a survival schedule is linear or uniform, not {schedule!r}")
    if unit == 0:
        return Fraction(1)
    return last if schedule == "uniform" else 1 - Fraction(unit, n) * (1 - last)


def survival_values(n: int, p_last: Probability, schedule: Schedule = "linear") -> list[Fraction]:
    """The distinct values of ``p_1 ... p_L``, in descending order (one value under the uniform rule)."""
    return sorted(set(_all(n, p_last, schedule)), reverse=True)


def expected_depth(n: int, p_last: Probability, schedule: Schedule = "linear") -> Fraction:
    """``E[L~] = sum of p_l``, in units (section 3, "expected network depth")."""
    return sum(_all(n, p_last, schedule), Fraction(0))


def expected_depths(ns: Sequence[int], p_last: Probability, schedule: Schedule = "linear") -> list[Fraction]:
    """:func:`expected_depth` of networks of ``ns`` units."""
    return [expected_depth(n, p_last, schedule) for n in ns]


def closed_form_gap(up_to: int, p_lasts: Sequence[Probability]) -> Fraction:
    """Largest difference of the sum from ``L - (L + 1)(1 - p_L) / 2`` over ``L = 1..up_to``, linear rule.

    At ``p_L = 1/2`` that closed form is ``(3 L - 1) / 4``.
    """
    return max(
        abs(expected_depth(n, p) - (n - Fraction(n + 1, 2) * (1 - _probability(p))))
        for n in range(1, up_to + 1)
        for p in p_lasts
    )


def relative_depth(n: int, p_last: Probability, schedule: Schedule = "linear") -> Fraction:
    """``E[L~] / L``: the share of units that an average mini-batch uses."""
    return expected_depth(n, p_last, schedule) / n


def limit_gaps(ns: Sequence[int], p_last: Probability, limit: Probability) -> list[Fraction]:
    """``(limit - E[L~] / L) L`` for each ``L`` of ``ns``, linear rule; if constant, E / L tends to ``limit``."""
    return [(Fraction(str(limit)) - relative_depth(n, p_last)) * n for n in ns]


def depth_variance(n: int, p_last: Probability, schedule: Schedule = "linear") -> float:
    """``Var[L~] = sum of p_l (1 - p_l)``: units survive independently (equation 2)."""
    return float(sum(p * (1 - p) for p in _all(n, p_last, schedule)))


def depth_deviation(n: int, p_last: Probability, schedule: Schedule = "linear") -> float:
    """Standard deviation of the drawn depth, in units."""
    return math.sqrt(depth_variance(n, p_last, schedule))


def depth_probability(n: int, p_last: Probability, depth: int, schedule: Schedule = "linear") -> float:
    """The probability that a mini-batch uses exactly ``depth`` of the ``n`` units."""
    return float(_distribution(n, p_last, schedule)[depth])


def depth_range(n: int, p_last: Probability, tail: Probability = "0.025", schedule: Schedule = "linear") -> list[int]:
    """The narrowest ``[low, high]`` with at most ``tail`` of probability below ``low`` and above ``high`` each."""
    distribution, bound = _distribution(n, p_last, schedule), _probability(tail)
    return [_quantile(distribution, bound), n - _quantile(distribution[::-1], bound)]


def time_saving(n: int, p_last: Probability, schedule: Schedule = "linear") -> Fraction:
    """Share of the training time saved if time is proportional to depth: ``1 - E[L~] / L`` (section 3)."""
    return 1 - relative_depth(n, p_last, schedule)


def speedups(n: int, settings: Sequence[tuple[Schedule, Probability]]) -> list[Fraction]:
    """``L / E[L~]`` for each ``[schedule, p_L]`` of ``settings`` (the labels of figure 8)."""
    return [1 / relative_depth(n, p_last, schedule) for schedule, p_last in settings]


def subnetworks(n: int, p_last: Probability, schedule: Schedule = "linear") -> int:
    """How many gate vectors ``(b_1, ..., b_L)`` have a positive probability.

    A unit that can neither be dropped nor kept doubles nothing, so a schedule whose first unit always survives
    gives half as many.
    """
    count = 1
    for p in _all(n, p_last, schedule):
        count *= sum(probability > 0 for probability in (p, 1 - p))
    return count


def units_of_layers(layers: int, layers_per_unit: int = 2) -> Fraction:
    """The units of a network of ``layers`` weight layers: all but the first convolution and the classifier."""
    return Fraction(layers - 2, layers_per_unit)


def _all(n: int, p_last: Probability, schedule: Schedule) -> list[Fraction]:
    return [survival(n, p_last, unit, schedule) for unit in range(1, n + 1)]


def _probability(value: Probability) -> Fraction:
    exact = Fraction(str(value))
    if not 0 <= exact <= 1:
        raise ValueError(f"a probability lies in [0, 1], not {value}")
    return exact


def _distribution(n: int, p_last: Probability, schedule: Schedule) -> list[Fraction]:
    """``P(L~ = 0), ..., P(L~ = n)``."""
    return poisson_binomial(_all(n, p_last, schedule))


def poisson_binomial(probabilities: Sequence[Probability]) -> list[Fraction]:
    """``P(0), ..., P(n)`` of ``n`` independent events, each with its own probability; they are added one by one.

    In integers: with ``p_l = a_l / m`` for a common ``m``, the entries are counts out of ``m ** n``.
    """
    exact = [_probability(p) for p in probabilities]
    common = math.lcm(*(p.denominator for p in exact))
    counts = [1]
    for p in exact:
        keep = p.numerator * (common // p.denominator)
        used, skipped = [0, *(count * keep for count in counts)], [*(count * (common - keep) for count in counts), 0]
        counts = [a + b for a, b in zip(used, skipped, strict=True)]
    total = common ** len(exact)
    return [Fraction(count, total) for count in counts]


def _quantile(distribution: Sequence[Fraction], tail: Fraction) -> int:
    """The largest index with at most ``tail`` of probability below it."""
    below, index = Fraction(0), 0
    while below + distribution[index] <= tail:
        below += distribution[index]
        index += 1
    return index
