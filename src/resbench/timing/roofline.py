"""The least time that a machine needs for a step: Williams, Waterman, Patterson 2009, "Roofline", CACM 52(4).

The roof is measured, not looked up (:mod:`resbench.timing.worker.rates`), and the bytes are the least that any
implementation moves, so that fusing operators shows as a better utilisation.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping
from typing import Literal

from resbench.timing.worker.seen import Counts, Rates

__all__ = ["bound", "copy_rate", "floor_seconds", "utilisation"]


def floor_seconds(counts: Counts, rates: Rates) -> float:
    """Seconds a step: the greater of the multiply-adds at the matrix product's rate and the least bytes at a copy's.

    Products with a convolution's zero padding are not necessary, and not in it (16 % of a 3x3 one's at 8x8 pixels).
    0 for a step without either (an engine, whose work is not counted).
    """
    return max(_compute(counts, rates), _memory(counts, rates))


def utilisation(seconds: float, counts: Counts, rates: Rates) -> float | None:
    """The floor over the time taken; None where nothing is counted or the time is not positive.

    May exceed 1: algorithms such as Winograd's need fewer multiplications, and the rates were measured at another
    moment, when the machine may have been busier.
    """
    floor = floor_seconds(counts, rates)
    return floor / seconds if floor > 0 and seconds > 0 else None


def bound(counts: Counts, rates: Rates) -> Literal["compute", "memory"] | None:
    """What the floor is made of; None where nothing is counted."""
    compute, memory = _compute(counts, rates), _memory(counts, rates)
    if not compute and not memory:
        return None
    return "compute" if compute >= memory else "memory"


def copy_rate(size: float, copies: Mapping[int, float]) -> float:
    """Bytes a second at a footprint of ``size`` bytes: between measured sizes linear in the size's logarithm.

    Below the smallest and above the largest it is theirs.  0 if none was measured.
    """
    sizes = sorted(copies)
    if not sizes:
        return 0.0
    if size <= sizes[0] or size >= sizes[-1]:
        return copies[sizes[0] if size <= sizes[0] else sizes[-1]]
    above = bisect.bisect_right(sizes, size)
    low, high = sizes[above - 1], sizes[above]
    share = math.log(size / low) / math.log(high / low)
    return copies[low] + share * (copies[high] - copies[low])


def _compute(counts: Counts, rates: Rates) -> float:
    return (counts.macs - counts.padding) / rates.macs if rates.macs > 0 else 0.0


def _memory(counts: Counts, rates: Rates) -> float:
    rate = copy_rate(counts.least_bytes, rates.copies)
    return counts.least_bytes / rate if rate > 0 else 0.0
