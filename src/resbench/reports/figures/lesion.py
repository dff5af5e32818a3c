"""What lesions do to a network, as figures 3 and 5 of Veit 2016 show it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from resbench.errors import NotMeasured
from resbench.reports.figures.draws import draw_duplicate, draw_multi, draw_reorder
from resbench.reports.figures.pairs import draw_pairs
from resbench.reports.figures.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    VERMILLION,
    WIDTH,
    headed,
    lettered,
    styled,
    whole_numbers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = ["lesion_figure"]

_DRAWN = {"multi": draw_multi, "reorder": draw_reorder, "duplicate": draw_duplicate}
_PUBLISHED = {"single": "3", "multi": "5(a)", "reorder": "5(b)"}
_HEIGHT = {"single": 1.9, "draws": 2.4, "pairs": 4.2}
"""Inches; all of them, with the title, fit on one page."""

_ALONE = 0.5
"""Of it the single deletions above the pairs."""


@styled
def lesion_figure(found: Mapping[str, Any]) -> Figure:
    """A panel for each mode that ``found`` has; ``found``: what ``resbench lesion --format json`` prints.

    The panels' labels (``axes.get_label()``) are the modes.

    Raises:
        UserError: matplotlib cannot be imported.
        NotMeasured: ``found`` has no lesion at all.
    """
    from matplotlib.figure import Figure

    draws = [mode for mode in _DRAWN if found.get(mode)]
    rows = [row for row in _HEIGHT if (draws if row == "draws" else found.get(row))]
    if not rows:
        raise NotMeasured("no figure: no lesion was measured")
    heights = [_HEIGHT[row] for row in rows]
    if rows[-1:] == ["pairs"] and not found.get("single"):
        heights[-1] -= _ALONE
    drawn = Figure(figsize=(WIDTH, sum(heights) + 0.55), layout="constrained")
    letters = iter("abcdef")
    parts = drawn.subfigures(len(rows), 1, height_ratios=heights, hspace=0.03, squeeze=False)[:, 0]
    for part, row in zip(parts, rows, strict=True):
        if row == "single":
            _single(part.subplots(), found, next(letters))
        elif row == "draws":
            _random(part, found, draws, letters)
        else:
            draw_pairs(part, found, letters)
    measured = f"{len(found['units'])} units, {found['n_images']} images"
    headed(drawn, found["target"]["name"], measured, _note(found))
    return drawn


def _note(found: Mapping[str, Any]) -> str:
    low, high = found["baseline_interval"]
    said = f"Whole network: {found['baseline_error']:.2f} % (95 %: {low:.2f} to {high:.2f})."
    if found.get("single"):
        said += "  Thin bars: 95 % intervals."
    if found.get("pairs"):
        said += "  Interaction: what both deletions cost, less what each costs alone."
    figures = [number for mode, number in _PUBLISHED.items() if found.get(mode)]
    if figures:
        named = f"figure{'s' if len(figures) > 1 else ''} {', '.join(figures)}"
        said += f"\nPanels as in Veit, Wilber, Belongie 2016, arXiv:1605.06431v2, {named}."
    return said


def _random(part: SubFigure, found: Mapping[str, Any], draws: list[str], letters: Iterator[str]) -> None:
    panels = part.subplots(1, len(draws), squeeze=False)[0]
    for axes, mode in zip(panels, draws, strict=True):
        _DRAWN[mode](axes, found, next(letters))
    part.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)


def _single(axes: Axes, found: Mapping[str, Any], letter: str) -> None:
    """Error of each unit's deletion with its interval; the kinds of units differ in colour and in shape."""
    units = found["units"]
    low, high = found["baseline_interval"]
    axes.axhspan(low, high, color=GREY, alpha=0.3, linewidth=0)
    axes.axhline(found["baseline_error"], color="black", linestyle="--", linewidth=0.8, label="whole network")
    for kind in _KINDS:
        _points(axes, found, kind)
    fixed = [unit["index"] + 1 for unit in units if not unit["deletable"]]
    for number in fixed:
        label = "not deletable" if number == fixed[0] else None
        axes.axvspan(number - 0.5, number + 0.5, facecolor="none", edgecolor=GREY, hatch="////", lw=0, label=label)
    for unit in units:
        if unit["first_of_stage"] and unit["index"]:
            axes.axvline(unit["index"] + 0.5, color=INK, linewidth=0.6, linestyle=":")
    highest = max([one["interval"][1] for one in found["single"]] + [high])
    axes.set(xlim=(0.2, len(units) + 0.8), xlabel="deleted unit", ylabel="error (%)")
    axes.set_ylim(-0.03 * highest, 1.05 * highest)  # what lies at 0 is seen whole
    whole_numbers(axes.xaxis, most=18)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=5, borderaxespad=0.0, handlelength=1.6)
    lettered(axes, "single", f"({letter}) deleting one unit")


def _points(axes: Axes, found: Mapping[str, Any], kind: str) -> None:
    own = [one for one in found["single"] if _kind(found["units"][one["index"]]) == kind]
    if not own:
        return
    ends = [
        [max(one["error"] - one["interval"][0], 0) for one in own],
        [max(one["interval"][1] - one["error"], 0) for one in own],
    ]
    marker, colour = _KINDS[kind]
    size = max(1.5, min(4.0, 240 / len(found["units"])))
    numbers, errors = [one["index"] + 1 for one in own], [one["error"] for one in own]
    axes.errorbar(numbers, errors, ends, fmt=marker, color=colour, elinewidth=0.8, markersize=size, label=kind)


_KINDS = {
    "downsampling": ("^", VERMILLION),
    "first of its stage": ("s", ORANGE),
    "other units": ("o", BLUE),
}


def _kind(unit: Mapping[str, Any]) -> str:
    if unit["downsampling"]:
        return "downsampling"
    return "first of its stage" if unit["first_of_stage"] else "other units"
