"""Veit 2016, figure 5: the error after many random lesions, by their number and by how much the order changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resbench.figures.marks import Series, beside, colours, lines, measured, points, published, tooltips
from resbench.figures.model import Figure
from resbench.figures.sources import VEIT, Lacking, Sources, gathered
from resbench.figures.theme import SKY
from resbench.records.results import Result
from resbench.reports.lesion_summary import by_tau

__all__ = ["figure_5a", "figure_5b"]

_NETWORKS = (
    ("digits", "preact-54", "Digits, 54 units (measured)"),
    ("cifar10", "resnet110-preact", "CIFAR-10, 54 units (measured)"),
    ("cifar10-public", "resnet56", "CIFAR-10, 27 units (measured)"),
)
_PANEL = "CIFAR-10, 54 units (published)"
_QUARTILES = ("smallest", "lower_quartile", "median", "upper_quartile", "largest")
_DELETED = (published("median, published"), measured("median, measured"))
_ORDERED = (
    published("median, published (recomputed)", 0),
    published("median, published (read off the figure)", 3),
    measured("median, measured", 0),
    Series("one order, measured", SKY, "circle"),
)
_COMMON = (
    "The digits are another data set than the paper's, and the CIFAR-10 network, trained by others, has half of the "
    "paper's units."
)


def figure_5a(sources: Sources) -> Figure:
    """The error by the number of deleted units."""
    paper = sources.published("veit2016")
    rows, missing = _published_deletions(paper["deletions"]), []
    runs = sum(paper["deletions"]["runs"])
    for setting, network, panel in _NETWORKS:
        found = sources.attempt(setting, network, "multiple_deletion")
        if isinstance(found, Lacking):
            missing.append(found)
            continue
        errors, numbers = pooled(found), np.asarray(found[0]["k"])
        for k in sorted({int(number) for number in numbers}):
            rows.append(
                {"panel": panel, "series": _DELETED[1].name, "network": network, "deleted": k}
                | _spread(errors[numbers == k])
            )
    frame = pd.DataFrame(rows)
    return Figure(
        "veit-fig5a",
        "veit2016",
        "The error rises with the number of deleted units",
        "Test error after deleting units drawn at random, never the first of a stage. Point: median over the draws; "
        f"thick bar: quartiles; thin line: smallest to largest. {_COMMON} Ours: 12 draws for each number, each "
        "tested on a third of the images: few for so wide a spread, so their medians jump.",
        _describe_5a(frame),
        (
            f"Published: {VEIT}, figure 5(a); recomputed from the authors' raw outputs ({runs} runs without "
            "modules 1, 19 and 37)",
            "Measured, digits: preact-54, committed checkpoint, multiple_deletion",
            "Measured, CIFAR-10: record of cifar10-public, resnet56, multiple_deletion",
        ),
        frame,
        beside([_spread_view(part, str(panel)) for panel, part in frame.groupby("panel", sort=False)], columns=4),
        gathered(missing),
    )


def figure_5b(sources: Sources) -> Figure:
    """The error by Kendall's tau of the order of the units."""
    reordering = sources.published("veit2016")["reordering"]
    rows: list[dict[str, Any]] = []
    for column, series in (("median", _ORDERED[0]), ("figure", _ORDERED[1])):
        for tau, error in zip(reordering["tau"], reordering[column], strict=True):
            rows.append(_order_row(_PANEL, series, "ResNet-110, pre-activation", tau, error))
    missing = []
    for setting, network, panel in _NETWORKS:
        found = sources.attempt(setting, network, "reordering")
        if isinstance(found, Lacking):
            missing.append(found)
            continue
        orders = [
            {"kendall_tau": float(tau), "error": float(error)}
            for tau, error in zip(np.asarray(found[0]["tau"]), pooled(found), strict=True)
        ]
        rows += [_order_row(panel, _ORDERED[3], network, one["kendall_tau"], one["error"], 1) for one in orders]
        rows += [_order_row(panel, _ORDERED[2], network, bin.middle, bin.median, bin.count) for bin in by_tau(orders)]
    frame = pd.DataFrame(rows)
    return Figure(
        "veit-fig5b",
        "veit2016",
        "The error rises as the order of the units is changed more",
        "Test error after exchanging 1 to 10 random pairs of units of one stage, by Kendall's tau of the resulting "
        "order "
        f"(1: kept). Medians are over bins of tau. {_COMMON}",
        _describe_5b(frame),
        (
            f"Published: {VEIT}, figure 5(b); medians recomputed from the authors' raw outputs (2,925 runs, bins of "
            "0.01), "
            "and as read off the figure (within 1 point)",
            "Measured, digits: preact-54, committed checkpoint, reordering",
            "Measured, CIFAR-10: record of cifar10-public, resnet56, reordering",
        ),
        frame,
        beside([_order_view(part, str(panel)) for panel, part in frame.groupby("panel", sort=False)], columns=4),
        gathered(missing),
    )


def pooled(found: Result) -> NDArray[np.float64]:
    """The error of each lesion in percent, over the images of all members."""
    wrong = np.concatenate([np.asarray(member["wrong"]) for member in found], axis=1)
    return np.asarray(100.0 * wrong.mean(axis=1))


def _spread(errors: NDArray[np.float64]) -> dict[str, Any]:
    values = np.percentile(errors, (0, 25, 50, 75, 100))
    found = {f"{name}_percent": float(value) for name, value in zip(_QUARTILES, values, strict=True)}
    return {"draws": len(errors), **found}


def _published_deletions(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for index, k in enumerate(table["k"]):
        row = {"panel": _PANEL, "series": _DELETED[0].name, "network": "ResNet-110, pre-activation", "deleted": k}
        found = {f"{name}_percent": float(table[name][index]) for name in _QUARTILES}
        rows.append({**row, "draws": table["runs"][index], **found})
    return rows


def _spread_view(frame: pd.DataFrame, title: str) -> Any:
    base = alt.Chart(frame)
    at = alt.X("deleted:Q", title="units deleted at random (number)").axis(format="d", tickMinStep=1, grid=False)
    at = at.scale(domain=[0, 21], nice=False)
    scale = alt.Scale(domain=[0, 100])
    y = alt.Y("median_percent:Q", title="test error (%)", scale=scale)
    tips = tooltips(
        network="network",
        deleted="deleted|d",
        draws="draws|d",
        smallest_percent="smallest (%)|.2f",
        lower_quartile_percent="lower quartile (%)|.2f",
        median_percent="median (%)|.2f",
        upper_quartile_percent="upper quartile (%)|.2f",
        largest_percent="largest (%)|.2f",
    )
    colour = colours(_DELETED)

    def rule(low: str, high: str, width: float) -> Any:
        return base.mark_rule(strokeWidth=width, opacity=0.55 if width > 2 else 0.8).encode(
            x=at,
            y=alt.Y(f"{low}_percent:Q", title="test error (%)", scale=scale),
            y2=alt.Y2(field=f"{high}_percent"),
            color=colour,
            tooltip=tips,
        )

    layers = (
        rule("smallest", "largest", 1),
        rule("lower_quartile", "upper_quartile", 5),
        lines(base, _DELETED, x=at, y=y),
        points(base, _DELETED, 30, x=at, y=y, tooltip=tips),
    )
    return alt.layer(*layers).properties(title=title, height=240)


def _order_row(
    panel: str, series: Series, network: str, tau: float, error: float, orders: int | None = None
) -> dict[str, Any]:
    return {
        "panel": panel,
        "series": series.name,
        "network": network,
        "kendall_tau": tau,
        "error_percent": error,
        "orders": orders,
    }


def _order_view(frame: pd.DataFrame, title: str) -> Any:
    at = alt.X("kendall_tau:Q", title="Kendall's tau of the order (1: kept)").scale(domain=[1.005, 0.72], nice=False)
    at = at.axis(grid=False, format=".2f", tickCount=5)
    y = alt.Y("error_percent:Q", title="test error (%)").scale(domain=[0, 100])
    tips = tooltips(
        network="network",
        series="shown",
        kendall_tau="Kendall's tau|.3f",
        error_percent="error (%)|.2f",
        orders="orders|d",
    )
    single = _ORDERED[3].name
    orders, medians = alt.Chart(frame[frame.series == single]), alt.Chart(frame[frame.series != single])
    layers = [
        points(orders, _ORDERED, 9, x=at, y=y, tooltip=tips),
        lines(medians, _ORDERED, x=at, y=y),
        points(medians, _ORDERED, 45, x=at, y=y, tooltip=tips),
    ]
    return alt.layer(*(layers if len(frame[frame.series == single]) else layers[1:])).properties(
        title=title, height=240
    )


def _describe_5a(frame: pd.DataFrame) -> str:
    parts = []
    for panel, part in frame.groupby("panel", sort=False):
        medians = dict(zip(part.deleted, part.median_percent, strict=True))
        told = [f"{medians[k]:.1f} % after {k}" for k in (1, 10, 20) if k in medians]
        parts.append(f"{panel}: median error {', '.join(told)}")
    return "Distribution of the test error by the number of deleted units. " + ". ".join(parts) + "."


def _describe_5b(frame: pd.DataFrame) -> str:
    parts = []
    for panel, part in frame[frame.series.isin([_ORDERED[0].name, _ORDERED[2].name])].groupby("panel", sort=False):
        ordered = part.sort_values("kendall_tau")
        low, high = ordered.iloc[0], ordered.iloc[-1]
        parts.append(
            f"{panel}: median error {high.error_percent:.1f} % at tau {high.kendall_tau:.3f}, "
            f"{low.error_percent:.1f} % at {low.kendall_tau:.3f}"
        )
    return "Test error by Kendall's tau of the order of the units. " + ". ".join(parts) + "."
