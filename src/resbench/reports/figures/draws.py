"""Panels of random lesions: error by how many units are changed, or by how much their order is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from resbench.reports.figures.style import BLUE, GREY, lettered, whole_numbers
from resbench.reports.lesion_summary import Spread, by_number, by_tau

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_duplicate", "draw_multi", "draw_reorder"]


def draw_multi(axes: Axes, found: Mapping[str, Any], letter: str) -> None:
    """Error by the number of deleted units."""
    lesions = found["multi"]
    _draw(axes, found, [one["k"] for one in lesions], lesions, by_number(lesions))
    axes.set_xlabel("units deleted at random")
    whole_numbers(axes.xaxis, most=6)
    lettered(axes, "multi", f"({letter}) deleting several units")


def draw_duplicate(axes: Axes, found: Mapping[str, Any], letter: str) -> None:
    """Error by the number of units that are applied twice."""
    lesions = found["duplicate"]
    _draw(axes, found, [one["k"] for one in lesions], lesions, by_number(lesions))
    axes.set_xlabel("units applied twice")
    whole_numbers(axes.xaxis, most=6)
    lettered(axes, "duplicate", f"({letter}) applying units twice")


def draw_reorder(axes: Axes, found: Mapping[str, Any], letter: str) -> None:
    """Error by Kendall's tau; the order that is kept stands on the left, as in the paper."""
    lesions = found["reorder"]
    _draw(axes, found, [one["kendall_tau"] for one in lesions], lesions, by_tau(lesions))
    axes.invert_xaxis()
    axes.set_xlabel("Kendall's tau of the order (1: kept)")
    lettered(axes, "reorder", f"({letter}) exchanging units")


def _draw(
    axes: Axes,
    found: Mapping[str, Any],
    severity: Sequence[float],
    lesions: Sequence[Mapping[str, Any]],
    spreads: Sequence[Spread],
) -> None:
    """Every lesion a faint dot, the medians a line, the quartiles a band, the whole network a dashed line."""
    errors = [one["error"] for one in lesions]
    # Thousands of dots are drawn as one picture: an SVG would take seconds to open.
    axes.scatter(
        severity, errors, s=7, color=GREY, alpha=0.45, linewidths=0, rasterized=len(errors) > 3000, label="one lesion"
    )
    at = [one.middle for one in spreads]
    axes.fill_between(
        at, [one.first_quartile for one in spreads], [one.third_quartile for one in spreads], color=BLUE, alpha=0.25,
        linewidth=0, label="quartiles",
    )  # fmt: skip
    axes.plot(at, [one.median for one in spreads], "o-", color=BLUE, label="median")
    axes.axhline(found["baseline_error"], color="black", linestyle="--", linewidth=0.8, label="whole network")
    highest = max([*errors, found["baseline_error"], 1e-3])
    axes.set_ylim(-0.03 * highest, 1.06 * highest)  # what lies at 0 is seen whole
    axes.set_ylabel("error (%)")
