"""Timing runs, comparisons and changes as tables for a terminal, no wider than it.

What all cases share stands once, above the table.  A cell that does not fit is wrapped, never cut: two cases must not
look the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tabulate import tabulate

from resbench.reports.quantities import Labels, labels, megabytes, percent, ratio_range, relative, time_text
from resbench.reports.words import clean, wrap
from resbench.timing.change import ALPHA, Change
from resbench.timing.compare import Against, Comparison, Mean, Row, Side, Title, title
from resbench.timing.record import TimingRecord, TimingRun
from resbench.timing.summary import bandwidth, images_per_second, interval, seconds, utilisation
from resbench.timing.worker.case import Case

__all__ = ["ChangeRow", "bench_table", "case_table", "changes_table", "compare_table", "summary_line"]

_LEAST_LABEL = 20
_COVERAGE = f"{100 * (1 - ALPHA):g} %"
_GAP = 2
_MOST_NAMES = 3
_FIGURE = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True)
class ChangeRow:
    """A case of an A/B comparison.

    ``base``, ``head``: seconds per step.  ``utilisation``: head's.  ``witness``: what changed in counts without noise,
    in few words; empty if nothing did.  ``why``: what the verdict does not say.
    """

    case: Case
    base: float | None
    head: float | None
    ratio: float | None
    interval: tuple[float, float] | None
    change: Change
    utilisation: float | None = None
    witness: str = ""
    why: str = ""


def bench_table(run: TimingRun, *, width: int = 80) -> str:
    """One run: time with its interval over processes, rates, the share of what the machine can reach, peak memory."""
    named = labels([record.case for record in run.records])
    header = ["case", "time", "±", "images/s", "GB/s", "util.", "peak MB"]
    lines = [*_title_lines((title(run),), width), *_shared(named, width)]
    lines += case_table(header, named, [_bench_cells(run, record) for record in run.records], width)
    records = list(zip(named.full, run.records, strict=True))
    reasons = [(f"UNHEALTHY (!): {reason}", name) for name, record in records for reason in record.unhealthy]
    reasons += [(f"MISSING: {record.error}", name) for name, record in records if not record.rounds]
    lines += _notes(reasons, width, len(records))
    lines += wrap(
        f"{len(records)} cases.  time: seconds per step, undisturbed (the fastest tenth of a process's samples), "
        f"mean over processes (±: {_COVERAGE} interval over them); "
        "util.: share of it that this machine, as measured, needs at least for arithmetic and traffic",
        width,
    )
    return "\n".join(lines)


def _bench_cells(run: TimingRun, record: TimingRecord) -> list[str]:
    images, rate = images_per_second(record), bandwidth(record)
    return [
        time_text(seconds(record)) + ("!" if record.unhealthy else ""),
        relative(interval(record)),
        "-" if images is None else f"{images:.0f}" if images >= 100 else f"{images:.1f}",
        "-" if rate is None else f"{rate / 1e9:.2f}",
        percent(utilisation(run, record)),
        megabytes(record.counts.peak if record.counts else None),
    ]


def compare_table(comparison: Comparison, *, width: int = 80) -> str:
    """Runs beside each other: each later one against the first, in as many tables as the width demands."""
    lines = _title_lines(comparison.titles, width)
    letters = [chr(ord("A") + index % 26) for index in range(len(comparison.titles))]
    for letter, found in zip(letters[1:], comparison.differences, strict=True):
        lines += _difference_lines(letter, found, width)
    named = labels([row.case for row in comparison.rows])
    lines += _shared(named, width)
    group = _group_size(comparison, width)
    for start in range(1, len(letters), group):
        later = range(start, min(start + group, len(letters)))
        cells = [_row_cells(row, later, comparison.across) for row in comparison.rows]
        lines += case_table(_header(letters, later, comparison.across), named, cells, width)
    lines += _notes(_compare_reasons(comparison, named, letters), width, len(named.full))
    for letter, mean in zip(letters[1:], comparison.means, strict=True):
        lines += wrap(_mean_text(f"{letter}/A", mean, len(named.full)), width)
    return "\n".join([*lines, *wrap(summary_line(comparison), width)])


def _compare_reasons(comparison: Comparison, named: Labels, letters: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name, row in zip(named.full, comparison.rows, strict=True):
        for one in row.against:
            if one.why and one.change is not Change.UNHEALTHY:
                yield f"{one.change.value if one.change else 'note'}: {one.why}", name
        for letter, side in zip(letters, row.sides, strict=True):
            for reason in side.unhealthy:
                yield f"UNHEALTHY {letter}: {reason}", name


def summary_line(comparison: Comparison) -> str:
    """How many verdicts of each kind, and what to do about those that decide nothing."""
    counts = {change: comparison.changes.count(change) for change in Change}
    text = ", ".join(f"{number} {change.value}" for change, number in counts.items() if number)
    if comparison.across:
        ratios = "ratios between machines have no verdict: code, libraries and hardware differ together"
        return f"{text}; {ratios}" if text else ratios
    text += f" (margin {100 * comparison.margin:g} %, {_COVERAGE} over all cases)"
    if counts[Change.AMBIGUOUS]:
        text += "; AMBIGUOUS: `resbench ab` decides in lock step what runs of different moments cannot"
    return text


def changes_table(rows: Sequence[ChangeRow], *, width: int = 80) -> str:
    """Cases with their times, ratio, its interval and verdict; below what was counted without noise."""
    named = labels([row.case for row in rows])
    header = ["case", "base", "head", "util.", "ratio", "interval", "verdict"]
    cells = [
        [
            *(time_text(row.base), time_text(row.head), percent(row.utilisation)),
            *(_ratio_text(row.ratio), ratio_range(row.interval), row.change.value),
        ]
        for row in rows
    ]
    reasons = [(f"counted: {row.witness}", name) for name, row in zip(named.full, rows, strict=True) if row.witness]
    reasons += [(f"{row.change.value}: {row.why}", name) for name, row in zip(named.full, rows, strict=True) if row.why]
    lines = [*_shared(named, width), *case_table(header, named, cells, width), *_notes(reasons, width, len(rows))]
    return "\n".join(lines).strip("\n")


def _title_lines(titles: Sequence[Title], width: int) -> list[str]:
    lines: list[str] = []
    for index, one in enumerate(titles):
        mark = f"{chr(ord('A') + index % 26)}  " if len(titles) > 1 else ""
        commit = f"commit {one.commit[:8]}{' with changes' if one.dirty else ''}" if one.commit else "no commit"
        name = f"{one.name}: " if one.name != one.fingerprint else ""
        text = f"{name}{one.fingerprint}, {commit}, {one.created[:16].replace('T', ' ') or 'no date'}"
        lines += wrap(text, width, mark)
    return lines


def _difference_lines(letter: str, found: Sequence[tuple[str, str, str]], width: int) -> list[str]:
    if not found:
        return []
    room = max((width - 26) // 2, 10)
    cells = [[clean(what), clean(there), clean(here)] for what, there, here in found]
    text = tabulate(cells, ["differs", "A", letter], "plain", disable_numparse=True, maxcolwidths=[22, room, room])
    return ["", *(line.rstrip() for line in text.splitlines())]


def _shared(named: Labels, width: int) -> list[str]:
    return ["", *(wrap(f"all: {named.shared}", width) if named.shared else [])]


def case_table(header: Sequence[str], named: Labels, cells: Sequence[Sequence[str]], width: int) -> list[str]:
    """Right-aligned cells in sections; the names take what room the cells leave and are wrapped into it.

    ``header``: begins with what the names are.
    """
    others = [max(len(one) for one in column) for column in zip(header[1:], *cells, strict=True)]
    room = max(width - sum(others) - _GAP * len(others), _LEAST_LABEL)
    rows: list[Sequence[str]] = [header]
    headings: dict[int, list[str]] = {}
    for section, positions in named.sections:
        if len(named.sections) > 1:
            headings[len(rows)] = ["", *wrap(f"{section or 'others'}:", width)]
        for position in positions:
            first, *rest = wrap(named.short[position], room)
            rows += [[first, *cells[position]], *([line] for line in rest)]
    # The header is a row like the others: as a header tabulate would give each column two more spaces.
    text = tabulate(
        [[*row, *[""] * (len(header) - len(row))] for row in rows],
        tablefmt="plain",
        disable_numparse=True,
        colalign=("left", *["right"] * len(others)),
    )
    lines: list[str] = []
    for index, line in enumerate(text.splitlines()):
        lines += [*headings.get(index, []), line.rstrip()]
    return [*lines, ""]


def _group_size(comparison: Comparison, width: int) -> int:
    """How many later runs one table holds."""
    first, each = (15, 24) if comparison.across else (11, 17)
    return 1 if len(comparison.titles) == 2 else max(1, (width - _LEAST_LABEL - first) // each)


def _header(letters: Sequence[str], later: range, across: bool) -> list[str]:
    header = ["case", "A", *(["util."] if across else [])]
    for index in later:
        header += [letters[index]] if across or len(later) == 1 else []
        header += ["util."] if across or len(later) == 1 else []
        header += [f"{letters[index]}/A"]
        header += ["interval"] if len(later) == 1 else []
        header += [] if across else ["verdict"]
    return header


def _row_cells(row: Row, later: range, across: bool) -> list[str]:
    cells = _side_cells(row.sides[0], across)
    for index in later:
        one = row.against[index - 1]
        cells += _side_cells(row.sides[index], True) if across or len(later) == 1 else []
        if len(later) == 1:
            # Between machines there is no column of verdicts: what is not green takes the interval's place.
            status = one.change.value if across and one.change else ""
            cells += [_ratio_text(one.ratio), status or ratio_range(one.interval)]
        else:
            cells += [_short(one) if across else _ratio_text(one.ratio)]
        cells += [] if across else [one.change.value if one.change else "-"]
    return cells


def _short(one: Against) -> str:
    return one.change.value if one.change else _ratio_text(one.ratio)


def _side_cells(side: Side, across: bool) -> list[str]:
    return [time_text(side.seconds), *([percent(side.utilisation)] if across else [])]


def _ratio_text(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.3f}"


def _mean_text(which: str, mean: Mean | None, cases: int) -> str:
    if mean is None:
        return f"geometric mean of {which}: no case in common"
    over = f"over {mean.cases} of {cases} cases"
    spread = f", {ratio_range(mean.interval)} over cases like these" if mean.interval else ""
    return f"geometric mean of {which}: {mean.ratio:.3f} ({over}{spread})"


def _notes(reasons: Iterable[tuple[str, str]], width: int, total: int) -> list[str]:
    """Each kind of reason once, with the cases it holds for: reasons that differ in figures only are of one kind."""
    kinds: dict[str, tuple[str, list[str]]] = {}
    for reason, name in reasons:
        _, names = kinds.setdefault(_FIGURE.sub("#", reason), (reason, []))
        if name not in names:
            names.append(name)
    lines: list[str] = []
    for reason, names in kinds.values():
        left = len(names) - _MOST_NAMES
        whose = ", ".join(names) if left <= 1 else f"{', '.join(names[:_MOST_NAMES])} and {left} more"
        lines += wrap(f"{reason} ({'all cases' if len(names) == total > 1 else whose})", width, rest="  ")
    return [*lines, ""] if lines else []
