"""Throughput: what a step of every block takes, how much of the machine it uses, and machines beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from resbench.errors import NotMeasured
from resbench.figures.marks import Series, beside, interval_bars, measured, points, tooltips
from resbench.figures.model import Figure, Missing
from resbench.figures.sources import Sources
from resbench.figures.theme import PAPER
from resbench.timing.compare import compare
from resbench.timing.record import TimingRecord, TimingRun
from resbench.timing.roofline import bound, copy_rate
from resbench.timing.store import decode, read_bytes
from resbench.timing.summary import case_name, images_per_second, interval, rates_of, seconds, utilisation
from resbench.timing.worker.case import Case

__all__ = ["SERIES", "blocks", "hardware", "label_of", "roofline", "runs", "series_of"]

SERIES = (measured("training step", 0), measured("inference", 1), measured("lesion and path engines", 2))
_ROW = 19
_GPU = Missing("a GPU: not measured", "resbench bench --device cuda --save NAME")
_OTHER = Missing(
    "another processor: not measured", "resbench bench --save NAME, then resbench compare NAME cpu-epyc-9xx4-torch2.15"
)
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
        return _nothing(name, title)
    frame = pd.DataFrame([_block_row(run, record) for record in run.records if record.rounds])
    labels = list(dict.fromkeys(frame.case))
    tips = tooltips(
        key="case", ms="time per step (ms)|.3f", low_ms="from|.3f", high_ms="to|.3f", utilisation_percent="utilisation (%)|.1f",
        images_per_second="images/s|,.0f", unhealthy="machine",
    )  # fmt: skip
    y = (
        alt.Y("case:N", title=None)
        .scale(domain=labels)
        .axis(grid=True, labelLimit=185, minExtent=185, maxExtent=185, labelOverlap=False)
    )
    base = alt.Chart(frame)
    time = alt.X("ms:Q", title="time per step (ms)").scale(type="log").axis(values=[2, 5, 10, 20, 50, 100])
    share = alt.X("utilisation_percent:Q", title="utilisation (%)").scale(domain=[0, 100])
    low = alt.X("low_ms:Q", title="time per step (ms)").scale(type="log")
    height = _ROW * len(labels)
    times = alt.layer(
        interval_bars(base.transform_filter("isValid(datum.low_ms)"), SERIES, x=low, x2=alt.X2("high_ms:Q"), y=y),
        points(base, SERIES, 45, x=time, y=y, tooltip=tips),
    ).properties(title="Time", height=height)
    used = points(base.transform_filter("isValid(datum.utilisation_percent)"), SERIES, 45, x=share, y=y, tooltip=tips)
    best, worst = frame.loc[frame.utilisation_percent.idxmax()], frame.loc[frame.utilisation_percent.idxmin()]
    told = "; ".join(f"{row.case}: {row.ms:.2f} ms, {row.utilisation_percent:.0f} %" for row in frame.itertuples())
    return Figure(
        name,
        "throughput",
        title if _holds(frame) else f"Blocks use {worst.utilisation_percent:.0f} to {best.utilisation_percent:.0f} % of the processor",
        f"Time of a step (logarithmic axis; bars: 95 % intervals over processes) and utilisation: the least time that this machine, as measured, needs for the "
        f"arithmetic and the traffic, over the time taken. {len(frame)} cases on one thread of {run.environment.get('cpu', 'the processor')}, torch {_version(run)}; batch 32, of "
        "bottlenecks 4. tv.: torchvision; inf.: inference; CHANNELS@PIXELS; preact~0.5: survival probability 0.5.",
        f"Dot plots. From {worst.utilisation_percent:.0f} % ({worst.case}) to {best.utilisation_percent:.0f} % ({best.case}). {told}.",
        (f"Measured: baselines/throughput/{run.name}.json (`resbench bench`), {run.created[:10]}",),
        frame,
        beside([times, used.properties(title="Utilisation", height=height)], room=215),
        (_GPU,),
    )  # fmt: skip


def _holds(frame: pd.DataFrame) -> bool:
    """Whether the title says what this run shows."""
    wide = frame[frame.case.isin(["original 64@8", "preact 64@8"])].utilisation_percent
    thin = frame[frame.case.isin(["original 16@32", "preact 16@32"])].utilisation_percent
    return len(wide) == len(thin) == 2 and wide.between(75, 85).all() and thin.between(45, 58).all()


def _block_row(run: TimingRun, record: TimingRecord) -> dict[str, Any]:
    time, ends, share = seconds(record), interval(record), utilisation(run, record)
    assert time is not None
    low, high = ends or (None, None)
    return {
        "case": label_of(record.case), "series": series_of(record.case), "key": case_name(record.case), "ms": 1e3 * time,
        "low_ms": None if low is None else 1e3 * low, "high_ms": None if high is None else 1e3 * high,
        "utilisation_percent": None if share is None else 100 * share, "images_per_second": images_per_second(record),
        "unhealthy": "; ".join(record.unhealthy) or "fit to measure",
    }  # fmt: skip


def roofline(sources: Sources) -> Figure:
    """What every case reaches, by the arithmetic that it does for a byte, under the machine's measured roof."""
    name, title = "throughput-roofline", "On one core every block is bound by arithmetic, not by memory"
    try:
        run = runs(sources)[0]
    except NotMeasured:
        return _nothing(name, title)
    rows = [row for record in run.records if (row := _roof_row(run, record)) is not None]
    frame = pd.DataFrame(rows)
    rates = rates_of(run, run.records[0])
    roof = pd.DataFrame(
        _roof(rates, float(frame.macs_per_byte.min()), float(frame.macs_per_byte.max())) if rates else []
    )
    memory = frame[frame.bound == "memory"]
    x = alt.X("macs_per_byte:Q", title="multiply-adds per byte of least traffic").scale(type="log", nice=False)
    y = (
        alt.Y("gmacs_per_second:Q", title="10\u2079 multiply-adds per second")
        .scale(type="log", domain=[5, 100], nice=False)
        .axis(values=[5, 10, 20, 50, 100])
    )
    tips = tooltips(
        key="case", macs_per_byte="multiply-adds per byte|.1f", gmacs_per_second="10\u2079 multiply-adds/s|.1f", utilisation_percent="utilisation (%)|.1f",
        bound="bound by",
    )  # fmt: skip
    dash = alt.StrokeDash("roof:N", title="measured roof").scale(range=[[1, 0], [5, 3], [2, 2]])
    lines = alt.Chart(roof).mark_line(strokeWidth=1.6, color=PAPER).encode(
        x=x, y=y, strokeDash=dash, tooltip=tooltips(roof="roof", gmacs_per_second="10\u2079 multiply-adds/s|.1f")
    )  # fmt: skip
    return Figure(
        name,
        "throughput",
        title if not len(memory) else f"{len(memory)} of {len(frame)} cases are bound by memory, the others by arithmetic",
        "Multiply-adds per second that each case reaches, by multiply-adds per byte of the least traffic that any implementation has; both axes logarithmic. "
        "Lines: what this machine reaches in a matrix product (level) and in a copy, in the cache and in the main memory (rising), as measured. Products with zero padding "
        "are not counted; a point above the roof has an algorithm with fewer multiplications. The engines' traffic is not counted, so they are not shown.",
        f"Scatter plot under a roof. Reached: {frame.gmacs_per_second.min():.1f} to {frame.gmacs_per_second.max():.1f} 10^9 multiply-adds per second; the roof is "
        f"{rates.macs / 1e9 if rates else float('nan'):.1f}.",
        (f"Measured: baselines/throughput/{run.name}.json (`resbench bench`), {run.created[:10]}", "After Williams, Waterman, Patterson 2009, CACM 52(4)"),
        frame,
        alt.layer(lines, points(alt.Chart(frame), SERIES[:2], 50, x=x, y=y, tooltip=tips)).properties(height=320),
        (_GPU,),
    )  # fmt: skip


def _roof_row(run: TimingRun, record: TimingRecord) -> dict[str, Any] | None:
    time, counts, rates = seconds(record), record.counts, rates_of(run, record)
    if time is None or counts is None or rates is None or not counts.least_bytes:
        return None
    macs, share = counts.macs - counts.padding, utilisation(run, record)
    return {
        "case": label_of(record.case), "series": series_of(record.case), "key": case_name(record.case),
        "macs_per_byte": macs / counts.least_bytes, "gmacs_per_second": macs / time / 1e9,
        "utilisation_percent": None if share is None else 100 * share, "bound": bound(counts, rates) or "",
    }  # fmt: skip


def _roof(rates: Any, low: float, high: float) -> list[dict[str, Any]]:
    """Lines from half the smallest to twice the largest intensity: the product's rate and the copies' slopes."""
    sizes = sorted(rates.copies)
    slopes = (
        {
            "copy in the cache": copy_rate(sizes[0], rates.copies),
            "copy in main memory": copy_rate(sizes[-1], rates.copies),
        }
        if sizes
        else {}
    )
    peak, start, end = rates.macs / 1e9, low / 8, 2 * high
    lines = [{"roof": "matrix product", "macs_per_byte": x, "gmacs_per_second": peak} for x in (start, end)]
    for name, slope in slopes.items():
        knee = rates.macs / slope
        lines += [
            {"roof": name, "macs_per_byte": x, "gmacs_per_second": slope * x / 1e9} for x in (min(start, knee), knee)
        ]
    return lines


def hardware(sources: Sources) -> Figure:
    """Every run's times against the newest run's."""
    name, title = "throughput-hardware", "Runs beside each other"
    try:
        found = runs(sources)
    except NotMeasured:
        return _nothing(name, title)
    if len(found) < 2:
        return _nothing(name, title)
    comparison = compare(found)
    first = _run_name(found[0])
    names = [_run_name(run) for run in found[1:]]
    rows = []
    for row in comparison.rows:
        for run, side, one in zip(names, row.sides[1:], row.against, strict=True):
            low, high = one.interval or (None, None)
            rows.append(
                {
                    "case": label_of(row.case), "series": run, "key": row.key, "ratio": one.ratio, "low": low, "high": high,
                    "ms": None if side.seconds is None else 1e3 * side.seconds,
                    "first_ms": None if row.sides[0].seconds is None else 1e3 * row.sides[0].seconds,
                    "verdict": one.change.value if one.change else "none between machines",
                }
            )  # fmt: skip
    frame = pd.DataFrame(rows)
    machines = {run.fingerprint.partition("-torch")[0] for run in found}
    means = [f"{name}: {mean.ratio:.3f}" for name, mean in zip(names, comparison.means, strict=True) if mean]
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in frame.verdict.value_counts().items())
    only = "" if len(machines) > 1 else " Only one machine has been measured so far: what differs is torch."
    return Figure(
        name,
        "throughput",
        _hardware_title(comparison.means, names, first),
        f"Time of a step over that of {first}; above 1 is slower. Bars: 95 % intervals over processes; shaded: within 5 %, which is no change.{only} "
        f"Verdicts: {verdicts}.",
        f"Dot plot of ratios, geometric means {'; '.join(means)}. Verdicts: {verdicts}.",
        tuple(f"Measured: baselines/throughput/{run.name}.json (`resbench bench`), {run.created[:10]}" for run in found),
        frame,
        _ratios(frame, [measured(name, order) for order, name in enumerate(names)], first),
        (_GPU, *((_OTHER,) if len(machines) == 1 else ())),
    )  # fmt: skip


def _ratios(frame: pd.DataFrame, series: Sequence[Series], first: str) -> alt.LayerChart:
    labels = list(dict.fromkeys(frame.case))
    title = f"time / time of {first}"
    scale = alt.Scale(domain=[min(0.88, frame.low.min()), max(1.12, frame.high.max())], nice=False)
    y = alt.Y("case:N", title=None).scale(domain=labels).axis(grid=True, labelLimit=185, labelOverlap=False)
    base = alt.Chart(frame)
    tips = tooltips(
        key="case", ratio="ratio|.3f", low="from|.3f", high="to|.3f", ms="time (ms)|.3f", first_ms="against (ms)|.3f", verdict="verdict"
    )  # fmt: skip
    band = alt.Chart(pd.DataFrame({"from": [1 / 1.05], "to": [1.05]})).mark_rect(color=PAPER, opacity=0.16)
    same = alt.Chart(pd.DataFrame({"one": [1.0]})).mark_rule(strokeDash=[4, 3], color=PAPER)
    return alt.layer(
        band.encode(x=alt.X("from:Q", title=title, scale=scale), x2="to"),
        same.encode(x=alt.X("one:Q", title=title, scale=scale)),
        interval_bars(
            base.transform_filter("isValid(datum.low)"),
            series,
            x=alt.X("low:Q", title=title, scale=scale),
            x2="high",
            y=y,
        ),
        points(base, series, 40, x=alt.X("ratio:Q", title=title, scale=scale), y=y, tooltip=tips),
    ).properties(height=_ROW * len(labels))


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


def _version(run: TimingRun) -> str:
    return str((run.environment.get("packages") or {}).get("torch", "unknown"))


def _nothing(name: str, title: str) -> Figure:
    missing = (Missing("timing runs: none recorded, or only one", _COMMAND), _GPU)
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
