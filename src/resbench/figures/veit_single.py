"""Veit 2016, figures 3 and 8: the error when one unit is deleted."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from resbench.figures.marks import Series, beside, colours, interval_bars, measured, points, published, tooltips
from resbench.figures.model import Figure
from resbench.figures.sources import VEIT, Lacking, Sources, gathered
from resbench.records.results import Result
from resbench.statistics import wilson

__all__ = ["figure_3", "figure_8"]

_SERIES = (
    published("residual, published", 0),
    published("plain, published", 1),
    measured("residual, measured", 0),
    measured("plain, measured", 1),
)
_PANELS = (
    ("digits", "preact-54", "vgg-15", "Digits, 54 units (measured)"),
    ("cifar10", "resnet110-preact", "vgg15", "CIFAR-10, 110 layers (measured)"),
    ("cifar10-public", "resnet56", "plain56", "CIFAR-10, 56 layers (measured)"),
    ("cifar10-public", "resnet20", "plain20", "CIFAR-10, 20 layers (measured)"),
)
_PUBLISHED = "CIFAR-10, 110 layers (published)"

_TICKS = [1, 2, 5, 10, 20, 50, 100]
_LINEAR, _LOG = alt.Scale(domain=[0, 100]), alt.Scale(type="log", domain=[0.8, 100], clamp=True)

_PAPERS = (
    ("resnet110-preact", "resnet110-stochastic", "CIFAR-10, 54 units (published)"),
    ("resnet20-preact", "resnet20-stochastic", "CIFAR-10, 9 units (published)"),
)
_OURS = (
    ("cifar10", "resnet110-preact", "resnet110-stochastic", "CIFAR-10, 54 units (measured)"),
    ("digits", "post-54", "post-54-stochastic", "Digits, 54 units (measured)"),
    ("digits", "post-9", "post-9-stochastic", "Digits, 9 units (measured)"),
)
_SERIES_8 = (
    published("constant depth, published", 0),
    published("stochastic depth, published", 1),
    measured("constant depth, measured", 0),
    measured("stochastic depth, measured", 1),
)


def figure_3(sources: Sources) -> Figure:
    """Deleting one unit of a residual network, and one layer of a plain one."""
    rows, missing = _published(sources), []
    sources.prepare("digits", [("preact-54", "single_deletion"), ("vgg-15", "single_deletion")])
    for setting, residual, plain, panel in _PANELS:
        for kind, network in (("residual", residual), ("plain", plain)):
            found = sources.attempt(setting, network, "single_deletion")
            if isinstance(found, Lacking):
                missing.append(found)
            else:
                rows += single_rows(found, panel, f"{kind}, measured", network)
    frame = pd.DataFrame(rows)
    panels = [_PUBLISHED, *(panel for *_, panel in _PANELS)]
    views = [single_view(frame[frame.panel == panel], panel, _SERIES) for panel in panels if panel in set(frame.panel)]
    return Figure(
        "veit-fig3",
        "veit2016",
        "Deleting one unit rarely hurts a deep residual network; deleting one layer ruins a plain one",
        "Test error after deleting the unit (residual network) or layer (plain network) at each position, without "
        "fine-tuning. Bars: 95 % Wilson intervals over the test images; dashed lines: the whole network. The digits "
        "are another data set than the paper's: 1,797 images of 8x8 pixels, tested by two networks, one a half. The "
        "CIFAR-10 networks were trained by others, 10,000 test images. The first units and those that halve the "
        "image cost most; so does any unit of a shallow network.",
        _describe("Dot plots of test error by deleted unit or layer.", frame),
        (
            f"Published: {VEIT}, figure 3; numbers recomputed from the authors' raw outputs, the plain network's whole "
            "error (8.5 %) read off the figure",
            "Measured, digits: preact-54 and vgg-15, committed checkpoints",
            "Measured, CIFAR-10: records of cifar10-public (resnet56, resnet20, plain56, plain20), single_deletion",
        ),
        frame,
        beside(views),
        gathered(missing),
    )


def figure_8(sources: Sources) -> Figure:
    """Deleting one unit of a network that was trained with stochastic depth."""
    deletion = sources.published("veit2016")["deletion"]
    rows: list[dict[str, Any]] = []
    for constant, stochastic, panel in _PAPERS:
        for network, series in ((constant, _SERIES_8[0]), (stochastic, _SERIES_8[1])):
            table = deletion[network]
            rows += [
                _row(panel, series.name, network, unit, error, table["baseline"])
                for unit, error in enumerate(table["errors"], start=1)
            ]
    missing = []
    digits = [network for setting, *pair, _ in _OURS for network in pair if setting == "digits"]
    sources.prepare("digits", [(network, "single_deletion") for network in digits])
    for setting, *pair, panel in _OURS:
        for network, series in zip(pair, _SERIES_8[2:], strict=True):
            found = sources.attempt(setting, network, "single_deletion")
            if isinstance(found, Lacking):
                missing.append(found)
            else:
                rows += single_rows(found, panel, series.name, network)
    frame = pd.DataFrame(rows)
    views = [single_view(part, str(panel), _SERIES_8, scale=_LOG) for panel, part in frame.groupby("panel", sort=False)]
    return Figure(
        "veit-fig8",
        "veit2016",
        "Trained with stochastic depth, a deep network depends less on its first units",
        "Test error (logarithmic axis) after deleting each unit, for networks trained with all units and with random "
        "ones (linear decay to 0.5). Bars: 95 % Wilson intervals over the test images; dashed lines: the whole "
        "network. Published networks differ in more than the depth: pre-activation and 164 epochs against original "
        "units and 500 epochs. Ours have the same units, stochastic depth twice the epochs (54 units) or as many (9 "
        "units: too shallow, and trained too shortly, to gain by it); the digits are another data set than the "
        "paper's.",
        _describe("Dot plots of test error by deleted unit, with constant and with stochastic depth.", frame),
        (
            f"Published: {VEIT}, figure 8; recomputed from the authors' raw outputs (20 layers: not in the paper)",
            "Measured, digits: post-54, post-54-stochastic, post-9, post-9-stochastic, committed checkpoints",
        ),
        frame,
        beside(views),
        gathered(missing),
    )


def single_rows(found: Result, panel: str, series: str, network: str) -> list[dict[str, Any]]:
    """A row for each deletion of one network; the members' images are pooled."""
    wrong = np.concatenate([np.asarray(member["wrong"]) for member in found], axis=1)
    deletable = np.asarray(found[0]["deletable"])
    numbers = np.asarray(found[0].get("units", np.arange(len(deletable)))) + 1
    images = wrong.shape[1]
    counts = [int(count) for count in wrong.sum(axis=1)]
    rows = []
    for number, count, possible in zip(numbers, counts[1:], deletable, strict=True):
        if not possible:
            continue
        low, high = wilson(count, images)
        rows.append(
            _row(panel, series, network, int(number), 100 * count / images, 100 * counts[0] / images)
            | {"low_percent": 100 * low, "high_percent": 100 * high, "images": images}
        )
    return rows


def _row(panel: str, series: str, network: str, deleted: int, error: float, whole: float) -> dict[str, Any]:
    return {
        "panel": panel,
        "series": series,
        "network": network,
        "deleted": deleted,
        "error_percent": error,
        "low_percent": None,
        "high_percent": None,
        "whole_percent": whole,
        "images": None,
    }


def _published(sources: Sources) -> list[dict[str, Any]]:
    paper = sources.published("veit2016")
    residual, vgg = paper["deletion"]["resnet110-preact"], paper["vgg"]
    rows = [
        _row(_PUBLISHED, "residual, published", "ResNet-110, pre-activation", unit, error, residual["baseline"])
        for unit, error in enumerate(residual["errors"], start=1)
    ]
    return rows + [
        _row(_PUBLISHED, "plain, published", "VGG, 15 layers", layer, error, vgg["baseline"])
        for layer, error in zip(vgg["layer"], vgg["errors"], strict=True)
    ]


def single_view(frame: pd.DataFrame, title: str, series: tuple[Series, ...], *, scale: alt.Scale = _LINEAR) -> Any:
    """Errors by the deleted unit, with intervals and the whole networks' errors as dashed lines."""
    base = alt.Chart(frame)
    last = int(frame.deleted.max())
    at = alt.X("deleted:Q", title="deleted unit or layer (number)").scale(domain=[0, last + 1], nice=False)
    at = at.axis(format="d", tickMinStep=1, grid=False)
    error = alt.Y("error_percent:Q", title="test error (%)", scale=scale).axis(
        values=_TICKS if scale is _LOG else alt.Undefined
    )
    tips = tooltips(
        network="network",
        deleted="deleted|d",
        error_percent="error (%)|.2f",
        low_percent="from (%)|.2f",
        high_percent="to (%)|.2f",
        whole_percent="whole network (%)|.2f",
        images="test images|,d",
    )
    whole = frame[["series", "network", "whole_percent"]].drop_duplicates()
    lines = (
        alt.Chart(whole)
        .mark_rule(strokeDash=[4, 3], strokeWidth=1)
        .encode(
            y=alt.Y("whole_percent:Q", scale=scale),
            color=colours(series),
            tooltip=tooltips(network="network", whole_percent="whole network (%)|.2f"),
        )
    )
    layers = [lines, points(base, series, x=at, y=error, tooltip=tips)]
    intervals = frame.dropna(subset=["low_percent"])
    if len(intervals):
        bars = interval_bars(
            alt.Chart(intervals), series, x=at, y=alt.Y("low_percent:Q", scale=scale), y2=alt.Y2(field="high_percent")
        )
        layers.insert(1, bars)
    return alt.layer(*layers).properties(title=title, height=230)


def _describe(what: str, frame: pd.DataFrame) -> str:
    parts = []
    for (panel, series, network), group in frame.groupby(["panel", "series", "network"], sort=False):
        kind = str(series).split(",")[0]
        parts.append(
            f"{panel}, {kind}, {network}: whole {group.whole_percent.iloc[0]:.1f} %, after one deletion median "
            f"{group.error_percent.median():.1f} %, from {group.error_percent.min():.1f} to "
            f"{group.error_percent.max():.1f} %"
        )
    return f"{what} {'. '.join(parts)}."
