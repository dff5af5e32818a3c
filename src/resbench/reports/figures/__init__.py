"""Figures for papers: lesions and paths, drawn from the dictionaries that the commands print as JSON."""

from __future__ import annotations

from resbench.reports.figures.lesion import lesion_figure
from resbench.reports.figures.paths import paths_figure
from resbench.reports.figures.saving import check_figure, save_figure

__all__ = ["check_figure", "lesion_figure", "paths_figure", "save_figure"]
