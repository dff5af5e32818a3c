"""The margin of a verdict: how much room there is between what was measured and the bound.

What the judge compares has a *room*: the distance, in the unit of what is compared, from the bound to the nearer of the
measured point and the ends of its interval; of two bounds the nearer one.  It is negative where the bound is crossed.
Of a list, an order or a monotone list it is that of the entry or step that decided
(:mod:`resbench.judging.compare`); of a ratio or a rank correlation that of the ratio or correlation itself.  It is what
:mod:`resbench.judging.power` calls a seed's margin.

Rooms of different claims are compared by their :attr:`Margin.size`, the room in units of what moves it: half the width
of the interval, where what was measured is sampled.  At 1, the point is about twice that far inside; below 0 the
interval straddles the bound, and below -2 it lies across.  Sampled ratios are measured by factors, as their power is,
since their intervals grow with them: room and half width are then differences of natural logarithms.

What was measured without noise does not move by chance.  Its room is in units of its *tolerance*: half the distance
between two bounds, or how far one bound is from 0; 1 is then the middle of what is accepted, or 0.

No margin: words, errors, and what must equal one value, which has no room at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

from resbench.judging.statistic import Region

__all__ = ["Margin", "margin_of", "smallest"]

T = TypeVar("T")


@dataclass(frozen=True)
class Margin:
    """``room``: in the unit of what is compared, negative across the bound.  ``half_width``: of the interval; None of
    what was measured without noise.  ``tolerance``: what is accepted, as a length; None where the one bound is 0.
    ``log``: these are differences of natural logarithms, of a sampled ratio."""

    room: float
    half_width: float | None
    tolerance: float | None
    log: bool = False

    @property
    def size(self) -> float | None:
        """The room in units of the half width, else of the tolerance; None where there is neither."""
        unit = self.half_width or self.tolerance
        return self.room / unit if unit else None

    @property
    def unit(self) -> str:
        """What :attr:`size` counts; empty where it is None."""
        return "half widths" if self.half_width else "tolerances" if self.tolerance else ""

    def to_json(self) -> dict[str, Any]:
        return {
            "room": self.room,
            "half_width": self.half_width,
            "tolerance": self.tolerance,
            "size": self.size,
            "unit": self.unit,
            "log": self.log,
        }


def margin_of(
    region: Region, low: Fraction, high: Fraction, interval: tuple[Fraction, Fraction] | None, *, ratio: bool
) -> Margin | None:
    """The margin of one statistic.

    Args:
        region: where it must lie.
        low, high: the interval stretched to its point, or the point alone.
        interval: the interval itself; None of what was measured without noise.
        ratio: the statistic is one; logarithms are taken where all of it is positive.

    Returns:
        None where the region is a single value or has no bound, and where the room is no finite float.
    """
    if region.low == region.high:
        return None
    ends = [end for end in (region.low, region.high, low, *(interval or ())) if end is not None]
    log = ratio and interval is not None and min(ends) > 0
    if log and interval is not None:
        low_bound, high_bound = (None if bound is None else _log(bound) for bound in (region.low, region.high))
        region = Region(low_bound, high_bound)
        low, high, interval = _log(low), _log(high), (_log(interval[0]), _log(interval[1]))
    room = _float(region.room(low, high))
    half_width = None if interval is None else _float((interval[1] - interval[0]) / 2)
    return None if room is None else Margin(room, half_width or None, _tolerance(region) or None, log)


def _log(value: Fraction) -> Fraction:
    return Fraction(math.log(value.numerator) - math.log(value.denominator))


def _tolerance(region: Region) -> float | None:
    bounds = [bound for bound in (region.low, region.high) if bound is not None]
    return _float(abs(bounds[0]) if len(bounds) == 1 else (bounds[1] - bounds[0]) / 2)


def _float(value: Fraction | float) -> float | None:
    """None of what a float cannot hold: path counts have hundreds of digits."""
    try:
        return float(value)
    except OverflowError:
        return None


def smallest(entries: Iterable[T], margin: Callable[[T], Margin | None]) -> list[T]:
    """The entries that have a size of margin, the worst first.

    First whatever is across its bound, then what moves by chance, then what was measured without noise: a size in half
    widths says nothing about one in tolerances.
    """
    keyed: list[tuple[bool, float, T]] = []
    for entry in entries:
        found = margin(entry)
        size = None if found is None else found.size
        if found is not None and size is not None:
            keyed.append((size >= 0 and not found.half_width, size, entry))
    return [entry for *_, entry in sorted(keyed, key=lambda one: one[:2])]
