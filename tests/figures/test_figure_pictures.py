"""Every figure as a picture: narrow enough for a telephone, well-formed, with its words."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
import vl_convert
from figure_fakes import built

from resbench.figures import FIGURES
from resbench.figures.export import figure_svg
from resbench.figures.model import Figure
from resbench.figures.theme import fitted, palette, specification


@pytest.fixture(params=list(FIGURES))
def figure(request: pytest.FixtureRequest) -> Figure:
    return built(str(request.param))


def test_it_fits_a_telephone(figure: Figure) -> None:
    svg = vl_convert.vegalite_to_svg(specification(figure.chart, "light", width=360))
    assert float(ElementTree.fromstring(svg).attrib["width"]) <= 368, "wider than the page"


def test_its_svg_is_well_formed_with_title_description_and_sources(figure: Figure) -> None:
    svg = figure_svg(figure, "dark")
    root = ElementTree.fromstring(svg)
    said = " ".join(root.itertext())
    assert figure.title in said
    assert figure.description in said
    assert figure.sources[0].split()[0] in said
    assert palette("dark")["background"] in svg
    assert "var(--" not in svg


def test_views_stand_beside_each_other_where_there_is_room() -> None:
    spec: dict[str, Any] = {"concat": [{}, {}, {}], "columns": 3, "usermeta": {"room": 60}}
    assert [fitted(spec, width)["columns"] for width in (360, 700, 1400)] == [1, 2, 3]
    assert fitted(spec, 360)["concat"][0]["width"] == 300
    assert fitted({"usermeta": {"most": 500}}, 1400)["width"] == 500
