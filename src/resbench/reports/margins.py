"""The margins of a run in words: which claims are nearest to their bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from resbench.judge import Check, Status, Verdict
from resbench.judging.margins import Margin, smallest
from resbench.reports.verdicts import unit_of
from resbench.reports.words import figure

__all__ = ["difference_unit", "nearest", "room_text", "size_text"]

_JUDGED = (Status.HOLDS, Status.WAIVED, Status.VIOLATED, Status.INCONCLUSIVE)


def nearest(verdicts: Sequence[Verdict]) -> list[tuple[Verdict, Check, Margin]]:
    """Each verdict with the check of the smallest margin, the worst first; without those that have none."""
    pairs = [(verdict, check) for verdict in verdicts if verdict.status in _JUDGED for check in verdict.checks]
    seen: set[tuple[str, str]] = set()
    found = []
    for verdict, check in smallest(pairs, lambda pair: pair[1].judgement.margin):
        margin = check.judgement.margin
        if margin is not None and (verdict.id, verdict.setting) not in seen:
            seen.add((verdict.id, verdict.setting))
            found.append((verdict, check, margin))
    return found


def room_text(margin: Margin, expected: str, unit: str) -> str:
    """``1.3 points``; of a sampled ratio ``a factor of 1.2``."""
    if margin.log:
        return f"a factor of {figure(math.exp(min(margin.room, 700)), 3)}"
    return figure(margin.room, 3) + difference_unit(expected, unit)


def difference_unit(expected: str, unit: str) -> str:
    """`` points`` also of percentages: a difference of two is no percentage of either."""
    return " points" if unit_of(expected, unit) == " %" else unit_of(expected, unit)


def size_text(margin: Margin) -> str:
    """``0.62 half widths``, ``31 % of the tolerance``; empty where neither is known."""
    size = margin.size
    if size is None:
        return ""
    return f"{figure(size, 3)} half widths" if margin.half_width else f"{figure(100 * size, 3)} % of the tolerance"
