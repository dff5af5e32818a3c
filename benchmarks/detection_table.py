"""What the comparisons amount to: counts with exact intervals, a line a tool."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from tabulate import tabulate

from benchmarks.detection_record import Comparison, Record
from benchmarks.detection_workload import SLOWDOWNS
from resbench.reports.words import wrap
from resbench.statistics import clopper_pearson

__all__ = ["RULES", "Count", "ToolSummary", "as_json", "as_table", "summaries"]

RULES = {
    "resbench": "verdict SLOWER of `resbench ab`",
    "asv": "listed as worsened by `asv compare` (factor 1.1), as in `asv continuous`",
    "pytest-benchmark": "fails by --benchmark-compare-fail=mean:5%",
    "pyperf": "slower and significant in `pyperf compare_to`",
}
"""What counts as an alarm.  In the order of the table."""

_WIDTH = 80


@dataclass(frozen=True)
class Count:
    """``alarms`` of ``n`` comparisons, with the exact 95 % interval of their share."""

    alarms: int
    n: int
    ambiguous: int = 0

    @property
    def interval(self) -> tuple[float, float]:
        """NaN of no comparisons."""
        return clopper_pearson(self.alarms, self.n) if self.n else (math.nan, math.nan)


@dataclass(frozen=True)
class ToolSummary:
    """One tool's comparisons.

    ``seconds``: wall time a comparison, mean.  ``spread``: the standard deviation of the log ratio on identical code,
    None where the tool does not tell it.  ``failed``: comparisons without a verdict.  ``counts``: by slowdown in per
    cent.
    """

    tool: str
    seconds: float
    spread: float | None
    failed: int
    counts: dict[int, Count] = field(default_factory=dict)


def summaries(comparisons: Sequence[Comparison]) -> list[ToolSummary]:
    """One for each tool that has comparisons."""
    found = []
    for tool in RULES:
        own = [one for one in comparisons if one.tool == tool]
        if own:
            found.append(_summary(tool, own))
    return found


def _summary(tool: str, own: Sequence[Comparison]) -> ToolSummary:
    valid = [one for one in own if not one.error]
    counts = {}
    for slowdown in (0, *SLOWDOWNS):
        there = [one for one in valid if one.slowdown == slowdown]
        ambiguous = sum(one.verdict == "AMBIGUOUS" for one in there)
        counts[slowdown] = Count(sum(one.alarm for one in there), len(there), ambiguous)
    ratios = [math.log(one.ratio) for one in valid if one.slowdown == 0 and one.ratio]
    # A tool that hides what is not significant would show only its outliers.
    told = len(ratios) == counts[0].n and len(ratios) > 1
    return ToolSummary(
        tool,
        statistics.fmean(one.seconds for one in valid) if valid else math.nan,
        statistics.stdev(ratios) if told else None,
        len(own) - len(valid),
        counts,
    )


def as_table(record: Record) -> str:
    """For people, within 80 columns."""
    found = summaries(record.comparisons)
    if not found:
        return "no comparisons yet"
    heads = ["tool", "false\nalarms", "95 %\nlimits", *(f"+{one} %" for one in SLOWDOWNS), "s"]
    rows = [
        [
            one.tool,
            _of(one.counts[0]),
            _interval(one.counts[0]),
            *(_of(one.counts[slowdown]) for slowdown in SLOWDOWNS),
            "-" if math.isnan(one.seconds) else f"{one.seconds:.0f}",
        ]
        for one in found
    ]
    table = tabulate(rows, heads, tablefmt="simple", colalign=("left", *["right"] * (len(heads) - 1)))
    notes = [part for line in _notes(record, found) for part in ([""] if not line else wrap(line, _WIDTH))]
    return "\n".join([table, "", *notes])


def _notes(record: Record, found: Sequence[ToolSummary]) -> list[str]:
    lines = [f"Alarms on identical code, and with known slowdowns; {record.fingerprint}."]
    lines += [f"Budget {record.budget:g} s a comparison, starting-up included; s: what it took."]
    lines += [f"A step: {record.workload}.", ""]
    lines += [f"{one.tool}: {RULES[one.tool]}" for one in found]
    spreads = [f"{one.tool} {100 * one.spread:.1f} %" for one in found if one.spread is not None]
    if spreads:
        lines.append(f"sd of the log ratio on identical code: {', '.join(spreads)}")
    for one in found:
        if any(count.ambiguous for count in one.counts.values()):
            parts = [f"+{slowdown} %: {c.ambiguous} of {c.n}" for slowdown, c in one.counts.items() if c.n]
            lines.append(f"{one.tool} AMBIGUOUS (no alarm): {', '.join(parts)}")
        if one.failed:
            lines.append(f"{one.tool}: {one.failed} comparisons without a verdict, not counted")
    return lines


def _of(count: Count) -> str:
    return f"{count.alarms} of {count.n}" if count.n else "-"


def _interval(count: Count) -> str:
    if not count.n:
        return "-"
    low, high = count.interval
    digits = 1 if high < 0.1 else 0
    return f"{100 * low:.{digits}f}-{100 * high:.{digits}f} %"


def as_json(record: Record) -> dict[str, object]:
    """For programs: the table's numbers, with an interval for each."""
    return {
        "schema": record.schema,
        "workload": record.workload,
        "budget": record.budget,
        "fingerprint": record.fingerprint,
        "versions": record.sessions[-1].versions if record.sessions else {},
        "tools": [_tool(one) for one in summaries(record.comparisons)],
    }


def _tool(one: ToolSummary) -> dict[str, object]:
    counts = {}
    for slowdown, count in one.counts.items():
        low, high = count.interval
        counts[str(slowdown)] = asdict(count) | {"interval": [low, high] if count.n else None}
    seconds = None if math.isnan(one.seconds) else one.seconds
    return {
        "tool": one.tool,
        "rule": RULES[one.tool],
        "seconds": seconds,
        "spread": one.spread,
        "failed": one.failed,
        "slowdowns": counts,
    }
