"""Intervals of statistics from intervals of the entries that they are computed from, which hold together.

A difference or ratio of two entries lies between the extremes over their intervals: no correlation is used, so the
result is wider than a paired one and never too narrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

from resbench.claims.model import Comparator, Monotone, Order, Rank, Ratio
from resbench.judging.values import Unjudgeable, number, plain, short
from resbench.records.measurement import Measurement

__all__ = ["entry_intervals", "statistic_intervals"]

Interval = tuple[Fraction, Fraction]


def entry_intervals(measurement: Measurement, numbers: Any) -> Any:
    """The interval of every entry of ``numbers``, a list or table of fractions, in the same structure.

    Raises: Unjudgeable where they do not fit the value, or are no intervals.
    """
    given = plain(measurement.intervals)
    if isinstance(numbers, Mapping):
        if not isinstance(given, Mapping) or not numbers.keys() <= given.keys():
            raise Unjudgeable("the intervals lack entries that the measured table has")
        return {name: _interval(given[name]) for name in numbers}
    if not isinstance(numbers, Sequence) or not isinstance(given, list) or len(given) != len(numbers):
        raise Unjudgeable("the intervals do not fit the measured value")
    return [_interval(one) for one in given]


def _interval(given: Any) -> Interval:
    if not isinstance(given, list) or len(given) != 2:
        raise Unjudgeable(f"{short(given)} is not an interval")
    low, high = (number(end) for end in given)
    if low > high:
        raise Unjudgeable(f"the interval's ends are reversed: {short(given)}")
    return low, high


def statistic_intervals(comparator: Comparator, intervals: Any) -> list[Interval]:
    """The interval of each statistic of :func:`resbench.judging.statistic.statistics`.

    A denominator's interval must not contain 0.  Raises: Unjudgeable for a rank correlation.
    """
    match comparator:
        case Ratio():
            quotients = [a / b for a in intervals[comparator.over] for b in intervals[comparator.under]]
            return [(min(quotients), max(quotients))]
        case Order():
            return [_difference(intervals[after], intervals[before]) for before, after in pairwise(comparator.names)]
        case Monotone():
            rising = comparator.direction == "increasing"
            steps = [(after, before) if rising else (before, after) for before, after in pairwise(intervals)]
            return [_difference(*step) for step in steps]
        case Rank():
            raise Unjudgeable("a rank correlation does not follow from intervals of its entries")
        case _:
            return list(intervals)


def _difference(first: Interval, second: Interval) -> Interval:
    return first[0] - second[1], first[1] - second[0]
