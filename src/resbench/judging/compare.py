"""A comparator and a measurement to a judgement.

An exact measurement is judged by its point.  A sampled one is judged by the interval of each statistic that the
comparator reads (:mod:`resbench.judging.statistic`): HOLDS if all of them, and their points, lie inside their regions;
VIOLATED if any lies wholly outside; else INCONCLUSIVE.

The interval of a scalar is the measurement's own; of anything else the percentiles of the statistic, computed afresh
on every replicate.  Where there are m statistics the intervals hold together at 95 % (Bonferroni: each covers
1 - 0.05 / m), so that one of 54 lesions that strays by chance does not condemn a claim about all of them.

Whatever is missing, not finite or of the wrong shape is an ERROR, never green and never VIOLATED.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

from resbench.claims.model import Comparator, Equals, Order, Rank, Ratio
from resbench.judging.statistic import Numbers, labels, numbers_of, regions, same_shape, statistics
from resbench.judging.values import Unjudgeable, equal, expected_text, has_words, literal, number, plain, short, shown
from resbench.records.measurement import Measurement

__all__ = ["MIN_REPLICATES", "Judgement", "Status", "compare"]

MIN_REPLICATES = 100
"""With fewer, the 2.5th percentile is hardly more than the smallest replicate."""

_CONFIDENCE = 0.95
_Interval = tuple[Fraction, Fraction]


class Status(StrEnum):
    HOLDS = "HOLDS"
    VIOLATED = "VIOLATED"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_MEASURED = "NOT_MEASURED"
    STALE = "STALE"
    ERROR = "ERROR"
    WAIVED = "WAIVED"


@dataclass(frozen=True)
class Judgement:
    """One comparison.

    ``measured`` is ready for JSON: the value, or the statistic itself for a rank correlation or a ratio.
    ``interval`` is that of the statistic that decided: of a list, the element that is worst placed.
    """

    status: Status
    measured: Any
    expected: str
    interval: tuple[float, float] | None
    message: str


def compare(comparator: Comparator, measurement: Measurement) -> Judgement:
    """Judge one measurement by one comparator; never raises for what a measurement may hold."""
    measured: Any = None
    try:
        value = plain(measurement.value)
        measured = _reported(comparator, value)
        if isinstance(comparator, Equals) and (has_words(value) or has_words(literal(comparator.value))):
            return _compare_words(comparator, measured, value, measurement)
        numbers = numbers_of(comparator, value)
        if measurement.exact:
            points = _points(comparator, numbers)
            intervals = None
        else:
            columns = _columns(measurement, numbers) if _needs_replicates(measurement, value) else None
            if isinstance(comparator, Ratio) and _may_be_zero(numbers[comparator.under], columns[comparator.under]):
                return _zero_denominator(comparator)
            points = _points(comparator, numbers)
            intervals = _intervals(comparator, measurement, columns, len(points))
        if isinstance(comparator, Rank | Ratio):
            measured = float(points[0])
        return _decide(comparator, measured, points, intervals)
    except Unjudgeable as error:
        return Judgement(Status.ERROR, measured, expected_text(comparator), None, str(error))
    except OverflowError:
        return Judgement(Status.ERROR, measured, expected_text(comparator), None, "a number is too large for a float")
