"""How figures look: colours, sizes, and a chart as a Vega-Lite specification for a page, a light or a dark picture.

A chart is either one view, or several side by side (a ``concat`` whose parts are single views).  A page gives single
views its own width; several views take what :func:`fitted` gives them, below each other where there is little room.
``fit.js`` does the same in a page.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping
from typing import Any, Literal

__all__ = [
    "BLUE",
    "GREEN",
    "NARROW",
    "PAPER",
    "PURPLE",
    "SKY",
    "VERMILLION",
    "YELLOW",
    "Mode",
    "fitted",
    "palette",
    "specification",
    "themed",
]

Mode = Literal["page", "light", "dark"]

# Okabe and Ito 2008: told apart by all kinds of colour vision.  The first four have a contrast of at least 3 with white
# and with the dark background.
BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, YELLOW = "#56B4E9", "#E69F00"
PAPER = "#808080"
"""Published values: always this grey, and hollow or dashed; ours are filled."""

NARROW = 640
"""Pixels; below, views stand below each other and legends have one column."""

_WIDE = 900
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_GAP = 24
_PLOT = 200
"""Pixels: with less, a plot beside others is too narrow."""

_PALETTES: Mapping[str, Mapping[str, str]] = {
    "page": {"text": "var(--fg)", "muted": "var(--muted)", "grid": "var(--grid)", "background": "transparent"},
    "light": {"text": "#1b1f24", "muted": "#57606a", "grid": "#d8dee4", "background": "#ffffff"},
    "dark": {"text": "#e6edf3", "muted": "#9da7b3", "grid": "#30363d", "background": "#0d1117"},
}
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"


def palette(mode: Mode) -> Mapping[str, str]:
    """``text``, ``muted``, ``grid`` and ``background`` of a mode; of a page its CSS variables."""
    return _PALETTES[mode]


def themed(chart: Any, mode: Mode = "page") -> Any:
    """The chart with the colours of ``mode``; its own configuration wins."""
    made = chart.copy(deep=True)
    made.config = _merged(_config(_PALETTES[mode]), made.to_dict().get("config", {}))
    made.background = _PALETTES[mode]["background"]
    return made


def specification(chart: Any, mode: Mode = "page", *, width: int | None = None) -> dict[str, Any]:
    """The Vega-Lite specification of a chart with the colours of ``mode``.

    ``width``: of the whole picture in pixels; None for a page, whose script calls ``fit.js``.
    """
    spec: dict[str, Any] = _plain(chart.to_dict())
    spec["config"] = _merged(_config(_PALETTES[mode]), spec.get("config", {}))
    spec["background"] = _PALETTES[mode]["background"]
    return spec if width is None else fitted(spec, width)


def _plain(value: Any) -> Any:
    """``value`` as JSON and SVG can hold it: what is not there is None, which altair 5 leaves a NaN.

    Names in records may hold anything; letters that no XML holds become spaces (at a NUL vl-convert ends the process).
    """
    if isinstance(value, dict):
        return {str(_plain(key)): _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, str):
        return _UNFIT.sub(" ", value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def fitted(spec: Mapping[str, Any], width: int) -> dict[str, Any]:
    """A specification for a picture ``width`` pixels wide; ``fit.js`` does the same.

    ``usermeta.room``: of a concat, the pixels that a view takes beside its plot; ``usermeta.most``: what a single view
    is not wider than.
    """
    made = copy.deepcopy(dict(spec))
    meta = made.get("usermeta", {})
    width = min(width, int(meta.get("most", width)))
    made.setdefault("config", {}).setdefault("legend", {})["columns"] = legend_columns(width)
    if "concat" not in made:
        return {**made, "width": width, "autosize": {"type": "fit-x", "contains": "padding"}}
    room = int(meta.get("room", 60))
    columns = max(1, min(int(made.get("columns", 2)), (width + _GAP) // (room + _PLOT + _GAP)))
    each = max((width - (columns - 1) * _GAP) // columns - room, 60)
    made["columns"] = columns
    for view in made["concat"]:
        view["width"] = each
    return made


def legend_columns(width: int) -> int:
    """How many entries of a legend stand beside each other."""
    return 1 if width < NARROW else 2 if width < _WIDE else 4


def _config(colour: Mapping[str, str]) -> dict[str, Any]:
    text, muted, grid = colour["text"], colour["muted"], colour["grid"]
    title = {"titleColor": text, "titleFontSize": 12, "titleFontWeight": "normal"}
    return {
        "font": _FONT,
        "axis": {
            "labelColor": muted,
            "labelFontSize": 11,
            "gridColor": grid,
            "domainColor": muted,
            "tickColor": muted,
            "labelLimit": 260,
            "labelOverlap": "greedy",
            "labelSeparation": 6,
            "labelFlush": False,
            **title,
        },
        "header": {"labelColor": text, "labelFontSize": 12, **title},
        "legend": {
            "orient": "top",
            "direction": "horizontal",
            "labelColor": text,
            "labelFontSize": 11,
            "labelLimit": 320,
            "symbolSize": 70,
            "symbolStrokeWidth": 1.5,
            **title,
        },
        "title": {"color": text, "fontSize": 12.5, "anchor": "start", "subtitleColor": muted, "fontWeight": "bold"},
        "text": {"color": text, "fontSize": 11},
        "rule": {"color": muted},
        "view": {"stroke": grid},
        "concat": {"spacing": _GAP},
    }


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` wins, table by table."""
    made = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(made.get(key), Mapping)
        made[key] = _merged(made[key], value) if both else value
    return made
