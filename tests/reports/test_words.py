from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_samples import RANKS

from resbench.claims.model import AtLeast, Between, Comparator, Equals, Monotone, Order, Ratio, Within
from resbench.reports.words import brief, clauses, clean, cut, expected, figure, place, wrap


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (17.3, "17.3"),
        (0.980166, "0.9802"),
        (54, "54"),
        (1727962, "1727962"),
        (2**54, "1.801e16"),
        pytest.param(2**1202, "6.887e361", id="beyond every float"),
        (-(2**54), "-1.801e16"),
        (5.5511e-17, "5.551e-17"),
        (0.00005, "5e-5"),
        (12345.678, "12346"),
        (100.0, "100"),
        (-0.0, "0"),
        (1e300, "1e300"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (Fraction(161, 4), "40.25"),
        ("161/4", "40.25"),
        ("1/18014398509481984", "5.551e-17"),
        ("18014398509481984", "1.801e16"),
        ("1/0", "1/0"),
        ("resnet110", "resnet110"),
        (True, "yes"),
        (None, "-"),
    ],
)
def test_figures_have_four_digits(value: object, text: str) -> None:
    assert figure(value) == text


@given(st.floats(-1e307, 1e307))
def test_a_figure_is_the_number_to_four_digits(value: float) -> None:
    assert float(figure(value)) == pytest.approx(value, rel=6e-4)


@pytest.mark.parametrize(
    ("value", "width", "text"),
    [
        ([54, 54, 333, 66], 20, "54 54 333 66"),
        ([54, 54, 333, 66], 11, "54 54 … 66"),
        ([54, 54, 333, 66], 8, "54 … 66"),
        ([5.551e-17, 0.8751234], 13, "5.551e-17 …"),
        ([[1, 2.5], [2, 3]], 20, "(1 2.5) (2 3)"),
        ([], 20, "nothing"),
        ({"stochastic": 0.41, "constant": 2.2}, 20, "0.41 < 2.2"),
        ({"a": 3, "b": 2, "c": 2}, 20, "3 > 2 = 2"),
        ({"a": "x", "b": 2}, 20, "x, 2"),
    ],
)
def test_lists_and_tables_are_abbreviated(value: object, width: int, text: str) -> None:
    assert brief(value, width) == text


@pytest.mark.parametrize(
    ("compare", "width", "text"),
    [
        (Equals(value="161/4"), 30, "40.25"),
        (Within(value=98.0166, abs=0.0001), 30, "98.0166 ± 1e-4"),
        (Within(value=98.0166, abs=0.0001), 13, "98.02 ± 1e-4"),
        (Within(value=98.0166, abs=0.0001), 11, "≈ 98.02"),
        (Within(value=16.5, rel=0.02), 30, "16.5 ± 0.33"),
        (Within(value=[1.25, 2.5, 3.75], rel=0.01), 30, "1.25 2.5 3.75 ± 1 %"),
        (Within(value=[1.25, 2.5, 3.75], rel=0.01), 8, "… ± 1 %"),
        (AtLeast(bound=0.9), 30, "≥ 0.9"),
        (Between(low=2, high=15), 30, "2 to 15"),
        (Monotone(direction="decreasing", strict=True), 30, "strictly decreasing"),
        (Monotone(direction="decreasing", strict=True), 12, "decreasing"),
        (RANKS[0], 30, "spearman ≥ 0.95"),
        (RANKS[0], 12, "r_s ≥ 0.95"),
        (RANKS[1], 30, "kendall -1 to 0.5"),
        (Ratio(over="a", under="b", at_most=2), 30, "ratio ≤ 2"),
        (Order(names=["resnet110", "vgg15"]), 30, "ascending"),
        (Order(names=["resnet110", "vgg15"], margin=0.5), 30, "steps ≥ 0.5"),
    ],
)
def test_expectations_in_few_words(compare: Comparator, width: int, text: str) -> None:
    assert expected(compare, width) == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("arXiv:1605.06431v2, section 4.1, figure 3", "§4.1, fig. 3"),
        ("arXiv:1603.05027v3, Sections 2 and 3, equations 6 to 8", "§2 and 3, eqs. 6 to 8"),
        ("arXiv:1603.05027v3, table 1", "tab. 1"),
        ("arXiv:1605.06431v2, section 4.1, Figs. 3, 4", "§4.1, figs. 3, 4"),
        ("arXiv:1605.06431v2", ""),
        ("configuration of a table-top", "configuration of a table-top"),
        ("the authors' repository", "the authors' repository"),
    ],
)
def test_places_are_short(source: str, text: str) -> None:
    assert place(source) == text


def test_a_place_loses_whole_clauses_before_letters() -> None:
    assert clauses("§4.1, fig. 3, tab. 1", 12) == "§4.1, fig. 3"
    assert clauses("§4.1, fig. 3", 11) == "§4.1"
    assert clauses("tab. 1 and §3.1", 8) == "tab. 1"
    assert clauses("fig. 8 (right)", 8) == "fig. 8"
    assert clauses("appendix", 5) == "appe…"


@given(st.text(max_size=80), st.integers(0, 30))
def test_cut_and_clean_keep_their_promises(text: str, width: int) -> None:
    assert len(cut(clean(text), width)) <= width
    assert clean(text).isprintable()
    assert clean(clean(text)) == clean(text)


@given(st.text(max_size=300), st.integers(40, 120))
def test_wrapped_lines_lose_nothing(text: str, width: int) -> None:
    lines = wrap(text, width, "  title ")
    assert max(map(len, lines)) <= width
    assert "".join("".join(lines).split()).removeprefix("title") == clean(text).replace(" ", "")


def test_wrapping_does_not_break_ids() -> None:
    id = "veit-resnet-highway-special-case@published"
    assert any(id in line for line in wrap(f"{'word ' * 9}{id}", 50))
