"""A history of timing runs as text: a line a case, then every change with its range of commits."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from itertools import pairwise

from resbench.reports.quantities import Labels, labels, time_text
from resbench.reports.throughput import case_table, compare_table
from resbench.reports.words import wrap
from resbench.timing.history import History, Point, Series, Step
from resbench.timing.summary import case_name

__all__ = ["HISTORY_SCHEMA", "chart", "history_json", "history_table"]

HISTORY_SCHEMA = "resbench.history/1"

_BLOCKS = "▁▂▃▄▅▆▇█"
_CHART = 24
_LEAST_RANGE = 1.25
"""The chart's top is at least this times its bottom: noise must not look like a change."""


def chart(seconds: Sequence[float], room: int = _CHART) -> str:
    """One block a point; the medians of neighbours where there are more points than ``room``."""
    count = min(len(seconds), room)
    bounds = [index * len(seconds) // count for index in range(count + 1)] if count else []
    values = [statistics.median(seconds[a:b]) for a, b in pairwise(bounds)]
    if not values:
        return ""
    low, high = min(values), max(max(values), _LEAST_RANGE * min(values))
    return "".join(_BLOCKS[min(int((value - low) / (high - low) * len(_BLOCKS)), len(_BLOCKS) - 1)] for value in values)


def history_table(found: History, *, width: int = 80) -> str:
    """No line is wider than ``width``."""
    lines: list[str] = []
    machines = dict.fromkeys(series.machine for series in found.series)
    for machine in machines:
        lines += _machine_lines(machine, [one for one in found.series if one.machine == machine], width)
    for name, why in found.left_out:
        lines += wrap(f"left out: {name}: {why}", width, rest="  ")
    if found.drift is not None:
        lines += ["", *wrap(f"Drift since '{found.drift.titles[0].name}'", width)]
        lines += [compare_table(found.drift, width=width)]
    return "\n".join(lines).rstrip()


def _machine_lines(machine: str, series: Sequence[Series], width: int) -> list[str]:
    named = labels([one.case for one in series])
    points = {point.commit or point.name: point for one in series for point in one.points}
    dates = sorted(point.date for point in points.values())
    lines = wrap(f"{machine}: {_commits(len(points))}, {_day(dates[0])} to {_day(dates[-1])}", width)
    lines += wrap(f"all: {named.shared}", width) if named.shared else []
    lines += case_table(["case", "history", "now", "total", "steps"], named, [_cells(one) for one in series], width)
    steps = [(step, name, one) for one, name in zip(series, named.full, strict=True) for step in one.steps]
    for step, name, one in steps:
        lines += wrap(_step_text(step, _versioned(name, one, named)), width, rest="    ")
    if not steps:
        lines += wrap("no change of level beyond the margin", width)
    return [*lines, ""]


def _cells(series: Series) -> list[str]:
    points = series.points
    total = points[-1].seconds / points[0].seconds - 1
    return [
        chart([point.seconds for point in points]).rjust(min(len(points), _CHART)),
        time_text(points[-1].seconds),
        _signed(total) if len(points) > 1 else "-",
        str(len(series.steps)),
    ]


def _versioned(name: str, series: Series, named: Labels) -> str:
    """Two versions of a case are two series of one name."""
    return f"{name} (version {series.version})" if named.full.count(name) > 1 else name


def _signed(change: float) -> str:
    return f"{100 * change:+.1f} %" if abs(change) < 0.0995 else f"{100 * change:+.0f} %"


def _step_text(step: Step, name: str) -> str:
    number = "" if step.commits is None else f", {_commits(step.commits)}"
    where = f"{_place(step.before)}..{_place(step.after)} ({_day(step.after.date)}{number})"
    times = " to ".join(time_text(seconds) for seconds in step.seconds)
    return f"{step.change.value} {_signed(step.ratio - 1)} in {where}: {name}, {times}"


def _commits(number: int) -> str:
    return f"{number} commit{'s' if number != 1 else ''}"


def _place(point: Point) -> str:
    return point.commit[:8] or point.name


def _day(date: str) -> str:
    return date[:10] or "no date"


def history_json(found: History) -> str:
    """Series, levels and steps in seconds per step; of the drift the verdicts."""
    content = {
        "schema": HISTORY_SCHEMA,
        "left_out": [{"run": name, "why": why} for name, why in found.left_out],
        "series": [_series_json(series) for series in found.series],
        "drift": None
        if found.drift is None
        else {
            row.key: {"ratio": one.ratio, "interval": one.interval, "change": one.change, "why": one.why}
            for row in found.drift.rows
            for one in row.against
        },
    }
    return json.dumps(content, indent=1)


def _series_json(series: Series) -> dict[str, object]:
    steps = [
        {
            "before": step.before.commit or step.before.name,
            "after": step.after.commit or step.after.name,
            "commits": step.commits,
            "seconds": step.seconds,
            "ratio": step.ratio,
            "change": step.change,
        }
        for step in series.steps
    ]
    return {
        "case": case_name(series.case),
        "version": series.version,
        "machine": series.machine,
        "points": [vars(point) for point in series.points],
        "levels": [vars(level) for level in series.levels],
        "steps": steps,
    }
