"""Figures: that what is drawn is what was measured, read back from the artists; and the files."""

from __future__ import annotations

import builtins
import copy
import math
import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from lesion_samples import MODES, sweep
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from path_samples import spectrum

from resbench.errors import UserError
from resbench.reports.figures import check_figure, lesion_figure, paths_figure, save_figure
from resbench.reports.lesion_summary import by_number, differing

PANELS = {
    "single": ["single"],
    "multi": ["multi"],
    "reorder": ["reorder"],
    "duplicate": ["duplicate"],
    "pairs": ["pairs", "pairs against sum"],
}


def panels(figure: Figure) -> dict[str, Axes]:
    """Those that are named, insets too; a colour scale is not."""
    every = [axes for part in figure.get_axes() for axes in (part, *part.child_axes)]
    return {str(axes.get_label()): axes for axes in every if axes.get_label() and "colorbar" not in axes.get_label()}


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
    found = spectrum(1200, longest=4, r=0.001)
    shares = heights(panels(paths_figure(found))["counts"].containers[0])
    assert shares == [pytest.approx(0.0)] * 5


@pytest.mark.parametrize("make", [lambda: lesion_figure(sweep()), lambda: paths_figure(spectrum(method="sampled"))])
@pytest.mark.parametrize("suffix", [".svg", ".pdf", ".png"])
def test_the_same_measurements_are_the_same_bytes(make: Any, suffix: str, tmp_path: Path) -> None:
    first, second = tmp_path / f"first{suffix}", tmp_path / "other" / f"second{suffix.upper()}"
    save_figure(make(), first)
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9, "svg.hashsalt": "another"}):
        save_figure(make(), second)
    assert first.read_bytes() == second.read_bytes()


def test_an_svg_is_xml_with_a_title_and_nothing_of_this_machine(tmp_path: Path) -> None:
    save_figure(lesion_figure(sweep()), tmp_path / "figure.svg")
    text = (tmp_path / "figure.svg").read_text()
    root = ElementTree.fromstring(text)
    assert root.findtext("{http://www.w3.org/2000/svg}title") == "resnet20: 9 units, 1000 images"
    assert "dc:date" not in text
    assert not re.search(r"\b20\d\d-\d\d-\d\d", text)
    for place in (tmp_path, Path.home(), Path(sys.prefix), Path(matplotlib.__file__).parent):
        assert str(place) not in text or str(place) == "/"


@pytest.mark.parametrize("name", ["a$b$c", "$\\frac{", "網絡:build", "long" * 60, "two\nlines\x1b[0m"])
def test_any_name_makes_a_title_within_the_figure(name: str, tmp_path: Path) -> None:
    found = sweep(("single",))
    found["target"]["name"] = name
    figure = lesion_figure(found)
    save_figure(figure, tmp_path / "named.png")
    assert figure.get_suptitle().endswith(": 9 units, 1000 images")
    title = figure._suptitle  # type: ignore[attr-defined]
    assert title.get_window_extent().x1 < figure.bbox.x1


def test_drawing_leaves_matplotlib_as_it_was(tmp_path: Path) -> None:
    before = copy.deepcopy(dict(matplotlib.rcParams))
    save_figure(paths_figure(spectrum()), tmp_path / "figure.svg")
    assert dict(matplotlib.rcParams) == before
    assert math.isclose(matplotlib.rcParams["font.size"], before["font.size"])


def test_a_figure_that_cannot_be_written_is_known_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"figure\.jpg: \.svg, \.png, \.pdf"):
        check_figure(tmp_path / "figure.jpg")
    with pytest.raises(UserError, match="is a folder"):
        (tmp_path / "folder.svg").mkdir()
        check_figure(tmp_path / "folder.svg")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        check_figure(tmp_path / "file" / "figure.svg")
    check_figure(tmp_path / "new" / "figure.svg")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_broken_matplotlib_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError("libfreetype.so.6: cannot open shared object file")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"needs matplotlib \(libfreetype.*pip install"):
        check_figure(tmp_path / "figure.svg")
