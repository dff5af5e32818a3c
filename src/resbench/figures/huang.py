"""Huang 2016: table 1 and figure 7."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from resbench.figures.forest import Row, forest_view, measured_errors, published_row
from resbench.figures.marks import beside, lines, measured, points, published, tooltips
from resbench.figures.model import Figure
from resbench.figures.sources import HUANG, Lacking, Sources, gathered

__all__ = ["figure_7", "table_1"]

_SERIES = (
    published("constant depth, published", 0),
    published("stochastic depth, published", 1),
    measured("constant depth, measured", 0),
    measured("stochastic depth, measured", 1),
)
_KINDS = ("constant", "stochastic")
_DATASETS = {
    "cifar10": "CIFAR-10, 110 layers",
    "cifar10-1202": "CIFAR-10, 1202 layers",
    "cifar10-without-augmentation": "CIFAR-10, not augmented",
    "cifar100": "CIFAR-100, 110 layers",
    "cifar100-without-augmentation": "CIFAR-100, not augmented",
    "svhn": "SVHN, 152 layers",
    "imagenet": "ImageNet, 152 layers",
}
_NETWORKS = {
    "cifar10": "resnet110-{}",
    "cifar10-1202": "resnet1202-{}",
    "cifar10-without-augmentation": "resnet110-{}-without-augmentation",
}
"""The recipes of setting cifar10; there are none yet of the other data sets."""

_DIGITS = {
    "54 units, to the end": {"constant": "post-54", "stochastic": "post-54-stochastic"},
    "9 units, 14 epochs": {"constant": "post-9", "stochastic": "post-9-stochastic"},
}
_PAPER_PANEL, _DIGITS_PANEL = "The paper's data sets", "Digits (another data set)"
_PHASES = ("before the first drop", "between the drops", "after the second drop")


def table_1(sources: Sources) -> Figure:
    """Constant against stochastic depth, on every data set."""
    table = sources.published("huang2016")["table_1"]
    found: list[dict[str, Any]] = []
    missing = []
    for index, kind in enumerate(_KINDS):
        for name, label in _DATASETS.items():
            entry = table[name]
            found.append(
                published_row(_PAPER_PANEL, _SERIES[index], label, f"{kind} depth", entry[kind], entry["images"])
            )
        ours = _SERIES[2 + index]
        rows = [
            Row(label, {"cifar10": _NETWORKS[name].format(kind)})
            for name, label in _DATASETS.items()
            if name in _NETWORKS
        ]
        own, lacking = measured_errors(sources, "cifar10", _PAPER_PANEL, ours, rows)
        rows = [Row(label, {"digits": networks[kind]}) for label, networks in _DIGITS.items()]
        digits, none = measured_errors(sources, "digits", _DIGITS_PANEL, ours, rows)
        found += [*own, *digits]
        missing += [*lacking, *none]
    frame = pd.DataFrame(found)
    ticks = [1, 2, 5, 10, 20, 50]
    axes = {
        panel: alt.X("error_percent:Q", title="test error (%)")
        .scale(type="log", domain=domain, nice=False)
        .axis(values=ticks)
        for panel, domain in ((_PAPER_PANEL, [1.5, 60]), (_DIGITS_PANEL, [0.7, 30]))
    }
    return Figure(
        "huang-table1",
        "huang2016",
        "Stochastic depth lowers the paper's error on the CIFAR images, not on ImageNet; it hurts a shallow network",
        "Test error with constant and with stochastic depth (linear decay to 0.5), on logarithmic axes. The paper: "
        "one network each, the epoch of the lowest "
        "validation error. Ours: the digits are another data set, 1,797 images, original units; the 9-unit networks "
        "had the same short "
        "schedule. Bars: 95 % Wilson intervals over the test images; published values have none.",
        _describe(frame),
        (
            f"Published: {HUANG}, table 1, and section 4 for 1202 layers and images that are not augmented",
            "Measured, digits: post-54, post-54-stochastic, post-9, post-9-stochastic, committed checkpoints, "
            "evaluation",
        ),
        frame,
        _by_panel(frame, axes),
        gathered(missing),
    )


def _by_panel(frame: pd.DataFrame, axes: dict[str, alt.X]) -> Any:
    """The two panels have rows of their own: no data set is in both."""
    parts = []
    for panel, x in axes.items():
        part = frame[frame.panel == panel]
        parts.append(forest_view(part, panel, list(dict.fromkeys(part.row)), _SERIES, x, 160, apart=True))
    return beside(parts, room=190, yOffset="independent")


def figure_7(sources: Sources) -> Figure:
    """The gradient of the first convolution, by epoch."""
    paper = sources.published("huang2016")["figure_7"]
    rows: list[dict[str, Any]] = []
    for series, kind in zip(_SERIES, _KINDS, strict=False):
        for phase, (low, high) in zip(_PHASES, paper[kind], strict=True):
            row = _gradient_row(
                "CIFAR-10, 110 layers (published)", series.name, "ResNet-110", float(np.sqrt(low * high)) * 1e-5
            )
            rows.append(row | {"phase": phase, "low": low * 1e-5, "high": high * 1e-5})
    lacking = []
    for series, network in zip(_SERIES[2:], ("post-54", "post-54-stochastic"), strict=True):
        found = sources.attempt("digits", network, "training_curves")
        if isinstance(found, Lacking):
            lacking.append(found)
            continue
        gradients = [np.asarray(member["stem_gradient"], float) for member in found]
        for epoch, value in enumerate(np.mean(gradients, axis=0), start=1):
            rows.append(
                _gradient_row("Digits, 54 units (measured)", series.name, network, float(value)) | {"epoch": epoch}
            )
    for series, kind in zip(_SERIES[2:], _KINDS, strict=True):
        found = sources.attempt("cifar10", f"resnet110-{kind}", "training_curves")
        if isinstance(found, Lacking):
            lacking.append(found)
            continue
        for epoch, value in enumerate(np.asarray(found[0]["stem_gradient"], float), start=1):
            rows.append(
                _gradient_row("CIFAR-10, 110 layers (measured)", series.name, f"resnet110-{kind}", float(value))
                | {"epoch": epoch}
            )
    frame = pd.DataFrame(rows)
    views = [
        (_phase_view if "published" in str(panel) else _epoch_view)(part, str(panel))
        for panel, part in frame.groupby("panel", sort=False)
    ]
    return Figure(
        "huang-fig7",
        "huang2016",
        "At the same epoch the first layer's gradient is larger with stochastic depth",
        "Mean absolute gradient of the first convolution's weights, logarithmic axes. The paper's curves are read "
        "off as ranges in three phases "
        "(learning rate drops after epochs 250 and 375 of 500). Ours by epoch; stochastic depth trained twice as "
        "long. Gradients of other images and losses have another scale: compare the two kinds within a panel only. "
        f"{_at_equal_shares(frame)}"
        "The difference is also one of the training loss, which is higher with stochastic depth.",
        _describe_7(frame),
        (
            f"Published: {HUANG}, figure 7, read off within 10 %",
            "Measured, digits: post-54, post-54-stochastic, the training curves in the committed checkpoints",
        ),
        frame,
        beside(views, room=85),
        gathered(lacking),
    )


def _at_equal_shares(frame: pd.DataFrame) -> str:
    """What is left of the difference when networks are compared at the same share of their trainings."""
    curves = [frame[frame.network == network].gradient.to_numpy(float) for network in ("post-54", "post-54-stochastic")]
    if not all(len(curve) for curve in curves):
        return ""
    constant, stochastic = curves
    places = np.linspace(0.5, 1.0, 51)
    values = [np.interp(places, np.linspace(0.0, 1.0, len(curve)), np.log(curve)) for curve in curves]
    shares = float(np.exp(np.mean(values[1] - values[0])))
    epochs = min(len(constant), len(stochastic))
    half = slice(epochs // 2, epochs)
    same = float(np.exp(np.mean(np.log(stochastic[half]) - np.log(constant[half]))))
    return (
        f"Over the second half of constant depth's {len(constant)} epochs the digits' ratio is {same:.1f}; at the "
        "same share of "
        f"each training, {shares:.1f}. "
    )


def _gradient_row(panel: str, series: str, network: str, gradient: float) -> dict[str, Any]:
    return {
        "panel": panel,
        "series": series,
        "network": network,
        "epoch": None,
        "phase": None,
        "gradient": gradient,
        "low": None,
        "high": None,
    }


def _phase_view(frame: pd.DataFrame, title: str) -> Any:
    base = alt.Chart(frame)
    x = alt.X("phase:N", title="phase of the training", sort=list(_PHASES)).axis(
        labelAngle=0, labelLimit=110, labelExpr="split(datum.label, ' the ')"
    )
    offset = alt.XOffset("series:N").scale(domain=[one.name for one in _SERIES[:2]])
    y = (
        alt.Y("gradient:Q", title="mean absolute gradient")
        .scale(type="log")
        .axis(format=".0e", values=[1e-7, 3e-7, 1e-6, 3e-6, 1e-5])
    )
    tips = tooltips(series="network", phase="phase", low="from|.2e", high="to|.2e")
    ranges = base.mark_rule(strokeWidth=4, opacity=0.5).encode(
        x=x,
        xOffset=offset,
        y=alt.Y("low:Q", title="mean absolute gradient").scale(type="log"),
        y2=alt.Y2(field="high"),
        color=alt.value(_SERIES[0].colour),
        tooltip=tips,
    )
    return alt.layer(ranges, points(base, _SERIES, 55, x=x, xOffset=offset, y=y, tooltip=tips)).properties(
        title=title, height=230
    )


def _epoch_view(frame: pd.DataFrame, title: str) -> Any:
    base = alt.Chart(frame)
    x = alt.X("epoch:Q", title="epoch (number)").axis(format="d", grid=False)
    y = (
        alt.Y("gradient:Q", title="mean absolute gradient")
        .scale(type="log")
        .axis(format=".0e", values=[1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1])
    )
    tips = tooltips(network="network", epoch="epoch|d", gradient="mean absolute gradient|.3e")
    return alt.layer(lines(base, _SERIES, x=x, y=y), points(base, _SERIES, 20, x=x, y=y, tooltip=tips)).properties(
        title=title, height=230
    )


def _describe(frame: pd.DataFrame) -> str:
    parts = []
    for (panel, row), part in frame.groupby(["panel", "row"], sort=False):
        told = [f"{one.series} {one.error_percent:.2f} %" for one in part.itertuples()]
        parts.append(f"{row} ({str(panel).lower()}): {', '.join(told)}")
    return f"Forest plot of test errors. {'. '.join(parts)}."


def _describe_7(frame: pd.DataFrame) -> str:
    parts = []
    for (panel, series), part in frame.groupby(["panel", "series"], sort=False):
        first, last = part.gradient.iloc[0], part.gradient.iloc[-1]
        parts.append(f"{panel}, {series}: {first:.1e} at first, {last:.1e} at the end")
    return f"Mean absolute gradient of the first convolution over the training. {'. '.join(parts)}."
