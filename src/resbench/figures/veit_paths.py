"""Veit 2016, figures 6(b) and 6(c): what gradient paths carry, by their length."""

from __future__ import annotations

import math
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from resbench.figures.marks import interval_bars, lines, measured, points, published, tooltips
from resbench.figures.model import Figure
from resbench.figures.sources import VEIT, Lacking, Sources, gathered
from resbench.figures.theme import YELLOW

__all__ = ["figure_6b", "figure_6c"]

_UNITS = 54
_EFFECTIVE = (5, 17)
_NETWORKS = (
    ("digits", "preact-54", "Digits, 54 units", 0),
    ("cifar10-public", "resnet56", "CIFAR-10, 27 units", 1),
    ("cifar10", "resnet110-preact", "CIFAR-10, 54 units", 2),
)
_SHOWN = 30
"""The longest path on figure 6(c)'s axis."""

_LENGTH = "path length (units passed)"


def figure_6b(sources: Sources) -> Figure:
    """The gradient of a single path by its length."""
    figure_6 = sources.published("veit2016")["figure_6"]
    first = figure_6["gradient"][0]
    paper, exponential = "CIFAR-10, 54 units, published (read off)", _ratio(figure_6)
    long = figure_6["long"]
    read = [*zip(figure_6["length"], figure_6["gradient"], strict=True), (long["length"], long["gradient"])]
    rows: list[dict[str, Any]] = [
        _gradient_row(paper, "ResNet-110", length, value / first, norm=value) for length, value in read
    ]
    series, missing = [published(paper)], []
    for setting, network, name, order in _NETWORKS:
        found = sources.attempt(setting, network, "path_gradients")
        if isinstance(found, Lacking):
            missing.append(found)
            continue
        from resbench.experiments.paths import log_gradients
        from resbench.statistics import percentile_interval

        series.append(measured(f"{name}, measured", order))
        logs = log_gradients(found)
        ratios = np.exp(logs - logs[:1, :1])
        low, high = percentile_interval(ratios[1:])
        for length, ratio in enumerate(ratios[0]):
            norm = float(np.exp(logs[0, length]))
            rows.append(
                _gradient_row(
                    series[-1].name, network, length, float(ratio), float(low[length]), float(high[length]), norm
                )
            )
    frame = pd.DataFrame(rows)
    # Few hollow points are seen on many filled ones, not under them.
    base = alt.Chart(frame.sort_values("series", key=lambda names: names == paper, kind="stable"))
    x = alt.X("length_units:Q", title=_LENGTH).scale(domain=[0, 54], nice=False).axis(grid=False)
    y_title = "gradient norm of a path (1: through no unit)"
    y = alt.Y("relative:Q", title=y_title).scale(type="log").axis(format=".0e", tickCount=8)
    tips = tooltips(
        series="network",
        length_units="length|d",
        relative="relative|.3e",
        relative_low="from|.3e",
        relative_high="to|.3e",
        gradient_norm="gradient norm|.3e",
    )
    bars = interval_bars(
        alt.Chart(frame.dropna(subset=["relative_low"])),
        series,
        x=x,
        y=alt.Y("relative_low:Q", title=y_title),
        y2=alt.Y2(field="relative_high"),
    )
    chart = alt.layer(bars, points(base, series, 36, x=x, y=y, tooltip=tips)).properties(height=300)
    return Figure(
        "veit-fig6b",
        "veit2016",
        "The gradient that a path carries shrinks exponentially with its length",
        "Mean norm of the gradient that a path of each length carries to the first unit's input, over that of the path "
        "through no unit; logarithmic axis. Ours: paths drawn at random from each length; bars: 95 % bootstrap "
        "intervals over the paths. The scale of "
        "a gradient depends on the loss and the images, so only ratios are compared. Over its short paths the "
        "paper's figure has a factor of "
        f"{exponential:.2f} a unit.",
        _describe_6b(frame),
        (
            f"Published: {VEIT}, figure 6(b): lengths 0, 1, 2 read off within 10 %, and the order of magnitude at "
            "length 33 of its inset",
            "Measured, digits: preact-54, committed checkpoint, path_gradients",
            "Measured, CIFAR-10: record of cifar10-public, resnet56, path_gradients",
        ),
        frame,
        chart,
        gathered(missing),
    )


def figure_6c(sources: Sources) -> Figure:
    """What all paths of a length carry together: their number times the gradient of one."""
    ratio = _ratio(sources.published("veit2016")["figure_6"])
    weights = [math.comb(_UNITS, k) * ratio**k for k in range(_UNITS + 1)]
    paper = "CIFAR-10, 54 units, from the published figure 6(b)"
    rows = [_share_row(paper, "ResNet-110", k, 100 * weight / math.fsum(weights)) for k, weight in enumerate(weights)]
    series, missing = [published(paper)], []
    for setting, network, name, order in _NETWORKS:
        found = sources.attempt(setting, network, "path_gradients")
        if isinstance(found, Lacking):
            missing.append(found)
            continue
        from resbench.experiments.paths import gradient_shares
        from resbench.statistics import percentile_interval

        series.append(measured(f"{name}, measured", order))
        shares = 100.0 * gradient_shares(found)
        low, high = percentile_interval(shares[1:])
        rows += [
            _share_row(series[-1].name, network, k, float(shares[0, k]), float(low[k]), float(high[k]))
            for k in range(shares.shape[1])
        ]
    frame = pd.DataFrame(rows)
    x = alt.X("length_units:Q", title=_LENGTH).scale(domain=[0, _SHOWN], nice=False).axis(grid=False)
    y = alt.Y("share_percent:Q", title="share of the gradient (%)")
    tips = tooltips(
        series="network",
        length_units="length|d",
        share_percent="share (%)|.3f",
        share_low="from (%)|.3f",
        share_high="to (%)|.3f",
    )
    shown = frame[frame.length_units <= _SHOWN]
    base = alt.Chart(shown)
    ends = pd.DataFrame({"from": [_EFFECTIVE[0] - 0.5], "to": [_EFFECTIVE[1] + 0.5]})
    band = alt.Chart(ends).mark_rect(color=YELLOW, opacity=0.18).encode(x=alt.X("from:Q"), x2=alt.X2(field="to"))
    bars = interval_bars(
        alt.Chart(shown.dropna(subset=["share_low"])),
        series,
        x=x,
        y=alt.Y("share_low:Q", title="share of the gradient (%)"),
        y2=alt.Y2(field="share_high"),
    )
    chart = alt.layer(
        band, bars, lines(base, series, x=x, y=y), points(base, series, 30, x=x, y=y, tooltip=tips)
    ).properties(height=260)
    effective = {str(name): _within(part) for name, part in frame.groupby("series", sort=False)}
    told = "; ".join(f"{name}: {share:.1f} %" for name, share in effective.items())
    return Figure(
        "veit-fig6c",
        "veit2016",
        "Short paths carry the gradient, although there are few of them",
        "What all paths of a length carry together, as a share of the sum over all lengths: their number times the "
        "mean "
        "gradient norm of one. Shaded: the paper's effective paths, 5 to 17 of 54 units (0.45 % of all paths). Bars: "
        "95 % bootstrap "
        "intervals over the sampled paths. Lengths above 30, which carry nothing, are in the CSV alone. A network of "
        "half the depth has shorter effective paths.",
        f"Lines of the share of the gradient by path length. Between 5 and 17 units: {told}.",
        (
            f"Published: {VEIT}, figure 6(c); derived from lengths 0 to 2 of figure 6(b) read off within 10 % (a "
            f"factor of {ratio:.3f} a "
            "unit makes the shares binomial), since of 6(c) itself only the peak is recorded: 0.483 at length 13",
            "Measured, digits: preact-54, committed checkpoint, path_gradients",
            "Measured, CIFAR-10: record of cifar10-public, resnet56, path_gradients",
        ),
        frame,
        chart,
        gathered(missing),
    )


def _ratio(figure_6: Any) -> float:
    """The factor a unit over the short paths of the paper's figure 6(b)."""
    gradient, length = figure_6["gradient"], figure_6["length"]
    return float((gradient[-1] / gradient[0]) ** (1 / (length[-1] - length[0])))


def _gradient_row(
    series: str,
    network: str,
    length: int,
    relative: float,
    low: float | None = None,
    high: float | None = None,
    norm: float | None = None,
) -> dict[str, Any]:
    return {
        "series": series,
        "network": network,
        "length_units": length,
        "relative": relative,
        "relative_low": low,
        "relative_high": high,
        "gradient_norm": norm,
    }


def _share_row(
    series: str, network: str, length: int, share: float, low: float | None = None, high: float | None = None
) -> dict[str, Any]:
    return {
        "series": series,
        "network": network,
        "length_units": length,
        "share_percent": share,
        "share_low": low,
        "share_high": high,
    }


def _within(part: pd.DataFrame) -> float:
    low, high = _EFFECTIVE
    return float(part[part.length_units.between(low, high)].share_percent.sum())


def _describe_6b(frame: pd.DataFrame) -> str:
    parts = []
    for name, part in frame.groupby("series", sort=False):
        values = dict(zip(part.length_units, part.relative, strict=True))
        last = max(values)
        parts.append(f"{name!s}: {values[1]:.2g} at length 1, {values[last]:.1e} at length {last}")
    return (
        "Gradient norm of a path over that of the path through no unit, falling in a line on a logarithmic axis. "
        + ". ".join(parts)
        + "."
    )
