"""Throughput: what a step of every block takes, how much of the machine it uses, and machines beside each other."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from resbench.errors import NotMeasured
from resbench.figures.marks import beside, interval_bars, measured, points, tooltips
from resbench.figures.model import Figure, Missing
from resbench.figures.sources import Sources
from resbench.figures.theme import PAPER
from resbench.timing.record import TimingRecord, TimingRun
from resbench.timing.roofline import bound
from resbench.timing.store import decode, read_bytes
from resbench.timing.summary import case_name, images_per_second, interval, rates_of, seconds, utilisation
from resbench.timing.worker.case import Case
from resbench.timing.worker.seen import Rates

__all__ = ["GPU", "ROW", "SERIES", "blocks", "label_of", "nothing", "roofline", "runs", "series_of"]

SERIES = (measured("training step", 0), measured("inference", 1), measured("lesion and path engines", 2))
ROW = 19
"""Pixels a case."""

_LOWEST = 5.0
"""10^9 multiply-adds per second: where the roofline's axis begins."""

GPU = Missing("a GPU: not measured", "resbench bench --device cuda --save NAME")
_COMMAND = "resbench bench --save NAME"


def runs(sources: Sources) -> list[TimingRun]:
    """The committed timing runs, the newest torch first.

    Raises:
        NotMeasured: there are none.
        UserError: one is damaged.
    """
    paths = sorted((sources.baselines() / "throughput").glob("*.json"))
    if not paths:
        raise NotMeasured("no timing runs are recorded")
    found = [decode(read_bytes(path), str(path)) for path in paths]
    return sorted(found, key=_torch, reverse=True)


def _torch(run: TimingRun) -> tuple[int, ...]:
    version = str((run.environment.get("packages") or {}).get("torch", "0")).split("+")[0]
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def series_of(case: Case) -> str:
    """The legend's name of a case."""
    return SERIES[2 if case.kind == "engine" else 1 if case.passing == "inference" else 0].name


def label_of(case: Case) -> str:
    """A case in few words: subject, shape, and what differs from a training step in NCHW."""
    parts = [case.name.replace("torchvision.", "tv.")]
    parts += [case.shape] if case.shape != "-" else []
    parts += ["inf."] if case.passing == "inference" and case.kind != "engine" else []
    parts += [case.format] if case.format != "nchw" else []
    return " ".join(parts)


def blocks(sources: Sources) -> Figure:
    """Time and utilisation of every case of the newest run."""
    name, title = (
        "throughput-blocks",
        "Blocks of 64 channels use four fifths of the processor, those of 16 channels half",
    )
    try:
        run = runs(sources)[0]
    except NotMeasured:
        return nothing(name, title)
    frame = pd.DataFrame([_block_row(run, record) for record in run.records if record.rounds])
    labels = list(dict.fromkeys(frame.case))
    tips = tooltips(
        key="case",
        ms="time per step (ms)|.3f",
        low_ms="from|.3f",
        high_ms="to|.3f",
        utilisation_percent="utilisation (%)|.1f",
        images_per_second="images/s|,.0f",
        unhealthy="machine",
    )
    y = (
        alt.Y("case:N", title=None)
        .scale(domain=labels)
        .axis(grid=True, labelLimit=185, minExtent=185, maxExtent=185, labelOverlap=False)
    )
    base = alt.Chart(frame)
    time = alt.X("ms:Q", title="time per step (ms)").scale(type="log").axis(values=[2, 5, 10, 20, 50, 100])
    share = alt.X("utilisation_percent:Q", title="utilisation (%)").scale(domain=[0, 100])
    low = alt.X("low_ms:Q", title="time per step (ms)").scale(type="log")
    height = ROW * len(labels)
    times = alt.layer(
        interval_bars(base.transform_filter("isValid(datum.low_ms)"), SERIES, x=low, x2=alt.X2(field="high_ms"), y=y),
        points(base, SERIES, 45, x=time, y=y, tooltip=tips),
    ).properties(title="Time", height=height)
    used = points(base.transform_filter("isValid(datum.utilisation_percent)"), SERIES, 45, x=share, y=y, tooltip=tips)
    ranked = frame.sort_values("utilisation_percent", kind="stable")
    best, worst = ranked.iloc[-1], ranked.iloc[0]
    told = "; ".join(f"{row.case}: {row.ms:.2f} ms, {row.utilisation_percent:.0f} %" for row in frame.itertuples())
    return Figure(
        name,
        "throughput",
        title
        if _holds(frame)
        else f"Blocks use {worst.utilisation_percent:.0f} to {best.utilisation_percent:.0f} % of the processor",
        "Time of a step (logarithmic axis; bars: 95 % intervals over processes) and utilisation: the least time "
        "that this machine, as measured, needs for the "
        f"arithmetic and the traffic, over the time taken. {len(frame)} cases on one thread of "
        f"{run.environment.get('cpu', 'the processor')}, torch {_version(run)}; batch 32, of "
        "bottlenecks 4. tv.: torchvision; inf.: inference; CHANNELS@PIXELS; preact~0.5: survival probability 0.5.",
        f"Dot plots. From {worst.utilisation_percent:.0f} % ({worst.case}) to {best.utilisation_percent:.0f} % "
        f"({best.case}). {told}.",
        (f"Measured: baselines/throughput/{run.name}.json (`resbench bench`), {run.created[:10]}",),
        frame,
        beside([times, used.properties(title="Utilisation", height=height)], room=215),
        (GPU,),
    )


def _holds(frame: pd.DataFrame) -> bool:
    """Whether the title says what this run shows."""
    wide = frame[frame.case.isin(["original 64@8", "preact 64@8"])].utilisation_percent
    thin = frame[frame.case.isin(["original 16@32", "preact 16@32"])].utilisation_percent
    return bool(len(wide) == len(thin) == 2 and wide.between(75, 85).all() and thin.between(45, 58).all())


def _block_row(run: TimingRun, record: TimingRecord) -> dict[str, Any]:
    time, ends, share = seconds(record), interval(record), utilisation(run, record)
    assert time is not None
    low, high = ends or (None, None)
    return {
        "case": label_of(record.case),
        "series": series_of(record.case),
        "key": case_name(record.case),
        "ms": 1e3 * time,
        "low_ms": None if low is None else 1e3 * low,
        "high_ms": None if high is None else 1e3 * high,
        "utilisation_percent": None if share is None else 100 * share,
        "images_per_second": images_per_second(record),
        "unhealthy": "; ".join(record.unhealthy) or "fit to measure",
    }


def roofline(sources: Sources) -> Figure:
    """What every case reaches, by the arithmetic that it does for a byte, under the machine's measured roof."""
    name, title = "throughput-roofline", "On one core every block is bound by arithmetic, not by memory"
    try:
        run = runs(sources)[0]
    except NotMeasured:
        return nothing(name, title)
    rows = [row for record in run.records if (row := _roof_row(run, record)) is not None]
    frame = pd.DataFrame(rows)
    rates = rates_of(run, run.records[0])
    roof = pd.DataFrame(_roof(rates, float(frame.macs_per_byte.max())) if rates else [])
    memory = frame[frame.bound == "memory"]
    x = (
        alt.X("macs_per_byte:Q", title="multiply-adds per byte of least traffic")
        .scale(type="log", nice=False)
        .axis(values=[0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000], format="~g")
    )
    y = (
        alt.Y("gmacs_per_second:Q", title="10\u2079 multiply-adds per second")
        .scale(type="log", domain=[_LOWEST, 100], nice=False)
        .axis(values=[5, 10, 20, 50, 100])
    )
    tips = tooltips(
        key="case",
        macs_per_byte="multiply-adds per byte|.1f",
        gmacs_per_second="10\u2079 multiply-adds/s|.1f",
        utilisation_percent="utilisation (%)|.1f",
        bound="bound by",
    )
    dash = alt.StrokeDash("roof:N", title="measured roof").scale(range=[[1, 0], [5, 3], [2, 2]])
    lines = (
        alt.Chart(roof)
        .mark_line(strokeWidth=1.6, color=PAPER)
        .encode(
            x=x, y=y, strokeDash=dash, tooltip=tooltips(roof="roof", gmacs_per_second="10\u2079 multiply-adds/s|.1f")
        )
    )
    return Figure(
        name,
        "throughput",
        title
        if not len(memory)
        else f"{len(memory)} of {len(frame)} cases are bound by memory, the others by arithmetic",
        "Multiply-adds per second that each case reaches, by multiply-adds per byte of the least traffic that any "
        "implementation has; both axes logarithmic. "
        "Lines: what this machine reaches in a matrix product (level) and in a copy, in the cache and in the main "
        "memory (rising), as measured. Products with zero padding "
        "are not counted; a point above the roof has an algorithm with fewer multiplications. The engines' traffic "
        "is not counted, so they are not shown.",
        f"Scatter plot under a roof. Reached: {frame.gmacs_per_second.min():.1f} to "
        f"{frame.gmacs_per_second.max():.1f} 10^9 multiply-adds per second; the roof is "
        f"{rates.macs / 1e9 if rates else float('nan'):.1f}.",
        (
            f"Measured: baselines/throughput/{run.name}.json (`resbench bench`), {run.created[:10]}",
            "After Williams, Waterman, Patterson 2009, CACM 52(4)",
        ),
        frame,
        alt.layer(lines, points(alt.Chart(frame), SERIES[:2], 50, x=x, y=y, tooltip=tips)).properties(height=320),
        (GPU,),
    )


def _roof_row(run: TimingRun, record: TimingRecord) -> dict[str, Any] | None:
    time, counts, rates = seconds(record), record.counts, rates_of(run, record)
    if time is None or counts is None or rates is None or not counts.least_bytes:
        return None
    macs, share = counts.macs - counts.padding, utilisation(run, record)
    return {
        "case": label_of(record.case),
        "series": series_of(record.case),
        "key": case_name(record.case),
        "macs_per_byte": macs / counts.least_bytes,
        "gmacs_per_second": macs / time / 1e9,
        "utilisation_percent": None if share is None else 100 * share,
        "bound": bound(counts, rates) or "",
    }


def _roof(rates: Rates, high: float) -> list[dict[str, Any]]:
    """The ends of the roof's lines: the copies' slopes from the axis up, and the product's rate to twice ``high``."""
    sizes, peak = sorted(rates.copies), rates.macs / 1e9
    slopes = {"copy in the cache": sizes[:1], "copy in main memory": sizes[-1:]}
    lines, knees = [], []
    for name, chosen in slopes.items():
        for size in chosen:
            rate = rates.copies[size] / 1e9
            lines += [{"roof": name, "macs_per_byte": y / rate, "gmacs_per_second": y} for y in (_LOWEST, peak)]
            knees.append(peak / rate)
    return [
        *(
            {"roof": "matrix product", "macs_per_byte": x, "gmacs_per_second": peak}
            for x in (min(knees, default=1.0), 2 * high)
        ),
        *lines,
    ]


def _version(run: TimingRun) -> str:
    return str((run.environment.get("packages") or {}).get("torch", "unknown"))


def nothing(name: str, title: str) -> Figure:
    """The figure where no runs are recorded."""
    missing = (Missing("timing runs: none recorded, or only one", _COMMAND), GPU)
    return Figure(
        name,
        "throughput",
        title,
        "Nothing is recorded.",
        "Nothing is recorded.",
        ("`resbench bench`",),
        pd.DataFrame(),
        None,
        missing,
    )
