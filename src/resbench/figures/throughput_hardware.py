"""Throughput: machines, and versions of torch, beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from resbench.errors import NotMeasured
from resbench.figures.marks import Series, interval_bars, measured, points, tooltips
from resbench.figures.model import Figure, Missing
from resbench.figures.sources import Sources
from resbench.figures.theme import PAPER
from resbench.figures.throughput import GPU, ROW, label_of, nothing, runs
from resbench.timing.compare import compare
from resbench.timing.record import TimingRun

__all__ = ["hardware"]

_OTHER = Missing(
    "another processor: not measured", "resbench bench --save NAME, then resbench compare NAME cpu-epyc-9xx4-torch2.15"
)


def hardware(sources: Sources) -> Figure:
    """Every run's times against the newest run's."""
    name, title = "throughput-hardware", "Runs beside each other"
    try:
        found = runs(sources)
    except NotMeasured:
        return nothing(name, title)
    if len(found) < 2:
        return nothing(name, title)
    comparison = compare(found)
    first = _run_name(found[0])
    names = [_run_name(run) for run in found[1:]]
    rows = []
    for row in comparison.rows:
        for run, side, one in zip(names, row.sides[1:], row.against, strict=True):
            low, high = one.interval or (None, None)
            rows.append(
                {
                    "case": label_of(row.case),
                    "series": run,
                    "key": row.key,
                    "ratio": one.ratio,
                    "low": low,
                    "high": high,
                    "ms": None if side.seconds is None else 1e3 * side.seconds,
                    "first_ms": None if row.sides[0].seconds is None else 1e3 * row.sides[0].seconds,
                    "verdict": one.change.value if one.change else "none between machines",
                }
            )
    frame = pd.DataFrame(rows)
    machines = {run.fingerprint.partition("-torch")[0] for run in found}
    means = [f"{name}: {mean.ratio:.3f}" for name, mean in zip(names, comparison.means, strict=True) if mean]
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in frame.verdict.value_counts().items())
    only = "" if len(machines) > 1 else " Only one machine has been measured so far: what differs is torch."
    return Figure(
        name,
        "throughput",
        _hardware_title(comparison.means, names, first),
        f"Time of a step over that of {first}; above 1 is slower. Bars: 95 % intervals over processes; shaded: "
        f"within 5 %, which is no change.{only} "
        f"Verdicts: {verdicts}.",
        f"Dot plot of ratios, geometric means {'; '.join(means)}. Verdicts: {verdicts}.",
        tuple(
            f"Measured: baselines/throughput/{run.name}.json (`resbench bench`), {run.created[:10]}" for run in found
        ),
        frame,
        _ratios(frame, [measured(name, order) for order, name in enumerate(names)], first),
        (GPU, *((_OTHER,) if len(machines) == 1 else ())),
    )


def _ratios(frame: pd.DataFrame, series: Sequence[Series], first: str) -> Any:
    labels = list(dict.fromkeys(frame.case))
    title = "ratio of times"
    scale = alt.Scale(domain=[min(0.88, frame.low.min()), max(1.12, frame.high.max())], nice=False)
    y = alt.Y("case:N", title=None).scale(domain=labels).axis(grid=True, labelLimit=185, labelOverlap=False)
    base = alt.Chart(frame)
    tips = tooltips(
        key="case",
        ratio="ratio|.3f",
        low="from|.3f",
        high="to|.3f",
        ms="time (ms)|.3f",
        first_ms="against (ms)|.3f",
        verdict="verdict",
    )
    band = alt.Chart(pd.DataFrame({"from": [1 / 1.05], "to": [1.05]})).mark_rect(color=PAPER, opacity=0.16)
    same = alt.Chart(pd.DataFrame({"one": [1.0]})).mark_rule(strokeDash=[4, 3], color=PAPER)
    return alt.layer(
        band.encode(x=alt.X("from:Q", title=title, scale=scale), x2=alt.X2(field="to")),
        same.encode(x=alt.X("one:Q", title=title, scale=scale)),
        interval_bars(
            base.transform_filter("isValid(datum.low)"),
            series,
            x=alt.X("low:Q", title=title, scale=scale),
            x2=alt.X2(field="high"),
            y=y,
        ),
        points(base, series, 40, x=alt.X("ratio:Q", title=title, scale=scale), y=y, tooltip=tips),
    ).properties(height=ROW * len(labels))


def _hardware_title(means: Sequence[Any], names: Sequence[str], first: str) -> str:
    mean = means[0]
    if mean is None:
        return f"{names[0]} and {first} have no case in common"
    change = 100 * (mean.ratio - 1)
    how = f"{abs(change):.1f} % {'slower' if change > 0 else 'faster'} than" if abs(change) >= 5 else "as fast as"
    more = f", within {max(abs(change), 0.1):.1f} %" if abs(change) < 5 else ""
    return f"On average {names[0]} is {how} {first}{more}"


def _run_name(run: TimingRun) -> str:
    """``torch 2.15, cpu-epyc-9xx4``."""
    machine, _, version = run.fingerprint.partition("-torch")
    return f"torch {version}, {machine}" if version else Path(run.name).stem
