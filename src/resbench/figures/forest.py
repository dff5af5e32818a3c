"""Forest plots: a row for each network, the published error on its own axis and ours, of other images, on another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from resbench.figures.marks import Series, beside, interval_bars, points, tooltips
from resbench.figures.sources import Lacking, Sources
from resbench.statistics import wilson

__all__ = ["Row", "forest_chart", "forest_view", "measured_errors", "published_row"]

_FAILED = 20.0
"""Percent: the paper's "fail" is a test error above it."""

_NONE = "none"
"""A row without an error in a panel: neither published nor measured."""

_ROW, _APART = 21, 32
"""Pixels; of rows whose series stand above each other."""


@dataclass(frozen=True)
class Row:
    """A row of the table: its label, and the names of the network that is measured, by setting."""

    label: str
    networks: Mapping[str, str]


def published_row(
    panel: str, series: Series, label: str, network: str, error: float | str, images: int
) -> dict[str, Any]:
    """A published error; the paper's "fail" stands at 20 %, with a note."""
    failed = isinstance(error, str)
    return _row(panel, series.name, label, network) | {
        "error_percent": _FAILED if failed else float(error),
        "images": images,
        "note": "fail: above 20 %" if failed else "",
    }


def measured_errors(
    sources: Sources, setting: str, panel: str, series: Series, rows: Sequence[Row]
) -> tuple[list[dict[str, Any]], list[Lacking]]:
    """The test errors of the rows' networks in a setting with Wilson intervals over the images, and what is missing."""
    wanted = [(row, row.networks[setting]) for row in rows if setting in row.networks]
    sources.prepare(setting, [(network, "evaluation") for _, network in wanted])
    found, missing = [], []
    for row, network in wanted:
        result = sources.attempt(setting, network, "evaluation")
        if isinstance(result, Lacking):
            missing.append(result)
            continue
        wrong = np.concatenate([np.asarray(member["wrong"]).ravel() for member in result])
        low, high = wilson(int(wrong.sum()), wrong.size)
        found.append(
            _row(panel, series.name, row.label, network)
            | {
                "error_percent": 100.0 * float(wrong.mean()),
                "low_percent": 100 * low,
                "high_percent": 100 * high,
                "images": wrong.size,
            }
        )
    return found, missing


def _row(panel: str, series: str, label: str, network: str) -> dict[str, Any]:
    return {
        "panel": panel,
        "row": label,
        "series": series,
        "network": network,
        "error_percent": None,
        "low_percent": None,
        "high_percent": None,
        "images": None,
        "note": "",
    }


def forest_chart(
    frame: pd.DataFrame, labels: Sequence[str], series: Sequence[Series], axes: Mapping[str, alt.X], room: int
) -> Any:
    """The panels beside each other, with all rows in the same order in each; ``axes``: of each panel its x.

    ``room``: pixels for the labels of the rows.
    """
    views = [forest_view(frame[frame.panel == panel], panel, labels, series, x, room) for panel, x in axes.items()]
    return beside(views, columns=2, room=room + 30)


def forest_view(
    frame: pd.DataFrame,
    panel: str,
    labels: Sequence[str],
    series: Sequence[Series],
    x: alt.X,
    room: int,
    *,
    apart: bool = False,
) -> Any:
    """One panel; ``labels``: its rows, from the top.  ``apart``: series stand a little above each other."""
    base = alt.Chart(frame)
    y = (
        alt.Y("row:N", title=None)
        .scale(domain=list(labels))
        .axis(grid=True, labelLimit=room - 8, minExtent=room - 10, maxExtent=room - 10, labelOverlap=False)
    )
    tips = tooltips(
        network="network",
        error_percent="test error (%)|.2f",
        low_percent="from (%)|.2f",
        high_percent="to (%)|.2f",
        images="test images|,d",
        note="note",
    )
    high = alt.X2(field="high_percent")
    low = x.copy()
    low.shorthand = "low_percent:Q"
    places: dict[str, Any] = {"y": y}
    if apart:
        used = [one.name for one in series if one.name in set(frame.series)]
        places["yOffset"] = alt.YOffset("series:N").scale(domain=used)
    bars = interval_bars(base.transform_filter("isValid(datum.low_percent)"), series, x=low, x2=high, **places)
    failed = base.transform_filter("datum.note != ''").mark_text(
        text="fail: above 20 %", align="right", dx=-8, fontSize=10
    )
    layers: list[alt.Chart] = [bars, points(base, series, 55, x=x, tooltip=tips, **places), failed.encode(x=x, y=y)]
    empty = [label for label in labels if label not in set(frame.row)]
    if empty:
        none = alt.Chart(pd.DataFrame({"row": empty}))
        layers.append(
            none.mark_text(text=_NONE, align="left", dx=6, fontSize=10, opacity=0.65).encode(x=alt.value(0), y=y)
        )
    return alt.layer(*layers).properties(title=panel, height=(_APART if apart else _ROW) * len(labels))
