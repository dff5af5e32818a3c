"""Huang 2016, figure 8: the error by depth and survival probability."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from resbench.figures.marks import beside, tooltips
from resbench.figures.model import Figure
from resbench.figures.sources import HUANG, Lacking, Sources, gathered

__all__ = ["figure_8", "network_of"]

_DEPTHS = (20, 38, 56, 74, 92, 110)
_RECIPES = {(20, 0.9), (38, 0.9), (56, 0.8), (74, 0.8), (92, 0.7)}
"""Beside 1, 0.5 and all of 110 layers: the depth and p_L that networks of setting cifar10 have."""

_DIGITS = {(9, 1.0): "post-9", (9, 0.5): "post-9-stochastic", (54, 1.0): "post-54", (54, 0.5): "post-54-stochastic"}
_PUBLISHED, _MEASURED, _OURS = "CIFAR-10 (published)", "CIFAR-10 (measured)", "Digits (measured; another data set)"


def network_of(depth: int, p_last: float) -> str:
    """The network of setting cifar10 with this many layers and linear decay to ``p_last``; empty where there is "
    "none."""
    if p_last == 1.0:
        return f"resnet{depth}-constant"
    if p_last == 0.5:
        return f"resnet{depth}-stochastic"
    return f"resnet{depth}-stochastic-linear-{p_last:g}" if depth == 110 or (depth, p_last) in _RECIPES else ""


def figure_8(sources: Sources) -> Figure:
    """The heat map: published, ours on the same images where recorded, and the digits."""
    table = sources.published("huang2016")["figure_8_heatmap"]
    p_lasts = [float(p) for p in table["p_last"]]
    rows = [
        _row(_PUBLISHED, f"{depth} layers", p, f"ResNet-{depth}", float(error))
        for depth in _DEPTHS
        for p, error in zip(p_lasts, table[str(depth)], strict=True)
    ]
    lacking: list[Lacking] = []
    for depth in _DEPTHS:
        for p in p_lasts:
            network = network_of(depth, p)
            error = _error(sources, "cifar10", network, lacking) if network else None
            rows.append(_row(_MEASURED, f"{depth} layers", p, network, error, "" if network else "no recipe"))
    sources.prepare("digits", [(network, "evaluation") for network in _DIGITS.values()])
    rows += [
        _row(_OURS, f"{units} units", p, network, _error(sources, "digits", network, lacking))
        for (units, p), network in _DIGITS.items()
    ]
    frame = pd.DataFrame(rows)
    views = [_view(part, str(panel), p_lasts) for panel, part in frame.groupby("panel", sort=False)]
    best = (
        frame[frame.panel == _PUBLISHED]
        .sort_values("error_percent", kind="stable")
        .groupby("depth", sort=False)
        .first()
    )
    told = ", ".join(
        f"{depth}: {best.loc[depth].p_last:g} ({best.loc[depth].error_percent:.2f} %)"
        for depth in [f"{d} layers" for d in _DEPTHS]
    )
    ours = ", ".join(
        f"{row.depth}, p_L {row.p_last:g}: {row.error_percent:.2f} %"
        for row in frame[(frame.panel == _OURS) & frame.error_percent.notna()].itertuples()
    )
    return Figure(
        "huang-fig8",
        "huang2016",
        "The deeper the network, the more units may be skipped in training",
        "Test error by depth and by the last unit's survival probability p_L (linear decay; 1: constant depth). "
        "Colours are comparable within a row only: they go from the row's "
        "lowest error (yellow) to its highest (blue). A cross: not measured. The digits are another data set; of "
        "them four networks are trained.",
        f"Heat map. The paper's best p_L by depth: {told}. Digits: {ours}.",
        (
            f"Published: {HUANG}, figure 8, right",
            "Measured, digits: post-9, post-9-stochastic, post-54, post-54-stochastic, committed checkpoints, "
            "evaluation",
        ),
        frame,
        beside(views, columns=3, room=95),
        gathered(lacking),
    )


def _row(panel: str, depth: str, p: float, network: str, error: float | None, note: str = "") -> dict[str, Any]:
    note = note or ("" if error is not None else "not measured")
    return {"panel": panel, "depth": depth, "p_last": p, "network": network, "error_percent": error, "note": note}


def _error(sources: Sources, setting: str, network: str, lacking: list[Lacking]) -> float | None:
    found = sources.attempt(setting, network, "evaluation")
    if isinstance(found, Lacking):
        lacking.append(found)
        return None
    return 100.0 * float(np.concatenate([np.asarray(member["wrong"]).ravel() for member in found]).mean())


def _view(frame: pd.DataFrame, title: str, p_lasts: list[float]) -> Any:
    depths = list(dict.fromkeys(frame.depth))
    lowest = frame.groupby("depth").error_percent.transform("min")
    spread = frame.groupby("depth").error_percent.transform("max") - lowest
    shown = frame.assign(place=(frame.error_percent - lowest) / spread.where(spread > 0, 1.0))
    base = alt.Chart(shown)
    x = alt.X("p_last:O", title="survival probability p_L of the last unit").scale(domain=p_lasts).axis(labelAngle=0)
    y = alt.Y("depth:N", title=None).scale(domain=depths).axis(minExtent=60, maxExtent=60)
    tips = tooltips(depth="depth", p_last="p_L|.1f", network="network", error_percent="test error (%)|.2f", note="note")
    there = "isValid(datum.error_percent)"
    cells = (
        base.transform_filter(there)
        .mark_rect()
        .encode(
            x=x,
            y=y,
            tooltip=tips,
            color=alt.Color("place:Q", legend=None).scale(scheme="cividis", reverse=True, domain=[0, 1]),
        )
    )
    # The text's colour is that of the cell's contrast, in every theme: cells have the same colours in all.
    ink = alt.when(alt.datum.place > 0.55).then(alt.value("#ffffff")).otherwise(alt.value("#111111"))
    numbers = (
        base.transform_filter(there)
        .mark_text(fontSize=10.5)
        .encode(x=x, y=y, text=alt.Text("error_percent:Q", format=".2f"), color=ink, tooltip=tips)
    )
    none = (
        base.transform_filter(f"!{there}")
        .mark_text(text="\u00d7", fontSize=15, opacity=0.7)
        .encode(x=x, y=y, tooltip=tips)
    )
    return alt.layer(cells, numbers, none).properties(title=title, height=32 * len(depths))
