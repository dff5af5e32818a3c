"""Throughput over the repository's commits, with changes of level."""

from __future__ import annotations

import importlib.util
from typing import Any

import altair as alt
import pandas as pd

from resbench.figures.marks import Series, lines, points, tooltips
from resbench.figures.model import Figure, Missing
from resbench.figures.sources import Sources
from resbench.figures.theme import BLUE, GREEN, PURPLE, VERMILLION
from resbench.figures.throughput import label_of
from resbench.timing.history import History, history, runs_in
from resbench.timing.summary import case_name

__all__ = ["throughput_history"]

_KINDS = {"unit": "unit", "peer": "another library's block", "net": "network", "engine": "lesion and path engines"}
_SERIES = tuple(
    Series(name, colour, shape)
    for name, colour, shape in zip(
        _KINDS.values(), (BLUE, PURPLE, GREEN, VERMILLION), ("circle", "diamond", "square", "triangle-up"), strict=True
    )
)
_NAME = "throughput-history"
_SITE = "asv's own dashboard of the same results: `resbench export site`"


def throughput_history(sources: Sources) -> Figure:
    """Every case's time by commit, over the median of its series."""
    title = "Throughput over the commits"
    line = f"Measured: baselines/asv (asv's results, one file a commit). {_SITE}"
    if importlib.util.find_spec("ruptures") is None:
        lacking = Missing("change points: ruptures is not installed", "pip install 'resbench[bench]'")
        return _empty(title, line, lacking)
    folder = sources.baselines() / "asv"
    if not any(folder.glob("*/*.json")):
        return _empty(
            title,
            line,
            Missing(
                "a history of timing runs: none recorded", "resbench bench --save NAME && resbench export asv NAME"
            ),
        )
    found = history(runs_in(folder))
    frame = _frame(found)
    steps = sum(len(series.steps) for series in found.series)
    commits, spread = (
        frame.commit.nunique(),
        frame.groupby("key").relative_percent.agg(lambda values: values.abs().max()),
    )
    worst = str(spread.idxmax())
    return Figure(
        _NAME,
        "throughput",
        f"No change of level in {commits} commits" if not steps else f"{steps} changes of level in {commits} commits",
        f"Time of a step at each measured commit, against the median of its case; {len(found.series)} cases, one "
        "machine each. A change of level beyond 5 % is marked by a "
        f"ring ({steps} here). Drag to move, wheel to zoom. {_SITE}.",
        f"Lines of times over {commits} commits; largest distance from a case's median {spread.max():.1f} % "
        f"({worst}). {steps} changes of level.",
        (line,),
        frame,
        _chart(frame),
    )


def _frame(found: History) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for series in found.series:
        middle = float(pd.Series([point.seconds for point in series.points]).median())
        changed = {step.after.commit: step for step in series.steps}
        for point in series.points:
            step = changed.get(point.commit)
            rows.append(
                {
                    "case": label_of(series.case),
                    "series": _KINDS.get(series.case.kind, "unit"),
                    "key": case_name(series.case),
                    "machine": series.machine,
                    "commit": point.commit[:8] or point.name,
                    "date": point.date,
                    "ms": 1e3 * point.seconds,
                    "relative_percent": 100 * (point.seconds / middle - 1),
                    "processes": point.processes,
                    "change": f"{step.change.value} {100 * (step.ratio - 1):+.1f} %" if step else "",
                }
            )
    return pd.DataFrame(rows)


def _chart(frame: pd.DataFrame) -> Any:
    used = [series for series in _SERIES if series.name in set(frame.series)]
    base = alt.Chart(frame)
    x = alt.X("date:T", title="date of the commit (UTC)").scale(type="utc", padding=14).axis(labelAngle=0, grid=False)
    most = max(10.0, 1.2 * float(frame.relative_percent.abs().max()))
    y = alt.Y("relative_percent:Q", title="time against the case's median (%)").scale(domain=[-most, most])
    tips = tooltips(
        key="case",
        commit="commit",
        date="date",
        ms="time per step (ms)|.3f",
        relative_percent="against the median (%)|+.2f",
        processes="processes|d",
        machine="machine",
        change="change",
    )
    layers = [lines(base, used, x=x, y=y, detail="key:N"), points(base, used, 36, x=x, y=y, tooltip=tips)]
    changes = frame[frame.change != ""]
    if len(changes):
        rings = alt.Chart(changes).mark_point(size=170, strokeWidth=2.4, color=VERMILLION, opacity=1)
        layers.append(rings.encode(x=x, y=y, tooltip=tips))
    return alt.layer(*layers).properties(height=280).interactive()


def _empty(title: str, line: str, missing: Missing) -> Figure:
    return Figure(
        _NAME,
        "throughput",
        title,
        f"Nothing to show. {_SITE}.",
        "Nothing to show.",
        (line,),
        pd.DataFrame(),
        None,
        (missing,),
    )
