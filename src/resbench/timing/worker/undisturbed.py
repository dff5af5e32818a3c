"""What the code takes when nobody disturbs it: one number from many samples of one process."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

__all__ = ["FASTEST", "groups", "undisturbed"]

FASTEST = 0.1
"""The share of the samples that is averaged."""

_GROUPS = 10


def undisturbed(seconds: Sequence[float]) -> float:
    """The mean of the fastest tenth of the samples, of at least one.

    Other programs only ever add time, at random; a busy neighbour on a shared core doubles it.  The median is then
    theirs as much as the code's.  Of eight fresh processes of the same code, on two cores of which other programs used
    one, this mean differed by 1.0 to 3.2 % (standard deviation, six cases), the median by 2.2 to 4.8 %, and in every
    case by more.  What is slow only *sometimes*, in less than nine runs of ten, is not seen.
    """
    ordered = sorted(seconds)
    count = max(1, round(FASTEST * len(ordered)))
    return sum(ordered[:count]) / count


def groups(seconds: Sequence[float]) -> list[float]:
    """:func:`undisturbed` of up to ten successive parts of the samples, for tools that do their own statistics."""
    count = min(_GROUPS, len(seconds))
    bounds = [round(index * len(seconds) / count) for index in range(count + 1)]
    return [undisturbed(seconds[a:b]) for a, b in pairwise(bounds)]
