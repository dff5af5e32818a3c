"""Figures as files: their bytes, their titles, and what hinders them."""

from __future__ import annotations

import builtins
import copy
import re
import sys
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import pytest
from lesion_samples import sweep
from matplotlib.backends.backend_agg import FigureCanvasAgg
from path_samples import spectrum

from resbench.errors import UserError
from resbench.reports.figures import check_figure, lesion_figure, paths_figure, save_figure


@pytest.mark.parametrize(
    ("suffix", "make"),
    [
        (".svg", lambda: lesion_figure(sweep())),
        (".pdf", lambda: lesion_figure(sweep(("single", "pairs")))),
        (".png", lambda: paths_figure(spectrum(method="sampled"))),
    ],
)
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
    with warnings.catch_warnings(action="ignore"):
        assert title.get_window_extent(FigureCanvasAgg(figure).get_renderer()).x1 < figure.bbox.x1


def test_drawing_leaves_matplotlib_as_it_was(tmp_path: Path) -> None:
    before = copy.deepcopy(dict(matplotlib.rcParams))
    save_figure(paths_figure(spectrum()), tmp_path / "figure.svg")
    assert dict(matplotlib.rcParams) == before


def test_a_figure_that_cannot_be_written_is_known_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"figure\.jpg: \.svg, \.png, \.pdf"):
        check_figure(tmp_path / "figure.jpg")
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(UserError, match="is a folder"):
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
