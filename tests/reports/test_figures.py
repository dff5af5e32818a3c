"""Figures: that what is drawn is what was measured, read back from the artists; and the files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lesion_samples import MODES, sweep
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from path_samples import spectrum

from resbench.errors import NotMeasured
from resbench.reports.figures import lesion_figure, paths_figure, save_figure
from resbench.reports.lesion_summary import by_number, differing

PANELS = {
    "single": ["single"],
    "multi": ["multi"],
    "reorder": ["reorder"],
    "duplicate": ["duplicate"],
    "pairs": ["pairs", "pairs against sum"],
}


def panels(figure: Figure) -> dict[str, Axes]:
    """By name, insets too; the colours' scale is none."""
    every = [axes for part in figure.get_axes() for axes in (part, *part.child_axes)]
    return {str(axes.get_label()): axes for axes in every if axes.get_label() != "scale"}


def of_kind(axes: Axes, kind: type) -> list[Any]:
    return [artist for artist in (*axes.containers, *axes.collections) if isinstance(artist, kind)]


def heights(bars: Any) -> list[float]:
    return [float(bar.get_height()) for bar in bars]


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_that_was_not_measured_has_no_panel(mode: str) -> None:
    figure = lesion_figure(sweep((mode,)))
    assert list(panels(figure)) == PANELS[mode]
    assert all(axes.has_data() for axes in figure.get_axes())


def test_every_mode_has_its_panel_and_its_letter() -> None:
    shown = panels(lesion_figure(sweep()))
    assert sorted(shown) == sorted([*(name for names in PANELS.values() for name in names), "pairs alone"])
    titles = [axes.get_title(loc="left") for axes in shown.values()]
    assert sorted(title[:3] for title in titles if title) == ["(a)", "(b)", "(c)", "(d)", "(e)", "(f)"]


def test_the_single_panel_has_each_error_and_interval_by_the_kind_of_its_unit() -> None:
    found = sweep(("single",))
    axes = panels(lesion_figure(found))["single"]
    drawn = {}
    for container in of_kind(axes, ErrorbarContainer):
        line, _, (bars,) = container
        ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
        for x, y, interval in zip(*line.get_data(), ends, strict=True):
            drawn[int(x) - 1] = (container.get_label(), float(y), interval)
    kinds = {0: "first of its stage", 3: "downsampling", 6: "downsampling"}
    assert drawn == {
        one["index"]: (kinds.get(one["index"], "other units"), one["error"], pytest.approx(one["interval"]))
        for one in found["single"]
    }
    assert axes.get_legend_handles_labels()[1].count("not deletable") == 1
    lines = [line for line in axes.get_lines() if line.get_label() == "whole network"]
    assert list(lines[0].get_ydata()) == [6.61, 6.61]
    borders = [line.get_xdata()[0] for line in axes.get_lines() if line.get_linestyle() == ":"]
    assert borders == [3.5, 6.5]


@pytest.mark.parametrize(("mode", "severity"), [("multi", "k"), ("duplicate", "k"), ("reorder", "kendall_tau")])
def test_random_lesions_are_drawn_one_by_one_with_their_medians(mode: str, severity: str) -> None:
    found = sweep((mode,))
    axes = panels(lesion_figure(found))[mode]
    (dots,) = of_kind(axes, PathCollection)
    assert np.asarray(dots.get_offsets()).tolist() == [[one[severity], one["error"]] for one in found[mode]]
    median = next(line for line in axes.get_lines() if line.get_label() == "median")
    if severity == "k":
        spreads = by_number(found[mode])
        assert list(median.get_xdata()) == [1, 2, 3]
        assert list(median.get_ydata()) == [one.median for one in spreads]
    left, right = axes.get_xlim()
    assert (left > right) == (mode == "reorder"), "the order that is kept stands on the left"


def test_the_map_is_symmetric_around_zero_and_grey_where_nothing_was_measured() -> None:
    found = sweep(("pairs",))
    axes = panels(lesion_figure(found))["pairs"]
    (image,) = axes.get_images()
    shown = np.ma.filled(np.ma.asarray(image.get_array()), np.nan)
    expected = np.full((9, 9), np.nan)
    for one in found["pairs"]:
        i, j = one["units"]
        expected[i, j] = expected[j, i] = one["interaction"]
    np.testing.assert_array_equal(shown, expected)
    assert np.isnan(shown[4]).all()
    low, high = image.get_clim()
    assert low == -high
    left, right, bottom, top = image.get_extent()
    assert (left, right, bottom, top) == (0.5, 9.5, 9.5, 0.5), "the first row is unit 1, at the top"


def test_dots_are_on_the_pairs_that_differ_from_zero() -> None:
    found = sweep(("pairs",), seed=1)
    found["pairs"][0].update(interaction=30.0, interaction_interval=[29.0, 31.0])
    axes = panels(lesion_figure(found))["pairs"]
    dots = {(round(x), round(y)) for part in of_kind(axes, PathCollection) for x, y in np.asarray(part.get_offsets())}
    chosen = [one["units"] for one, differs in zip(found["pairs"], differing(found["pairs"]), strict=True) if differs]
    assert 0 < len(chosen) < len(found["pairs"])
    assert dots == {(i + 1, j + 1) for i, j in chosen} | {(j + 1, i + 1) for i, j in chosen}


def test_both_deletions_stand_against_the_sum_of_each() -> None:
    found = sweep(("single", "pairs"))
    shown = panels(lesion_figure(found))
    (dots,) = of_kind(shown["pairs against sum"], PathCollection)
    x, y = np.asarray(dots.get_offsets()).T
    assert y.tolist() == [one["delta"] for one in found["pairs"]]
    assert (y - x).tolist() == pytest.approx([one["interaction"] for one in found["pairs"]])
    assert heights(shown["pairs alone"].patches) == pytest.approx([one["delta"] for one in found["single"]])


@pytest.mark.parametrize(("n", "pairs"), [(1, 0), (2, 1), (3, 3)])
def test_few_units_make_a_figure(n: int, pairs: int, tmp_path: Path) -> None:
    found = sweep(("single", "reorder", "pairs"), n=n, fixed=())
    assert len(found["pairs"]) == pairs
    figure = lesion_figure(found)
    assert ("pairs" in panels(figure)) == (pairs > 0)
    save_figure(figure, tmp_path / "few.png")


def test_nothing_measured_is_no_figure() -> None:
    with pytest.raises(NotMeasured, match="no lesion was measured"):
        lesion_figure(sweep(("single", "pairs"), fixed=tuple(range(9))))


def test_no_interaction_at_all_can_be_drawn(tmp_path: Path) -> None:
    found = sweep(("pairs",))
    for one in found["pairs"]:
        one.update(interaction=0.0, interaction_interval=[0.0, 0.0])
    save_figure(lesion_figure(found), tmp_path / "none.svg")


def test_paths_have_the_papers_three_panels() -> None:
    found = spectrum()
    shown = panels(paths_figure(found))
    assert list(shown) == ["counts", "one path", "all paths"]
    assert heights(shown["counts"].containers[0]) == pytest.approx([100 * c / 2**12 for c in found["path_count"]])
    bars = next(one for one in shown["all paths"].containers if not isinstance(one, ErrorbarContainer))
    assert heights(bars) == found["gradient_norm_of_length"]
    (points,) = of_kind(shown["one path"], ErrorbarContainer)
    assert list(points[0].get_ydata()) == found["gradient_norm_per_path"]
    assert shown["one path"].get_yscale() == "log"
    for axes in shown.values():
        assert [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches[:1]] == [(-0.5, 5.5)]


def test_the_line_of_r_is_the_law_and_is_named_with_its_interval() -> None:
    found = spectrum(r=0.25)
    axes = panels(paths_figure(found))["one path"]
    line = axes.get_lines()[-1]
    assert list(line.get_ydata()) == pytest.approx(found["gradient_norm_per_path"])
    assert line.get_label() == "r = 0.25 a unit\n(95 %: 0.225 to 0.275)"


def test_an_interval_on_the_logarithmic_axis_never_reaches_zero() -> None:
    found = spectrum()
    found["standard_error"]["gradient_norm_per_path"] = [9 * norm for norm in found["gradient_norm_per_path"]]
    (points,) = of_kind(panels(paths_figure(found))["one path"], ErrorbarContainer)
    assert all(segment[0, 1] > 0 for segment in points[2][0].get_segments())


def test_longer_paths_taken_together_are_one_hatched_bar() -> None:
    found = spectrum(longest=3)
    figure = paths_figure(found)
    axes = panels(figure)["all paths"]
    last = axes.containers[-1]
    assert (last.get_label(), heights(last)) == ("longer than 3", [found["longer"]["gradient_norm"]])
    assert axes.get_ylim()[1] > found["longer"]["gradient_norm"]
    assert "lengths 0 and more hold 95 %" in figure.get_supxlabel()


def test_what_cannot_be_told_is_left_out(tmp_path: Path) -> None:
    found = spectrum(3)
    found["r"] = {"value": None, "interval": None, "r_squared": None}
    found["gradient_norm_per_path"][2] = found["gradient_norm_of_length"][2] = 0.0
    found["standard_error"] = {key: [None] * 4 for key in found["standard_error"]}
    figure = paths_figure(found)
    (points,) = of_kind(panels(figure)["one path"], ErrorbarContainer)
    assert list(points[0].get_xdata()) == [0, 1, 3]
    save_figure(figure, tmp_path / "few.svg")


def test_more_paths_than_a_float_can_count_are_drawn() -> None:
    found = spectrum(4)
    found["n_units"], found["path_count"] = 1200, [math.comb(1200, k) for k in (0, 500, 600, 700, 1200)]
    shares = heights(panels(paths_figure(found))["counts"].containers[0])
    assert shares[2] == pytest.approx(100 * math.sqrt(2 / (math.pi * 1200)), rel=1e-3)
    assert shares[1] == shares[3]
    assert shares[0] == 0
