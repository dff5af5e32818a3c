"""The verdict board for a terminal: one line a claim and setting, by paper; what failed is explained below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from resbench.claims.model import Claim, Comparator
from resbench.judge import Status, Verdict
from resbench.judging.values import expected_text
from resbench.reports.verdicts import EXPLAINED, Group, by_reason, counts, explain, grouped, label, name
from resbench.reports.words import brief, clean, cut, expected, figure, place, symbols, unit_suffix, wrap

__all__ = ["compact_expected", "compact_measured", "table"]

MIN_WIDTH = 40
_GAP = "  "
_GROWTH = ((9, 9, 6), (15, 14, 8), (18, 18, 14), (28, 24, 30), (60, 60, 60))
"""How the cells measured, expected and where grow in turns as there is room."""

_COLOURS = {
    Status.HOLDS: "32",
    Status.VIOLATED: "1;31",
    Status.INCONCLUSIVE: "33",
    Status.STALE: "33",
    Status.ERROR: "1;31",
    Status.WAIVED: "36",
    Status.NOT_MEASURED: "2",
}
_BOLD, _DIM = "1", "2"


class _Widths(NamedTuple):
    status: int
    name: int
    measured: int
    expected: int
    where: int


def table(verdicts: Sequence[Verdict], claims: Sequence[Claim], *, width: int = 80, colour: bool = False) -> str:
    """The board, no line wider than ``width`` characters (at least 40); ``colour`` adds ANSI sequences to words."""
    width = max(width, MIN_WIDTH)
    known = {claim.id: claim for claim in claims}
    paint = _paint if colour else _plain
    groups = grouped(verdicts, claims)
    columns = _columns(verdicts, known, width)
    lines: list[str] = []
    for group in groups:
        lines += [*_heading(group, width, paint), *_body(group, known, columns, width, paint), ""]
    for group in groups:
        lines += _explanations(group, width, paint)
    return "\n".join([*lines, *_closing(verdicts, claims, width)])


def _paint(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if text else text


def _plain(text: str, code: str) -> str:
    return text


type_paint = type(_plain)


def compact_measured(verdict: Verdict, width: int) -> str:
    """The measured value in ``width`` characters: with its interval and unit where they fit."""
    unit = unit_suffix(verdict.unit)
    value = brief(verdict.measured)
    if verdict.measured is None:
        return value
    single = not isinstance(verdict.measured, list | tuple | Mapping)
    if verdict.interval is not None and single:
        low, high = verdict.interval
        whole = f"{value}{unit} [{figure(low)}, {figure(high)}]"
        if len(whole) <= width:
            return whole
    return value + unit if len(value + unit) <= width else brief(verdict.measured, width)


def compact_expected(verdict: Verdict, claim: Claim | None, width: int) -> str:
    """What was expected in ``width`` characters."""
    compare = _comparator(verdict, claim)
    return cut(symbols(verdict.expected), width) if compare is None else expected(compare, width)


def _comparator(verdict: Verdict, claim: Claim | None) -> Comparator | None:
    """The comparator of the expectation that decided: the verdict itself has only its text."""
    for expectation in claim.expect if claim else ():
        if expectation.setting == verdict.setting and expected_text(expectation.compare) == verdict.expected:
            return expectation.compare
    return None
