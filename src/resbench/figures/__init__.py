"""The papers' figures and resbench's own, drawn with Altair from measurements, beside the published numbers.

One specification serves the page, PNG and SVG; the tidy frame it is drawn from is the CSV.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from resbench.errors import UserError
from resbench.figures.model import Builder, Figure, Missing

if TYPE_CHECKING:
    from resbench.figures.sources import Sources

__all__ = ["FIGURES", "Figure", "Missing", "build", "check_name"]


def _builder(module: str, function: str) -> Builder:
    """A builder whose module, and with it altair and pandas, is imported when it is called."""

    def built(sources: Sources) -> Figure:
        builder: Builder = getattr(importlib.import_module(f"resbench.figures.{module}"), function)
        return builder(sources)

    return built


FIGURES: Final[Mapping[str, Builder]] = {
    "veit-fig3": _builder("veit_single", "figure_3"),
    "veit-fig5a": _builder("veit_draws", "figure_5a"),
    "veit-fig5b": _builder("veit_draws", "figure_5b"),
    "veit-fig6a": _builder("veit_lengths", "figure_6a"),
    "veit-fig6b": _builder("veit_paths", "figure_6b"),
    "veit-fig6c": _builder("veit_paths", "figure_6c"),
    "veit-fig7": _builder("veit_lengths", "figure_7"),
    "veit-fig8": _builder("veit_single", "figure_8"),
    "he-table1": _builder("he_tables", "table_1"),
    "he-table2": _builder("he_tables", "table_2"),
    "he-table3": _builder("he_tables", "table_3"),
    "he-curves": _builder("he_curves", "curves"),
    "huang-table1": _builder("huang", "table_1"),
    "huang-fig7": _builder("huang", "figure_7"),
    "huang-fig8": _builder("huang_heatmap", "figure_8"),
    "lesion-interactions": _builder("interactions", "interactions"),
    "kill-matrix": _builder("kill_matrix", "kill_matrix"),
    "throughput-blocks": _builder("throughput", "blocks"),
    "throughput-roofline": _builder("throughput", "roofline"),
    "throughput-hardware": _builder("throughput_hardware", "hardware"),
    "throughput-history": _builder("throughput_history", "throughput_history"),
}
"""Every figure by name, in the order of the page."""


def check_name(name: str) -> None:
    """Raises: UserError where there is no figure of this name, with the nearest."""
    if name not in FIGURES:
        close = difflib.get_close_matches(name, FIGURES, 1, 0.4)
        hint = f"did you mean {close[0]}? " if close else ""
        raise UserError(f"no figure {name!r}; {hint}`resbench figure --list` shows them all")


def build(name: str, sources: Sources) -> Figure:
    """Draw one figure.

    Raises:
        UserError: there is no figure of this name, or a record that it needs is damaged.
    """
    check_name(name)
    return FIGURES[name](sources)
