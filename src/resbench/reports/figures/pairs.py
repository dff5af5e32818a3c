"""The panel of the pairs: how far two deletions together are from the sum of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resbench.reports.figures.style import INK, lettered
from resbench.reports.lesion_summary import differing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_pairs", "interaction_matrix"]

_UNMEASURED, _DIAGONAL = "#D4D4D4", "#8C8C8C"
_SHOWN = 99.0
"""Percentile of the sizes where the colours end: one pair must not make all others white."""


def interaction_matrix(found: Mapping[str, Any]) -> NDArray[np.float64]:
    """Symmetric ``(units, units)`` in points; NaN on the diagonal and where a pair was not measured."""
    n = len(found["units"])
    matrix = np.full((n, n), np.nan)
    for one in found["pairs"]:
        i, j = one["units"]
        matrix[i, j] = matrix[j, i] = one["interaction"]
    return matrix


def draw_pairs(axes: Axes, alone: Axes | None, found: Mapping[str, Any], letter: str) -> None:
    """The matrix as a map around 0; a dot where it differs from 0; above it, on ``alone``, what each unit costs."""
    matrix = interaction_matrix(found)
    n = len(matrix)
    sizes = np.abs(matrix[np.isfinite(matrix)])
    most = float(np.percentile(sizes, _SHOWN)) or float(sizes.max()) or 1.0
    # Cell (i, j) is centred on the units' numbers.
    image = axes.imshow(
        np.ma.masked_invalid(matrix), cmap="PuOr_r", vmin=-most, vmax=most, extent=(0.5, n + 0.5, n + 0.5, 0.5),
        interpolation="nearest", aspect="auto",
    )  # fmt: skip
    axes.set_facecolor(_UNMEASURED)
    numbers = np.arange(1, n + 1)
    for number in numbers:
        corner = (number - 0.5, number - 0.5)
        axes.add_patch(_square(corner))
    _dots(axes, found, n)
    for border in _borders(found):
        axes.axhline(border, color=INK, linewidth=0.6, linestyle=":")
        axes.axvline(border, color=INK, linewidth=0.6, linestyle=":")
    axes.set(xlabel="deleted unit", ylabel="deleted unit", xlim=(0.5, n + 0.5), ylim=(n + 0.5, 0.5))
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_major_locator().set_params(integer=True)
    beyond = "both" if sizes.max() > most else "neither"
    assert axes.figure is not None
    bar = axes.figure.colorbar(image, ax=axes, extend=beyond, fraction=0.05, pad=0.02)
    bar.set_label("interaction (points): both together, less each alone")
    bar.outline.set_linewidth(0.5)  # type: ignore[operator]
    title = f"({letter}) deleting two units"
    lettered(axes, "pairs", title if alone is None else "")
    if alone is not None:
        _alone(alone, found)
        lettered(alone, "pairs alone", title)


def _square(corner: tuple[float, float]) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(corner, 1, 1, color=_DIAGONAL, linewidth=0)


def _dots(axes: Axes, found: Mapping[str, Any], n: int) -> None:
    """Both halves of the map, as large as a third of a cell."""
    chosen = [one["units"] for one, differs in zip(found["pairs"], differing(found["pairs"]), strict=True) if differs]
    x = [i + 1 for i, j in chosen] + [j + 1 for i, j in chosen]
    y = [j + 1 for i, j in chosen] + [i + 1 for i, j in chosen]
    axes.scatter(x, y, s=min(12.0, (90 / n) ** 2), color="black", linewidths=0, label="differs from 0")


def _borders(found: Mapping[str, Any]) -> list[float]:
    units = found["units"]
    return [unit["index"] + 0.5 for unit in units if unit["first_of_stage"] and unit["index"]]


def _alone(axes: Axes, found: Mapping[str, Any]) -> None:
    axes.bar([one["index"] + 1 for one in found["single"]], [one["delta"] for one in found["single"]], color=_DIAGONAL)
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.set_ylabel("alone\n(points)")
    axes.tick_params(labelbottom=False)
