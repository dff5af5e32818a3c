"""Comparators reduced to statistics: numbers, each with the region in which it must lie.

A scalar is one statistic, a list one per element, an order or a monotone list one per step, a rank correlation or a
ratio one for the whole.  The same arithmetic serves a value, whose numbers are fractions, and its replicates, whose
"numbers" are columns: arrays ``[B]`` over the B replicates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

from resbench.claims.model import AtLeast, AtMost, Between, Comparator, Equals, Monotone, Order, Rank, Ratio, Within
from resbench.judging.values import Unjudgeable, literal, number, short

__all__ = ["Numbers", "Region", "labels", "numbers_of", "regions", "same_shape", "statistics"]

Numbers = Any
"""An entry, a list of entries or of ``[x, y]`` pairs, or a table of entries; an entry is a Fraction or a column."""


@dataclass(frozen=True)
class Region:
    """``low <= statistic <= high``, without ``low`` itself where ``strict``."""

    low: Fraction | None = None
    high: Fraction | None = None
    strict: bool = False

    def contains(self, low: Fraction, high: Fraction) -> bool:
        """Whether the whole interval lies inside."""
        return not self._below(low) and (self.high is None or high <= self.high)

    def excludes(self, low: Fraction, high: Fraction) -> bool:
        """Whether the whole interval lies on one side outside."""
        return self._below(high) or (self.high is not None and low > self.high)

    def room(self, low: Fraction, high: Fraction) -> Fraction | float:
        """How far the interval's nearer end is from the bound; negative where it is across."""
        rooms: list[Fraction] = []
        if self.low is not None:
            rooms.append(low - self.low)
        if self.high is not None:
            rooms.append(self.high - high)
        return min(rooms, default=math.inf)

    def _below(self, value: Fraction) -> bool:
        return self.low is not None and (value <= self.low if self.strict else value < self.low)


def same_shape(wanted: object, value: object) -> None:
    """Raises: Unjudgeable where one is a list and the other is not, or the lists' lengths differ."""
    if isinstance(wanted, list) != isinstance(value, list) or isinstance(value, dict):
        raise Unjudgeable(f"measured a {_sort(value)} where a {_sort(wanted)} is expected")
    if isinstance(wanted, list) and isinstance(value, list) and len(wanted) != len(value):
        raise Unjudgeable(f"measured {len(value)} values where {len(wanted)} are expected")


def _sort(value: object) -> str:
    return "table" if isinstance(value, dict) else "list" if isinstance(value, list) else "single value"


def numbers_of(comparator: Comparator, value: Any) -> Numbers:
    """A plain value's numbers as fractions, in the shape that the comparator needs.

    Raises: Unjudgeable for another shape, a missing name, or an entry that is no number.
    """
    if isinstance(comparator, Ratio | Order):
        if not isinstance(value, dict):
            raise Unjudgeable(f"measured a {_sort(value)} where a table is expected")
        names = comparator.names if isinstance(comparator, Order) else [comparator.over, comparator.under]
        missing = [name for name in names if name not in value]
        if missing:
            raise Unjudgeable(f"the measured table has no '{missing[0]}', only {', '.join(value)}")
        return {name: number(entry) for name, entry in value.items()}
    if isinstance(value, dict):
        raise Unjudgeable("measured a table where numbers are expected")
    if isinstance(comparator, Rank):
        return _pairs(value)
    if isinstance(comparator, Monotone) and not (isinstance(value, list) and len(value) > 1):
        raise Unjudgeable("a monotone list needs at least two values")
    if isinstance(comparator, Equals) or (isinstance(comparator, Within) and isinstance(comparator.value, list)):
        same_shape(comparator.value, value)
    return [number(entry) for entry in value] if isinstance(value, list) else number(value)


def _pairs(value: Any) -> list[list[Fraction]]:
    if not isinstance(value, list) or len(value) < 3:
        raise Unjudgeable("a rank correlation needs at least three pairs [x, y]")
    for entry in value:
        if not isinstance(entry, list) or len(entry) != 2:
            raise Unjudgeable(f"a rank correlation needs pairs [x, y], not {short(entry)}")
    return [[number(x), number(y)] for x, y in value]


def statistics(comparator: Comparator, numbers: Numbers) -> list[Any]:
    """What is compared: fractions (a float for a rank correlation) from fractions, columns ``[B]`` from columns."""
    match comparator:
        case Ratio():
            return [numbers[comparator.over] / numbers[comparator.under]]
        case Order():
            return [numbers[after] - numbers[before] for before, after in pairwise(comparator.names)]
        case Monotone():
            sign = 1 if comparator.direction == "increasing" else -1
            return [sign * (after - before) for before, after in pairwise(numbers)]
        case Rank():
            return [_correlation(comparator, numbers)]
        case _:
            return list(numbers) if isinstance(numbers, list) else [numbers]


def _correlation(comparator: Rank, pairs: list[list[Any]]) -> Any:
    import numpy as np  # only here: exact checks end before numpy would be imported

    from resbench.statistics import rank_correlations

    rows = [np.atleast_2d(np.array([pair[axis] for pair in pairs], dtype=np.float64).T) for axis in (0, 1)]
    correlations = rank_correlations(comparator.statistic, *rows)
    if np.isnan(correlations).any():
        raise Unjudgeable("the rank correlation is undefined: all x or all y are equal")
    return correlations if len(correlations) > 1 else float(correlations[0])


def regions(comparator: Comparator, count: int) -> list[Region]:
    """The region of each of the ``count`` statistics."""
    match comparator:
        case Equals():
            values = [number(entry) for entry in _listed(literal(comparator.value))]
            return [Region(value, value) for value in values]
        case Within():
            values = [number(entry) for entry in _listed(comparator.value)]
            tolerances = [number(comparator.abs) + number(comparator.rel) * abs(value) for value in values]
            found = [Region(value - room, value + room) for value, room in zip(values, tolerances, strict=True)]
            return found if isinstance(comparator.value, list) else found * count
        case AtLeast():
            region = Region(low=number(comparator.bound))
        case AtMost():
            region = Region(high=number(comparator.bound))
        case Between():
            region = Region(number(comparator.low), number(comparator.high))
        case Monotone():
            region = Region(low=-number(comparator.slack), strict=comparator.strict)
        case Order():
            region = Region(low=number(comparator.margin))
        case Rank() | Ratio():
            low, high = (
                None if bound is None else number(bound) for bound in (comparator.at_least, comparator.at_most)
            )
            region = Region(low, high)
    return [region] * count


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def labels(comparator: Comparator, count: int) -> list[str]:
    """What each statistic is, for people; empty text where there is only one."""
    if isinstance(comparator, Order):
        return [f"the rise from {before} to {after}" for before, after in pairwise(comparator.names)]
    if isinstance(comparator, Monotone):
        step = "rise" if comparator.direction == "increasing" else "fall"
        return [f"the {step} from value {place} to {place + 1}" for place in range(1, count + 1)]
    return [f"value {place} of {count}" for place in range(1, count + 1)] if count > 1 else [""]
