"""The panels of the pairs: how far two deletions together are from the sum of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resbench.reports.figures.style import BLUE, INK, lettered, whole_numbers
from resbench.reports.lesion_summary import differing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure
    from matplotlib.image import AxesImage

__all__ = ["draw_pairs", "interaction_matrix"]

_UNMEASURED, _DIAGONAL = "#D4D4D4", "#8C8C8C"
_SHOWN = 99.0
"""Percentile of the sizes where the colours end: one pair must not make all others white."""

_DARK = 0.6
"""Of the colours' end: from there on black is not seen."""


def interaction_matrix(found: Mapping[str, Any]) -> NDArray[np.float64]:
    """Symmetric ``(units, units)`` in points; NaN on the diagonal and where a pair was not measured."""
    n = len(found["units"])
    matrix = np.full((n, n), np.nan)
    for one in found["pairs"]:
        i, j = one["units"]
        matrix[i, j] = matrix[j, i] = one["interaction"]
    return matrix


def draw_pairs(part: SubFigure, found: Mapping[str, Any], letters: Iterator[str]) -> None:
    """The interactions as a map around 0, and what both deletions cost against the sum of each alone."""
    left, right = part.subplots(1, 2, width_ratios=(11, 9))
    _map(left, found, next(letters))
    _against_sum(right, found, next(letters))
    n = len(found["units"])
    _legend(part, complete=len(found["pairs"]) == n * (n - 1) // 2)


def _map(axes: Axes, found: Mapping[str, Any], letter: str) -> None:
    """A dot where the interaction differs from 0; above it what each unit costs alone."""
    matrix = interaction_matrix(found)
    n = len(matrix)
    sizes = np.abs(matrix[np.isfinite(matrix)])
    most = float(np.percentile(sizes, _SHOWN)) or float(sizes.max()) or 1.0
    image = axes.imshow(
        np.ma.masked_invalid(matrix), cmap="PuOr_r", vmin=-most, vmax=most, extent=(0.5, n + 0.5, n + 0.5, 0.5),
        interpolation="nearest",
    )  # fmt: skip
    axes.set_facecolor(_UNMEASURED)
    _diagonal(axes, n)
    _dots(axes, found, n, most)
    for unit in found["units"]:
        if unit["first_of_stage"] and unit["index"]:
            axes.axhline(unit["index"] + 0.5, color=INK, linewidth=0.6, linestyle=":")
            axes.axvline(unit["index"] + 0.5, color=INK, linewidth=0.6, linestyle=":")
    axes.set(xlabel="deleted unit", ylabel="deleted unit", xlim=(0.5, n + 0.5), ylim=(n + 0.5, 0.5), anchor="SW")
    whole_numbers(axes.xaxis)
    whole_numbers(axes.yaxis)
    _scale(axes, image, beyond=bool(sizes.max() > most))
    title = f"({letter}) deleting two units"
    if found.get("single"):
        lettered(axes, "pairs", "")
        lettered(_alone(axes, found), "pairs alone", title)
    else:
        lettered(axes, "pairs", title)


def _against_sum(axes: Axes, found: Mapping[str, Any], letter: str) -> None:
    """On the diagonal two deletions do not depend on each other."""
    both = [one["delta"] for one in found["pairs"]]
    sums = [one["delta"] - one["interaction"] for one in found["pairs"]]
    axes.scatter(sums, both, s=7, color=BLUE, alpha=0.45, linewidths=0, rasterized=len(both) > 3000)
    ends = [min(*sums, *both), max(*sums, *both)]
    axes.plot(ends, ends, color="black", linestyle="--", linewidth=0.8)
    axes.set(xlabel="sum of each alone (points)", ylabel="both together (points)", box_aspect=1, anchor="S")
    lettered(axes, "pairs against sum", f"({letter}) both against their sum")


def _diagonal(axes: Axes, n: int) -> None:
    from matplotlib.patches import Rectangle

    for number in range(1, n + 1):
        axes.add_patch(Rectangle((number - 0.5, number - 0.5), 1, 1, color=_DIAGONAL, linewidth=0))


def _dots(axes: Axes, found: Mapping[str, Any], n: int, most: float) -> None:
    """On both halves of the map, as large as a third of a cell; white on the dark colours."""
    chosen = [one for one, differs in zip(found["pairs"], differing(found["pairs"]), strict=True) if differs]
    numbers = np.array([one["units"] for one in chosen], dtype=int).reshape(-1, 2) + 1
    colours = ["white" if abs(one["interaction"]) > _DARK * most else "black" for one in chosen]
    size = min(9.0, (70 / n) ** 2)
    for x, y in (numbers.T, numbers.T[::-1]):
        axes.scatter(x, y, s=size, c=colours, linewidths=0)


def _scale(axes: Axes, image: AxesImage, *, beyond: bool) -> None:
    assert axes.figure is not None
    # Inset: as high as the map is once its cells are squares.
    bar = axes.figure.colorbar(image, cax=axes.inset_axes((1.03, 0, 0.04, 1)), extend="both" if beyond else "neither")
    bar.set_label("interaction (points)")
    bar.ax.set_label("scale")


def _legend(part: SubFigure, *, complete: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], color="black", marker="o", markersize=3, linestyle="", label="differs from 0 (Holm, 5 %)"),
        Patch(color=_DIAGONAL, label="the unit itself"),
        Line2D([], [], color="black", linestyle="--", linewidth=0.8, label="no interaction"),
    ]
    if not complete:
        handles.insert(2, Patch(color=_UNMEASURED, label="not measured"))
    part.legend(handles=handles, loc="outside lower center", ncols=4)


def _alone(axes: Axes, found: Mapping[str, Any]) -> Axes:
    above = axes.inset_axes((0, 1.03, 1, 0.14), sharex=axes)
    above.bar([one["index"] + 1 for one in found["single"]], [one["delta"] for one in found["single"]], color=_DIAGONAL)
    above.axhline(0, color=INK, linewidth=0.6)
    above.set_ylabel("alone\n(points)")
    above.tick_params(labelbottom=False)
    return above
