"""How every figure looks: sizes for a printed page, colours that the colour-blind and a grey print tell apart."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from resbench.errors import UserError
from resbench.reports.words import clean, cut

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = ["BLUE", "GREY", "INK", "ORANGE", "VERMILLION", "WIDTH", "headed", "lettered", "styled", "whole_numbers"]

# Okabe and Ito 2008: told apart by all kinds of colour vision.
BLUE, ORANGE, VERMILLION = "#0072B2", "#E69F00", "#D55E00"
GREY, INK = "#999999", "#222222"

WIDTH = 7.2
"""Inches: the two columns of a conference page."""

_NAME = 48
"""Characters of a network's name: with the rest of the title they fit into the width."""

_STYLE = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": 8,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8.5,
    "figure.dpi": 100,
    "font.size": 8,
    "hatch.linewidth": 0.6,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "pdf.fonttype": 42,  # TrueType, as journals want it
    "savefig.dpi": 200,
    "svg.hashsalt": "resbench",  # ids that are the same in every run
    "text.color": INK,
    "xtick.color": INK,
    "xtick.labelsize": 7,
    "ytick.color": INK,
    "ytick.labelsize": 7,
}

P = ParamSpec("P")
R = TypeVar("R")


def _style() -> AbstractContextManager[Any]:
    """matplotlib's defaults with ours: a figure does not depend on the user's own settings.

    Raises:
        UserError: matplotlib cannot be imported.
    """
    try:
        from matplotlib import style
    except ImportError as error:
        reason = clean(error)
        raise UserError(f"--figure needs matplotlib ({reason}): pip install --upgrade 'matplotlib>=3.9'") from error
    return style.context(["default", _STYLE])


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Run ``function`` under the style; nothing of it is left after."""

    @functools.wraps(function)
    def under(*args: P.args, **kwargs: P.kwargs) -> R:
        with _style():
            return function(*args, **kwargs)

    return under


def headed(figure: Figure, name: str, measured: str, note: str) -> None:
    """A bold title, ``name: measured``, and under the panels small lines that explain them."""
    text = figure.suptitle(f"{cut(clean(name), _NAME)}: {measured}", fontsize=9.5, fontweight="bold", x=0.01, ha="left")
    text.set_parse_math(False)  # a name may hold a dollar
    figure.supxlabel(note, fontsize=6.5, color="#555555", x=0.01, ha="left")


def lettered(axes: Axes, name: str, title: str, *, raised: bool = False) -> None:
    """A panel's title; ``name`` is what programs find it by (``axes.get_label()``).

    ``raised``: with room for a power of ten under it, in every panel of a row alike.
    """
    axes.set_label(name)
    axes.set_title(title, loc="left", y=1.0 if raised else None, pad=13.0 if raised else None)


def whole_numbers(axis: Axis, most: int = 9) -> None:
    """Ticks at whole numbers only, at most about ``most``: there is no unit 2.5."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=most, steps=[1, 2, 5, 10], integer=True))
