"""What charts are made of: series told apart by colour and shape, panels beside each other, percent axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from resbench.figures.theme import BLUE, GREEN, PAPER, PURPLE, VERMILLION

__all__ = [
    "Series",
    "beside",
    "channels",
    "colours",
    "interval_bars",
    "lines",
    "measured",
    "points",
    "published",
    "tooltips",
]

_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE)
_SHAPES = ("circle", "triangle-up", "square", "diamond")


@dataclass(frozen=True)
class Series:
    """How the marks of one series look; ``name``: in the legend, and in the frame's column ``series``."""

    name: str
    colour: str
    shape: str
    filled: bool = True
    dash: tuple[int, ...] = ()


def published(name: str, order: int = 0) -> Series:
    """A series of published values: grey and hollow; ``order`` gives the shape."""
    return Series(name, PAPER, _SHAPES[order], filled=False, dash=(4, 3))


def measured(name: str, order: int = 0) -> Series:
    """A series of our measurements: coloured and filled."""
    return Series(name, _COLOURS[order], _SHAPES[order])


def channels(series: Sequence[Series], *, title: str | None = None) -> dict[str, Any]:
    """``fill``, ``stroke`` and ``shape`` by the column ``series``, with one legend for the three."""
    names = [one.name for one in series]
    return {
        "fill": alt.Fill("series:N", title=title).scale(
            domain=names, range=[one.colour if one.filled else "transparent" for one in series]
        ),
        "stroke": alt.Stroke("series:N", title=title).scale(domain=names, range=[one.colour for one in series]),
        "shape": alt.Shape("series:N", title=title).scale(domain=names, range=[one.shape for one in series]),
    }


def tooltips(**titled: str) -> list[alt.Tooltip]:
    """Tooltips of columns with what they are called; ``column="title|format"`` formats a number."""
    found = []
    for column, text in titled.items():
        title, _, form = text.partition("|")
        found.append(
            alt.Tooltip(field=column, type="quantitative", title=title, format=form)
            if form
            else alt.Tooltip(field=column, type="nominal", title=title)
        )
    return found


def points(base: alt.Chart, series: Sequence[Series], size: int = 42, **encoding: Any) -> Any:
    """A mark of its series for every row."""
    return base.mark_point(size=size, strokeWidth=1.4, opacity=1).encode(**channels(series), **encoding)


def colours(series: Sequence[Series]) -> Any:
    """The colour of a series' lines and bars: by conditions, since a scale of their own would take the points' "
    "legend."""
    first, *others = series
    chosen = alt.when(alt.datum.series == first.name).then(alt.value(first.colour))
    for one in others:
        chosen = chosen.when(alt.datum.series == one.name).then(alt.value(one.colour))
    return chosen


def interval_bars(base: alt.Chart, series: Sequence[Series], **encoding: Any) -> Any:
    """A thin bar for every interval."""
    return base.mark_rule(strokeWidth=1.2).encode(color=colours(series), **encoding)


def lines(base: alt.Chart, series: Sequence[Series], width: float = 1.0, **encoding: Any) -> Any:
    """A line for every series, that of published values dashed."""
    dashed = alt.FieldOneOfPredicate("series", [one.name for one in series if one.dash])
    dash = alt.when(dashed).then(alt.value([4, 3])).otherwise(alt.value([1, 0]))
    encoding = {"detail": "series:N", **encoding}
    return base.mark_line(strokeWidth=width).encode(color=colours(series), strokeDash=dash, **encoding)


def beside(views: Sequence[Any], *, columns: int = 2, room: int = 70, **shared: Any) -> Any:
    """Views side by side, ``room`` pixels each beside the plot; scales are shared where ``shared`` says so."""
    together = alt.concat(*views, columns=columns)
    scales: dict[str, Any] = {"fill": "shared", "stroke": "shared", "shape": "shared", **shared}
    return together.resolve_scale(**scales).properties(usermeta={"room": room})
