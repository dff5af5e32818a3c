"""What a figure is: its numbers, how they are drawn, where they come from, and what is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from resbench.figures.sources import Sources

__all__ = ["GROUPS", "Builder", "Figure", "Missing"]

GROUPS = ("veit2016", "he2016", "huang2016", "lesions", "throughput", "faults")


@dataclass(frozen=True)
class Missing:
    """``what`` is not there ("CIFAR-10, ResNet-110: not measured"), and the ``command`` that would measure it."""

    what: str
    command: str


@dataclass(frozen=True)
class Figure:
    """One figure of the report.

    ``name``: what `resbench figure` takes, and the anchor in the page.  ``caption``: what is shown, from how many
    networks and images, what the intervals are.  ``description``: the alternative text, with the main numbers.
    ``sources``: a line each, the paper's table or figure and which of our records.  ``frame``: tidy, one row a mark,
    the unit in the column's name; this is the CSV.  ``chart``: an ``altair`` chart without colours of text or
    background (:mod:`resbench.figures.theme` sets them); None where nothing at all is there.
    """

    name: str
    group: str
    title: str
    caption: str
    description: str
    sources: tuple[str, ...]
    frame: pd.DataFrame
    chart: Any | None
    missing: tuple[Missing, ...] = ()


Builder = Callable[["Sources"], Figure]
