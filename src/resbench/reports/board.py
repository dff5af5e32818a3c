"""The verdict board for a terminal: one line a claim and setting, by paper; what failed is explained below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from resbench.claims.model import Claim, Comparator
from resbench.judge import Status, Verdict
from resbench.judging.values import expected_text
from resbench.judging.waivers import Use
from resbench.reports.verdicts import (
    EXPLAINED,
    Group,
    by_reason,
    counts,
    explain,
    grouped,
    label,
    name,
    on_target,
    unit_of,
)
from resbench.reports.waivers import waiver_lines
from resbench.reports.words import MIN_WIDTH, brief, clauses, cut, expected, figure, place, symbols, wrap

__all__ = ["compact_expected", "compact_measured", "table", "text_count", "verdict_line"]

_GAP = "  "
_HEADER = ("status", "claim@setting", "measured", "expected", "where")
_GROWTH = ((14, 13, 6), (16, 15, 12), (28, 24, 30), (60, 60, 60))
"""How wide the cells measured, expected and where grow in turns as there is room."""

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
_NAMED = 3
"""How many claims of a status the first line names."""


class _Widths(NamedTuple):
    status: int
    name: int
    measured: int
    expected: int
    where: int


def table(
    verdicts: Sequence[Verdict],
    claims: Sequence[Claim],
    *,
    width: int = 80,
    colour: bool = False,
    waivers: Sequence[Use] = (),
    whole: bool = True,
) -> str:
    """The board, no line wider than ``width`` characters (at least 40).

    Not ``whole``: of each paper the counts, and a line only for what does not hold; what was not measured by reason.
    ``colour`` adds ANSI sequences, which take no room: the text is the same without them.  ``waivers``: what became of
    each; those that no verdict needed, and those that have expired, are named below the explanations.
    """
    width = max(width, MIN_WIDTH)
    known = {claim.id: claim for claim in claims}
    groups = grouped(verdicts, claims)
    shown = verdicts if whole else [verdict for verdict in verdicts if verdict.status is not Status.HOLDS]
    columns = _columns(shown, known, width)
    lines: list[str] = []
    for group in groups:
        if all(_brief(verdict) for verdict in group.verdicts):
            continue
        lines += _heading(group, width, colour)
        listed = group if whole else replace(group, verdicts=tuple(v for v in group.verdicts if v in shown))
        rows = _rows(listed, known, columns, width, colour)
        lines += [*rows, *_not_measured(group, width, colour), ""] if whole else [*rows, ""] if rows else []
    lines += [] if whole or not lines or not lines[-1] else [""]
    lines += _in_brief(verdicts if not whole else [v for v in verdicts if _brief(v)], width, colour)
    for group in groups:
        lines += _explanations(group, width, colour)
    lines += waiver_lines(waivers, width)
    return "\n".join([*lines, *_closing(verdicts, claims, width, colour)])


def _paint(text: str, code: str, colour: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if colour and text else text


def _heading(group: Group, width: int, colour: bool) -> list[str]:
    """The paper and its counts, on one line where both fit."""
    totals = counts(group.verdicts)
    room = width - len(group.title) - len(totals) - len(_GAP)
    if room >= 0:
        return [_paint(group.title, _BOLD, colour) + _GAP + " " * room + totals]
    return [*(_paint(line, _BOLD, colour) for line in wrap(group.title, width)), *wrap(totals, width, _GAP)]


def _columns(verdicts: Sequence[Verdict], known: Mapping[str, Claim], width: int) -> _Widths:
    """One layout for all papers.  A rare long status or name pushes the rest of its own line only."""
    shown = [verdict for verdict in verdicts if verdict.status is not Status.NOT_MEASURED]
    status = min(_longest([label(verdict.status) for verdict in shown], 6), len(Status.VIOLATED))
    names = min(_longest([name(verdict) for verdict in shown], 13), width * 39 // 100)
    wanted = (
        _longest([compact_measured(verdict, width) for verdict in shown], 8),
        _longest([compact_expected(verdict, known.get(verdict.id), width) for verdict in shown], 8),
        _longest([place(verdict.source) for verdict in shown], 5),
    )
    room = width - status - names - 4 * len(_GAP)
    cells = [0, 0, 0]
    for goals in _GROWTH:
        for cell, goal in enumerate(goals):
            growth = min(max(min(wanted[cell], goal) - cells[cell], 0), room)
            cells[cell], room = cells[cell] + growth, room - growth
    return _Widths(status, names, *cells)


def _longest(texts: Sequence[str], least: int) -> int:
    return max([least, *map(len, texts)])


def _rows(group: Group, known: Mapping[str, Claim], columns: _Widths, width: int, colour: bool) -> list[str]:
    shown = [verdict for verdict in group.verdicts if verdict.status is not Status.NOT_MEASURED]
    if not shown:
        return []
    header = _line(_HEADER, columns, width)
    lines = [_paint(header, _DIM, colour)]
    for verdict in shown:
        status = label(verdict.status)
        cells = (
            status,
            name(verdict),
            compact_measured(verdict, columns.measured),
            compact_expected(verdict, known.get(verdict.id), columns.expected),
            place(verdict.source),
        )
        line = _line(cells, columns, width)
        lines.append(_paint(line[: len(status)], _COLOURS[verdict.status], colour) + line[len(status) :])
    return lines


def _line(cells: Sequence[str], columns: _Widths, width: int) -> str:
    """The cells, each from its column on, or after the one before where that is longer; the last takes what is left."""
    line, start = "", 0
    for text, column, fit in zip(cells, columns, (cut, cut, cut, cut, clauses), strict=True):
        gap = max(start - len(line), len(_GAP)) if line else 0
        room = width - len(line) - gap
        if room >= min(len(text), 4):  # less than that says nothing
            line += " " * gap + fit(text, room)
        start += column + len(_GAP)
    return line.rstrip()


def _not_measured(group: Group, width: int, colour: bool) -> list[str]:
    """The claims that were not measured, by reason: every id, but no line of its own."""
    lines: list[str] = []
    for reason, members in by_reason(v for v in group.verdicts if not _brief(v)).items():
        number = f" ({len(members)})" if len(members) > 1 else ""
        heading = f"{label(Status.NOT_MEASURED)}{number}: {cut(reason, 300)}"
        lines += [_paint(line, _DIM, colour) for line in wrap(heading, width, rest=_GAP)]
        lines += wrap(" ".join(map(name, members)), width, _GAP * 2)
    return lines


def _brief(verdict: Verdict) -> bool:
    return on_target(verdict) and verdict.status is Status.NOT_MEASURED


def _in_brief(verdicts: Sequence[Verdict], width: int, colour: bool) -> list[str]:
    """What was not measured: a line a reason, with its number of claims, the largest first."""
    reasons = by_reason(verdicts)
    if not reasons:
        return []
    of_target = all(on_target(verdict) for members in reasons.values() for verdict in members)
    where = " on the target (ids: --format json)" if of_target else " (ids: --verbose)"
    lines = [_paint(f"{label(Status.NOT_MEASURED)}{where}", _BOLD, colour)]
    for reason, members in sorted(reasons.items(), key=lambda item: -len(item[1])):
        lines += [_paint(line, _DIM, colour) for line in wrap(cut(reason, 300), width, f"{len(members):5}  ", " " * 7)]
    return [*lines, ""]


def verdict_line(
    verdicts: Sequence[Verdict], *, waivers: Sequence[Use] = (), strict: bool = False, width: int = 80
) -> list[str]:
    """What the whole board comes to, in a line or two: the exit code in words.

    ``strict``: what is not measured fails as well.
    """
    measured = [verdict for verdict in verdicts if verdict.status is not Status.NOT_MEASURED]
    failed = [verdict for verdict in measured if verdict.status in EXPLAINED]
    waived = sum(verdict.status is Status.WAIVED for verdict in measured)
    holding = len(measured) - len(failed) - waived
    text = "Nothing was measured: no verdict"
    if failed:
        text = f"{len(failed)} of {len(measured)} measured claims do not hold. {_by_status(failed)}"
    elif measured:
        text = f"{holding} of {len(measured)} measured claims hold" + (f", {waived} waived" if waived else "")
    missing = len(verdicts) - len(measured)
    if missing:
        text += f". {missing} not measured, which --strict does not let pass" if strict else f"; {missing} not measured"
    red = sum(use.red for use in waivers)
    if red:
        text += f". {red} waiver{'s are' if red > 1 else ' is'} unused or expired"
    return wrap(text, width, rest=_GAP)


def _by_status(failed: Sequence[Verdict]) -> str:
    """``VIOLATED: a@digits, b@any. STALE: c@cifar10``, of each status the first few."""
    parts = []
    for status in EXPLAINED:
        names = [name(verdict) for verdict in failed if verdict.status is status]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        parts += [f"{label(status)}: {', '.join(names[:_NAMED])}{more}"] if names else []
    return ". ".join(parts)


def _explanations(group: Group, width: int, colour: bool) -> list[str]:
    lines: list[str] = []
    for verdict in group.verdicts:
        if verdict.status in EXPLAINED:
            status = label(verdict.status)
            text = explain(verdict, width).removeprefix(status)
            lines += [_paint(status, _COLOURS[verdict.status], colour) + text, ""]
        elif verdict.status is Status.WAIVED:
            lines += [*wrap(f"{label(verdict.status)}  {name(verdict)}: {verdict.message}", width, rest=_GAP), ""]
    return lines


def _closing(verdicts: Sequence[Verdict], claims: Sequence[Claim], width: int, colour: bool) -> list[str]:
    """One line of counts, zeros included where there is room, and one on what cannot be judged at all."""
    full = counts(verdicts, always=(Status.HOLDS, *EXPLAINED, Status.NOT_MEASURED))
    total = full if len(full) <= width else counts(verdicts, always=(Status.HOLDS, Status.VIOLATED))
    return [_paint(cut(total, width), _BOLD, colour), *wrap(text_count(claims), width)]


def text_count(claims: Sequence[Claim]) -> str:
    """One sentence on the documented statements that assert nothing measurable."""
    number = sum(claim.kind == "text" for claim in claims)
    return f"{number or 'no'} documented statement{'s assert' if number != 1 else ' asserts'} nothing measurable"


def compact_measured(verdict: Verdict, width: int) -> str:
    """The measured value in ``width`` characters: with its unit and interval where they fit."""
    value, unit = brief(verdict.measured), unit_of(verdict.expected, verdict.unit)
    if verdict.measured is None:
        return cut(value, width)
    texts = [value + unit, value]
    if verdict.interval is not None and not isinstance(verdict.measured, list | tuple | Mapping):
        low, high = verdict.interval
        texts.insert(0, f"{value}{unit} [{figure(low)}, {figure(high)}]")
    return next((text for text in texts if len(text) <= width), "") or brief(verdict.measured, width)


def compact_expected(verdict: Verdict, claim: Claim | None, width: int) -> str:
    """What was expected, in ``width`` characters."""
    compare = _comparator(verdict, claim)
    return cut(symbols(verdict.expected), width) if compare is None else expected(compare, width)


def _comparator(verdict: Verdict, claim: Claim | None) -> Comparator | None:
    """The comparator of the expectation that decided: the verdict itself has only its text."""
    for expectation in claim.expect if claim else ():
        if expectation.setting == verdict.setting and expected_text(expectation.compare) == verdict.expected:
            return expectation.compare
    return None
