"""A comparator and a measurement to a judgement.

An exact measurement is judged by its point.  A sampled one is judged by the interval of each statistic that the
comparator reads (:mod:`resbench.judging.statistic`): HOLDS if all of them, and their points, lie inside their regions;
VIOLATED if any lies wholly outside; else INCONCLUSIVE.

The interval of a scalar is the measurement's own; of anything else the percentiles of the statistic, computed afresh
on every replicate.  Where there are m statistics the intervals hold together at the measurement's confidence
(Bonferroni: at 95 % each covers 1 - 0.05 / m), so that one of 54 lesions that strays by chance does not condemn a claim
about all of them.  A list or table whose entries' intervals hold together already is judged by the arithmetic of those
(:mod:`resbench.judging.entries`).

Whatever is missing, not finite or of the wrong shape is an ERROR, never green and never VIOLATED.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

from resbench.claims.model import Comparator, Equals, Order, Rank, Ratio
from resbench.judging.entries import entry_intervals, statistic_intervals
from resbench.judging.margins import Margin, margin_of
from resbench.judging.statistic import Numbers, labels, numbers_of, regions, same_shape, statistics
from resbench.judging.values import Unjudgeable, equal, expected_text, has_words, literal, number, plain, short, shown
from resbench.records.measurement import Measurement

__all__ = ["MIN_REPLICATES", "Judgement", "Status", "compare"]

MIN_REPLICATES = 100
"""With fewer, the 2.5th percentile is hardly more than the smallest replicate."""

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
    ``interval`` and ``margin`` are those of the statistic that decided: of a list, the element that is worst placed.
    """

    status: Status
    measured: Any
    expected: str
    interval: tuple[float, float] | None
    message: str
    margin: Margin | None = None


def compare(comparator: Comparator, measurement: Measurement) -> Judgement:
    """Judge one measurement by one comparator; never raises for what a measurement may hold."""
    measured: Any = None
    try:
        value = plain(measurement.value)
        if not isinstance(comparator, Rank | Ratio):
            measured = shown(value)
        if isinstance(comparator, Equals) and (has_words(value) or has_words(literal(comparator.value))):
            return _compare_words(comparator, value, measurement)
        numbers = numbers_of(comparator, value)
        if isinstance(comparator, Order):
            measured = {name: measured[name] for name in comparator.names}
        columns = _columns(measurement, numbers)
        if isinstance(comparator, Ratio) and _may_be_zero(comparator.under, numbers, columns, measurement):
            return _zero_denominator(comparator, measurement)
        points = [number(point) for point in statistics(comparator, numbers)]
        if isinstance(comparator, Rank | Ratio):
            measured = float(points[0])
        intervals = None if measurement.exact else _intervals(comparator, measurement, numbers, columns, len(points))
        return _decide(comparator, measured, points, intervals)
    except Unjudgeable as error:
        return Judgement(Status.ERROR, measured, expected_text(comparator), None, str(error))
    except OverflowError:
        return Judgement(Status.ERROR, measured, expected_text(comparator), None, "a number is too large for a float")


def _compare_words(comparator: Equals, value: Any, measurement: Measurement) -> Judgement:
    if not measurement.exact:
        raise Unjudgeable("a sampled text or truth value has no interval")
    same_shape(comparator.value, value)
    wanted = comparator.value if isinstance(comparator.value, list) else [comparator.value]
    seen = value if isinstance(value, list) else [value]
    # Every entry is compared, also after a difference: one of another sort is an error.
    equalities = [equal(one, other) for one, other in zip(wanted, seen, strict=True)]
    expected = expected_text(comparator)
    message = f"measured {short(value)}, expected {expected}"
    return Judgement(Status.HOLDS if all(equalities) else Status.VIOLATED, shown(value), expected, None, message)


def _columns(measurement: Measurement, numbers: Numbers) -> Numbers | None:
    """The replicates as columns, each entry of ``numbers`` an array ``[B]``; None where none are needed."""
    if measurement.exact or (measurement.interval is not None and isinstance(numbers, Fraction)):
        return None
    if measurement.intervals is not None:
        return None
    replicates: Any = measurement.replicates
    if replicates is None or not len(replicates):
        raise Unjudgeable("no uncertainty: the value is sampled, but it has no interval and no replicates")
    if len(replicates) < MIN_REPLICATES:
        raise Unjudgeable(f"{len(replicates)} replicates are too few for an interval; {MIN_REPLICATES} are needed")
    if isinstance(numbers, dict):
        if not all(isinstance(replicate, Mapping) and numbers.keys() <= replicate.keys() for replicate in replicates):
            raise Unjudgeable("the replicates lack entries that the measured table has")
        return {name: _array([table[name] for table in replicates], ()) for name in numbers}
    if isinstance(numbers, Fraction):
        return _array(replicates, ())
    if isinstance(numbers[0], Fraction):
        return list(_array(replicates, (len(numbers),)).T)
    pairs = _array(replicates, (len(numbers), 2))
    return [[pairs[:, row, 0], pairs[:, row, 1]] for row in range(len(numbers))]


def _array(replicates: Any, shape: tuple[int, ...]) -> Any:
    """The replicates as floats ``[B, *shape]``.  Raises: Unjudgeable for another shape, text, truth values or NaN."""
    import numpy as np  # only here: exact checks end before numpy would be imported

    try:
        raw = np.asarray(replicates)
    except ValueError:
        raise Unjudgeable("the replicates are not all of one shape") from None
    if raw.shape[1:] != shape:
        raise Unjudgeable(f"the replicates' shape is {list(raw.shape[1:])}, the value's {list(shape)}")
    numeric = raw.dtype.kind in "iuf" or (
        raw.dtype.kind == "O" and all(number(entry) is not None for entry in raw.flat)
    )
    if not numeric:
        raise Unjudgeable("the replicates are not numbers")
    array = raw.astype(np.float64)
    if not np.isfinite(array).all():
        raise Unjudgeable("the replicates contain NaN or infinity")
    return array


def _may_be_zero(name: str, table: Mapping[str, Fraction], columns: Numbers | None, measurement: Measurement) -> bool:
    """Whether the denominator is 0, or in sampled data cannot be told from 0."""
    if measurement.intervals is not None:
        low, high = entry_intervals(measurement, table)[name]
        return low <= 0 <= high or not table[name]
    if columns is None or not table[name]:
        return not table[name]
    low, high = _percentiles(columns[name], measurement.confidence)
    return low <= 0 <= high or not columns[name].all()


def _zero_denominator(comparator: Ratio, measurement: Measurement) -> Judgement:
    if measurement.exact:
        raise Unjudgeable(f"the denominator, '{comparator.under}', is 0")
    message = f"the denominator, '{comparator.under}', cannot be told from 0"
    return Judgement(Status.INCONCLUSIVE, None, expected_text(comparator), None, message)


def _percentiles(column: Any, confidence: float) -> _Interval:
    from resbench.statistics import percentile_interval

    low, high = percentile_interval(column, confidence)
    return number(float(low)), number(float(high))


def _intervals(
    comparator: Comparator, measurement: Measurement, numbers: Numbers, columns: Numbers | None, count: int
) -> list[_Interval]:
    """The simultaneous intervals of the ``count`` statistics."""
    if measurement.intervals is not None:
        return statistic_intervals(comparator, entry_intervals(measurement, numbers))
    if columns is not None:
        confidence = 1.0 - (1.0 - measurement.confidence) / count
        return [_percentiles(column, confidence) for column in statistics(comparator, columns)]
    given = plain(measurement.interval)
    if not isinstance(given, list) or len(given) != 2:
        raise Unjudgeable(f"{short(given)} is not an interval")
    low, high = (number(end) for end in given)
    if low > high:
        raise Unjudgeable(f"the interval's ends are reversed: {short(given)}")
    return [(low, high)]


def _decide(
    comparator: Comparator, measured: Any, points: Sequence[Fraction], intervals: Sequence[_Interval] | None
) -> Judgement:
    """The worst of the statistics decides; among equals the one nearest to its bound, or furthest across it."""
    ranked, wanted = [], regions(comparator, len(points))
    for index, region in enumerate(wanted):
        point = points[index]
        low, high = intervals[index] if intervals else (point, point)
        low, high = min(low, point), max(high, point)  # where resampling is biased, the point must agree as well
        outside, inside = region.excludes(low, high), region.contains(low, high)
        ranked.append((not outside, inside, region.room(low, high), index, low, high))
    clear, inside, _, index, low, high = min(ranked)
    status = Status.HOLDS if inside else Status.INCONCLUSIVE if clear else Status.VIOLATED
    interval = (float(intervals[index][0]), float(intervals[index][1])) if intervals else None
    message = _sentence(comparator, measured, status, index, points, interval)
    spread, ratio = intervals[index] if intervals else None, isinstance(comparator, Ratio)
    margin = margin_of(wanted[index], low, high, spread, ratio=ratio)
    return Judgement(status, measured, expected_text(comparator), interval, message, margin)


def _sentence(
    comparator: Comparator,
    measured: Any,
    status: Status,
    index: int,
    points: Sequence[Fraction],
    interval: tuple[float, float] | None,
) -> str:
    """``measured 0.93 [0.91, 0.95], expected >= 0.9``, and of several statistics which one decided."""
    span = f" [{short(interval[0])}, {short(interval[1])}]" if interval else ""
    label = labels(comparator, len(points))[index]
    text = f"measured {short(measured)}{'' if label else span}, expected {expected_text(comparator)}"
    if label:
        text += f"; {label} is {short(float(points[index]))}{span}"
    return text + ("; the interval straddles the bound" if status is Status.INCONCLUSIVE else "")
