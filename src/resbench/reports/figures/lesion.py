"""What lesions do to a network, as figures 3 and 5 of Veit 2016 show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from resbench.reports.figures.draws import draw_duplicate, draw_multi, draw_reorder
from resbench.reports.figures.pairs import draw_pairs
from resbench.reports.figures.style import BLUE, GREY, INK, ORANGE, VERMILLION, WIDTH, headed, lettered, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["lesion_figure"]

_DRAWN = {"multi": draw_multi, "reorder": draw_reorder, "duplicate": draw_duplicate}
_PUBLISHED = {"single": "3", "multi": "5(a)", "reorder": "5(b)"}
_HEIGHT = {"single": 2.4, "draws": 2.5, "pairs": 5.0}
"""Inches."""


@styled
def lesion_figure(found: Mapping[str, Any]) -> Figure:
    """A panel for each mode that ``found`` has; ``found``: what ``resbench lesion --format json`` prints.

    The panels' labels (``axes.get_label()``) are the modes.

    Raises:
        UserError: matplotlib cannot be imported.
    """
    from matplotlib.figure import Figure

    draws = [mode for mode in _DRAWN if found.get(mode)]
    rows = [row for row in ("single", "draws", "pairs") if (draws if row == "draws" else found.get(row))]
    heights = [_HEIGHT[row] for row in rows]
    drawn = Figure(figsize=(WIDTH, sum(heights) + 0.55), layout="constrained")
    grid = drawn.add_gridspec(len(rows), 1, height_ratios=heights)
    letters = iter("abcde")
    for place, row in enumerate(rows):
        if row == "single":
            _single(drawn.add_subplot(grid[place]), found, next(letters))
        elif row == "draws":
            inner = grid[place].subgridspec(1, len(draws))
            for column, mode in enumerate(draws):
                _DRAWN[mode](drawn.add_subplot(inner[column]), found, next(letters))
        else:
            _pairs(drawn, grid[place], found, next(letters))
    low, high = found["baseline_interval"]
    title = f"{found['target']['name']}: {found['n_images']} images"
    headed(drawn, title, _note(found, low, high))
    return drawn


def _pairs(drawn: Figure, place: Any, found: Mapping[str, Any], letter: str) -> None:
    if not found.get("single"):
        draw_pairs(drawn.add_subplot(place), None, found, letter)
        return
    inner = place.subgridspec(2, 1, height_ratios=(1, 7), hspace=0.0)
    map_axes = drawn.add_subplot(inner[1])
    draw_pairs(map_axes, drawn.add_subplot(inner[0], sharex=map_axes), found, letter)


def _note(found: Mapping[str, Any], low: float, high: float) -> str:
    said = [f"Whole network: {found['baseline_error']:.2f} % (95 %: {low:.2f} to {high:.2f}); bars: 95 %."]
    if found.get("pairs"):
        said.append("Dots: differs from 0 (Holm, 5 %); light grey: not measured.")
    figures = [number for mode, number in _PUBLISHED.items() if found.get(mode)]
    if figures:
        said.append(f"\nAs in Veit, Wilber, Belongie 2016, arXiv:1605.06431v2, figure {', '.join(figures)}.")
    return "  ".join(said)


def _single(axes: Axes, found: Mapping[str, Any], letter: str) -> None:
    """Error of each unit's deletion with its interval; the kinds of units differ in colour and in shape."""
    units = found["units"]
    low, high = found["baseline_interval"]
    axes.axhspan(low, high, color=GREY, alpha=0.3, linewidth=0)
    axes.axhline(found["baseline_error"], color="black", linestyle="--", linewidth=0.8, label="whole network")
    for kind, (marker, colour) in _KINDS.items():
        own = [one for one in found["single"] if _kind(units[one["index"]]) == kind]
        if own:
            errors = [one["error"] for one in own]
            ends = [[max(one["error"] - one["interval"][0], 0) for one in own],
                    [max(one["interval"][1] - one["error"], 0) for one in own]]  # fmt: skip
            axes.errorbar([one["index"] + 1 for one in own], errors, ends, fmt=marker, color=colour, elinewidth=0.8,
                          markersize=4, label=kind)  # fmt: skip
    fixed = [unit["index"] + 1 for unit in units if not unit["deletable"]]
    if fixed:
        axes.plot(fixed, [0.0] * len(fixed), "x", color=INK, clip_on=False, label="not deletable")
    for unit in units:
        if unit["first_of_stage"] and unit["index"]:
            axes.axvline(unit["index"] + 0.5, color=INK, linewidth=0.6, linestyle=":")
    highest = max([one["interval"][1] for one in found["single"]] + [high])
    axes.set(xlim=(0.2, len(units) + 0.8), ylim=(0, 1.05 * highest), xlabel="deleted unit", ylabel="error (%)")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.0, handlelength=1.4)
    lettered(axes, "single", f"({letter}) deleting one unit")


_KINDS = {
    "downsampling": ("^", VERMILLION),
    "first of its stage": ("s", ORANGE),
    "other units": ("o", BLUE),
}


def _kind(unit: Mapping[str, Any]) -> str:
    if unit["downsampling"]:
        return "downsampling"
    return "first of its stage" if unit["first_of_stage"] else "other units"
