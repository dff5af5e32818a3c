"""What one check measured, on a line: its values and interval, those of the recorded seeds, and the tolerance.

Everything is placed in percent of the line's width, so that the page draws it at any width without a script.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from resbench.claims.model import AtLeast, AtMost, Between, Comparator, Equals, Monotone, Order, Rank, Ratio, Within
from resbench.reports.words import figure

__all__ = ["Band", "Dot", "Line", "Strip", "Tick", "strip_of"]

_DECADES = 3.0
"""A line over more than so many powers of ten is logarithmic."""
_MARGIN = 0.06
_LONGEST = 60
"""Of more values only the extremes and a sample are drawn."""


@dataclass(frozen=True)
class Dot:
    """A value at ``x`` percent, or from ``low`` to ``high`` where it has an interval; ``text`` says it in words."""

    x: float
    text: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Band:
    """What is accepted, from ``left`` to ``right`` percent; ``open``: the sides on which there is no bound."""

    left: float
    right: float
    open: str = ""


@dataclass(frozen=True)
class Tick:
    """A number under the line."""

    x: float
    text: str


@dataclass(frozen=True)
class Line:
    """One row of dots: ``label`` where there are several."""

    label: str
    dots: tuple[Dot, ...]
    seeds: tuple[Dot, ...] = ()


@dataclass(frozen=True)
class Strip:
    """``band`` is None where what is accepted is no range of values (an order).  ``logarithmic``: the scale."""

    lines: tuple[Line, ...]
    band: Band | None
    ticks: tuple[Tick, ...]
    unit: str
    logarithmic: bool
    summary: str


def strip_of(
    compare: Comparator,
    measured: Any,
    interval: Sequence[float] | None,
    unit: str,
    seeds: Sequence[tuple[Any, Sequence[float] | None]] = (),
) -> Strip | None:
    """The strip of one check; None where nothing numeric was measured, or an exact value, which a line adds nothing to.

    ``measured`` and ``interval``: as a verdict has them.  ``seeds``: the same of the recorded seeds.
    """
    if isinstance(compare, Equals) or not (rows := _rows(compare, measured)):
        return None
    low, high = _region(compare)
    single = interval if len(rows) == 1 and len(rows[0][1]) == 1 else None
    others = [(value, ends) for value, ends in seeds if _finite(value)] if single or len(rows[0][1]) == 1 else []
    every = [value for _, values in rows for value in values]
    every += [end for end in (single or ()) if _finite(end)] + [bound for bound in (low, high) if math.isfinite(bound)]
    every += [value for value, _ in others]
    every += [end for _, ends in others for end in ends or () if _finite(end)]
    scale = _Scale.over(every)
    lines = []
    for label, values in rows:
        dots = tuple(_dot(scale, value, single, unit) for value in _sample(values))
        lines.append(Line(label, dots, tuple(_dot(scale, value, ends, unit) for value, ends in others)))
    band = None
    if not isinstance(compare, Order | Monotone):
        sides = [side for side, bound in (("left", low), ("right", high)) if not math.isfinite(bound)]
        left, right = ("left" in sides, "right" in sides)
        band = Band(0.0 if left else scale.at(low), 100.0 if right else scale.at(high), " ".join(sides))
    ticks = _ticks(scale, [bound for bound in (low, high) if math.isfinite(bound)])
    return Strip(tuple(lines), band, ticks, unit, scale.logarithmic, _summary(rows, others, unit))


def _rows(compare: Comparator, measured: Any) -> list[tuple[str, list[float]]]:
    """Label and values of each row; none where something is not a finite number."""
    if isinstance(measured, Mapping):
        pairs = [(str(name), value) for name, value in measured.items()]
        shown = isinstance(compare, Order) and all(_finite(value) for _, value in pairs)
        return [(name, [float(value)]) for name, value in pairs] if shown else []
    values = measured if isinstance(measured, list | tuple) else [measured]
    if not values or not all(_finite(value) for value in values):
        return []
    return [("", [float(value) for value in values])]


def _finite(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 and math.isfinite(value)
    )


def _region(compare: Comparator) -> tuple[float, float]:
    infinite = math.inf
    match compare:
        case AtLeast():
            return compare.bound, infinite
        case AtMost():
            return -infinite, compare.bound
        case Between():
            return compare.low, compare.high
        case Within() if not isinstance(compare.value, list):
            room = compare.abs + compare.rel * abs(compare.value)
            return compare.value - room, compare.value + room
        case Rank() | Ratio():
            low = -infinite if compare.at_least is None else compare.at_least
            return low, infinite if compare.at_most is None else compare.at_most
        case _:
            return -infinite, infinite


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    logarithmic: bool

    @classmethod
    def over(cls, values: Sequence[float]) -> _Scale:
        low, high = min(values), max(values)
        logarithmic = low > 0 and math.log10(high / low) > _DECADES
        if logarithmic:
            low, high = math.log10(low), math.log10(high)
        room = (high - low) * _MARGIN or max(abs(low) * 0.1, 1.0)
        return cls(low - room, high + room, logarithmic)

    def at(self, value: float) -> float:
        """Percent from the left, within the line."""
        place = (math.log10(value) if value > 0 else self.low) if self.logarithmic else value
        share = (place - self.low) / (self.high - self.low)
        return round(100 * min(max(share, 0.0), 1.0), 2)

    def ends(self) -> tuple[float, float]:
        inner = (self.high - self.low) * _MARGIN / (1 + 2 * _MARGIN)
        low, high = self.low + inner, self.high - inner
        return (10**low, 10**high) if self.logarithmic else (low, high)


def _dot(scale: _Scale, value: float, ends: Sequence[float] | None, unit: str) -> Dot:
    text = f"{figure(float(value))}{unit}"
    if ends is None or not all(_finite(end) for end in ends):
        return Dot(scale.at(value), text)
    return Dot(scale.at(value), f"{text} [{figure(ends[0])}, {figure(ends[1])}]", scale.at(ends[0]), scale.at(ends[1]))


def _sample(values: list[float]) -> list[float]:
    if len(values) <= _LONGEST:
        return values
    ordered = sorted(values)
    return [ordered[round(index * (len(ordered) - 1) / (_LONGEST - 1))] for index in range(_LONGEST)]


def _ticks(scale: _Scale, bounds: Sequence[float]) -> tuple[Tick, ...]:
    """The bounds, and the ends of the line where they are not too near to those."""
    ticks = [Tick(scale.at(bound), figure(float(bound))) for bound in dict.fromkeys(bounds)]
    for end in scale.ends():
        place = scale.at(end)
        if all(abs(place - tick.x) > 18 for tick in ticks):
            ticks.append(Tick(place, figure(float(f"{end:.2g}"))))
    ordered = sorted(ticks, key=lambda tick: tick.x)
    near = {second for first, second in pairwise(ordered) if second.x - first.x < 8}
    return tuple(tick for tick in ordered if tick not in near)


def _summary(
    rows: Sequence[tuple[str, list[float]]], seeds: Sequence[tuple[Any, Sequence[float] | None]], unit: str
) -> str:
    """The strip for those who do not see it."""
    if len(rows) > 1:
        text = ", ".join(f"{label} {figure(values[0])}{unit}" for label, values in rows)
    elif len(rows[0][1]) == 1:
        text = f"{figure(rows[0][1][0])}{unit}"
    else:
        values = rows[0][1]
        text = f"{len(values)} values from {figure(min(values))} to {figure(max(values))}{unit}"
    if seeds:
        found = [float(value) for value, _ in seeds]
        text += f"; {len(found)} recorded seeds from {figure(min(found))} to {figure(max(found))}{unit}"
    return text
