"""A figure as a file: SVG and PNG with title, caption and sources, CSV of its frame, JSON of everything."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape

from resbench.errors import NotMeasured, UserError
from resbench.figures.model import Figure
from resbench.figures.theme import Mode, palette, specification
from resbench.reports.words import clean

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMATS", "SCHEMA", "figure_csv", "figure_json", "figure_png", "figure_svg", "rendered"]

FORMATS: Final = ("svg", "png", "csv", "json")
SCHEMA: Final = "resbench.figure/1"

_WIDTH = 900
"""Pixels of the plots in a picture."""

_MARGIN, _LINE = 14, 16
_TITLE, _SMALL = 16.0, 11.5
"""Font sizes; a letter is about 0.52 of it wide."""

_LETTER = 0.52
_PNG_SCALE = 2.0


def rendered(figure: Figure, format: str, theme: Mode = "light") -> bytes:
    """``figure`` as one of ``FORMATS``.

    Raises:
        NotMeasured: a picture of a figure of which nothing is there; the message says what to run.
        UserError: an unknown format.
    """
    if format == "svg":
        return figure_svg(figure, theme).encode()
    if format == "png":
        return figure_png(figure, theme)
    if format == "csv":
        return figure_csv(figure).encode()
    if format == "json":
        return figure_json(figure, theme).encode()
    raise UserError(f"no format {format!r}: --format takes {', '.join(FORMATS)}")


def figure_csv(figure: Figure) -> str:
    """The frame: a line a mark, units in the columns' names, nothing rounded."""
    return str(figure.frame.to_csv(index=False, lineterminator="\n"))


def figure_json(figure: Figure, theme: Mode = "light") -> str:
    """All of the figure: words, rows (as in the CSV), what is missing, and the Vega-Lite specification."""
    content = {
        "schema": SCHEMA,
        "name": figure.name,
        "group": figure.group,
        "title": figure.title,
        "caption": figure.caption,
        "description": figure.description,
        "sources": list(figure.sources),
        "missing": [{"what": one.what, "command": one.command} for one in figure.missing],
        "rows": _rows(figure.frame),
        "vega_lite": None if figure.chart is None else specification(figure.chart, theme),
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Python's own numbers, None for what is not there."""
    found: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=15))
    return found


def figure_png(figure: Figure, theme: Mode = "light") -> bytes:
    """The picture of :func:`figure_svg`, twice as large."""
    import vl_convert

    return bytes(vl_convert.svg_to_png(figure_svg(figure, theme), scale=_PNG_SCALE))


def figure_svg(figure: Figure, theme: Mode = "light") -> str:
    """The chart under its title, above caption, sources and what is missing; the description is its alternative text.

    Raises:
        NotMeasured: nothing of it is there.
    """
    import vl_convert

    if figure.chart is None:
        wanted = "; ".join(f"{one.what}: {one.command}" for one in figure.missing) or "nothing is known of it"
        raise NotMeasured(f"{figure.name}: nothing to draw. {wanted}")
    drawn = vl_convert.vegalite_to_svg(specification(figure.chart, theme, width=_WIDTH))
    width, height = _size(drawn)
    whole = max(width, _WIDTH) + 2 * _MARGIN
    colour = palette(theme)
    title = list(_wrapped([figure.title], whole - 2 * _MARGIN, _TITLE))
    notes = list(_wrapped(_notes(figure), whole - 2 * _MARGIN, _SMALL))
    top = _MARGIN + (_LINE + 4) * len(title) + 6
    bottom = top + height + 12
    end = bottom + _LINE * len(notes) + _MARGIN
    lines = [
        _text(line, top - 10 - (_LINE + 4) * (len(title) - 1 - i), _TITLE, colour["text"], "bold")
        for i, line in enumerate(title)
    ]
    lines += [_text(line, bottom + _LINE * (i + 1) - 4, _SMALL, colour["muted"]) for i, line in enumerate(notes)]
    inner = re.sub(r"^<svg ", f'<svg x="{_MARGIN}" y="{top}" ', drawn, count=1)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole:g}" height="{end:g}" viewBox="0 0 {whole:g} {end:g}" '
        f'role="img" aria-labelledby="title description"><title id="title">{_safe(figure.title)}</title>'
        f'<desc id="description">{_safe(figure.description)}</desc>'
        f'<rect width="100%" height="100%" fill="{colour["background"]}"/>{inner}{"".join(lines)}</svg>\n'
    )


def _notes(figure: Figure) -> list[str]:
    missing = [f"Missing: {one.what}. `resbench figure --list` has the command." for one in figure.missing]
    return [figure.caption, *figure.sources, *missing]


def _size(svg: str) -> tuple[float, float]:
    found = re.match(r'<svg [^>]*?width="([\d.]+)" height="([\d.]+)"', svg)
    if found is None:
        raise ValueError("vl-convert's SVG does not begin with its size")
    return float(found[1]), float(found[2])


def _wrapped(texts: Sequence[str], width: float, size: float) -> Iterator[str]:
    import textwrap

    for text in texts:
        yield from textwrap.wrap(clean(text), int(width / (size * _LETTER)), break_long_words=True)


def _text(line: str, y: float, size: float, colour: str, weight: str = "normal") -> str:
    font = "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
    return (
        f'<text x="{_MARGIN}" y="{y:g}" font-family="{font}" font-size="{size:g}" font-weight="{weight}" '
        f'fill="{colour}">{_safe(line)}</text>'
    )


def _safe(text: str) -> str:
    return escape(clean(text))
