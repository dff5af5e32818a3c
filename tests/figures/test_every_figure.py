"""What every figure has: rows or a command, words, axes with titles, tooltips."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from figure_fakes import built

from resbench.figures import FIGURES
from resbench.figures.export import figure_csv, figure_json
from resbench.figures.model import GROUPS, Figure
from resbench.figures.theme import PAPER, specification


@pytest.fixture(params=list(FIGURES))
def figure(request: pytest.FixtureRequest) -> Figure:
    return built(str(request.param))


def test_it_says_what_it_is_and_where_it_is_from(figure: Figure) -> None:
    assert figure.group in GROUPS
    for text in (figure.title, figure.caption, figure.description, *figure.sources):
        assert len(text) > 15
        assert "nan" not in text.lower().split(), text
    assert figure.sources


def test_it_has_data_or_says_which_command_would_make_them(figure: Figure) -> None:
    assert (figure.chart is not None and len(figure.frame) > 0) or figure.missing
    for one in figure.missing:
        assert one.what
        assert one.command.split()[0] in ("resbench", "pip"), one.command


def test_every_axis_has_a_title_and_every_mark_of_data_a_tooltip(figure: Figure) -> None:
    assert figure.chart is not None
    for view in _views(figure.chart.to_dict(validate=True)):
        shown = [layer["encoding"] for layer in view.get("layer", [view])]
        for channel in ("x", "y"):
            titles = {
                encoding[channel].get("title")
                for encoding in shown
                if "field" in encoding.get(channel, {}) and encoding[channel].get("type") == "quantitative"
            }
            assert not titles or any(titles), f"{figure.name}: {channel} has no title"
        assert any("tooltip" in encoding for encoding in shown), f"{figure.name}: nothing has a tooltip"


def test_published_points_are_grey_and_hollow_and_ours_are_filled(figure: Figure) -> None:
    assert figure.chart is not None
    for encoding in _encodings(figure.chart.to_dict()):
        scale = encoding.get("fill", {}).get("scale", {})
        strokes = encoding.get("stroke", {}).get("scale", {}).get("range", [])
        for name, fill, stroke in zip(scale.get("domain", []), scale.get("range", []), strokes, strict=False):
            published = "published" in name
            assert (fill == "transparent") == published, name
            assert (stroke == PAPER) == published, name


def test_its_csv_reads_back_as_the_frame(figure: Figure) -> None:
    back = pd.read_csv(io.StringIO(figure_csv(figure)), keep_default_na=False, na_values=[""])
    assert list(back.columns) == list(figure.frame.columns)
    for column in back.columns:
        mine, theirs = figure.frame[column], back[column]
        if pd.api.types.is_numeric_dtype(mine):
            pd.testing.assert_series_equal(mine.astype(float), theirs.astype(float), rtol=0, atol=0)
        else:
            assert [_text(one) for one in mine] == [_text(one) for one in theirs], column


def test_its_json_has_the_same_rows_and_what_is_missing(figure: Figure) -> None:
    found = json.loads(figure_json(figure))
    assert found["schema"] == "resbench.figure/1"
    assert len(found["rows"]) == len(figure.frame)
    assert [one["command"] for one in found["missing"]] == [one.command for one in figure.missing]


def test_a_page_gets_its_own_variables_and_no_fixed_text_colours(figure: Figure) -> None:
    assert figure.chart is not None
    config = specification(figure.chart, "page")["config"]
    assert config["axis"]["labelColor"].startswith("var(--")
    assert specification(figure.chart, "page")["background"] == "transparent"


def test_every_figure_of_the_issue_is_there() -> None:
    assert list(FIGURES) == [
        *("veit-fig3", "veit-fig5a", "veit-fig5b", "veit-fig6a", "veit-fig6b", "veit-fig6c", "veit-fig7", "veit-fig8"),
        *("he-table1", "he-table2", "he-table3", "he-curves"),
        *("huang-table1", "huang-fig7", "huang-fig8"),
        *("lesion-interactions", "kill-matrix"),
        *("throughput-blocks", "throughput-roofline", "throughput-hardware", "throughput-history"),
    ]


def _views(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return list(spec.get("concat", [spec]))


def _encodings(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for view in _views(spec):
        yield from (layer.get("encoding", {}) for layer in view.get("layer", [view]))


def _text(value: object) -> str:
    return "" if value is None or value != value else str(value)
