"""The badge: never green where something is wrong, and nothing in it but what belongs there."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.judging.run_samples import run, verdict

from resbench.judge import Status
from resbench.reports.badge import AMBER, GREEN, GREY, RED, badge_svg, badge_text


def of(*statuses: str, **fields: object) -> tuple[str, str]:
    return badge_text(run(*(verdict(f"a-{place}", status) for place, status in enumerate(statuses)), **fields))


@pytest.mark.parametrize(
    ("statuses", "text", "colour"),
    [
        (["HOLDS"] * 202, "202 hold", GREEN),
        (["HOLDS"], "1 holds", GREEN),
        (["HOLDS", "NOT_MEASURED"], "1 holds, 1 not measured", GREEN),
        (["HOLDS", "WAIVED"], "1 holds, 1 waived", GREEN),
        (["HOLDS", "VIOLATED"], "1 holds, 1 violated", RED),
        (["HOLDS", "ERROR", "VIOLATED"], "1 holds, 1 failed to run, 1 violated", RED),
        (["HOLDS", "INCONCLUSIVE"], "1 holds, 1 inconclusive", AMBER),
        (["HOLDS", "STALE"], "1 holds, 1 stale", AMBER),
        (["VIOLATED"], "1 violated", RED),
        (["NOT_MEASURED", "NOT_MEASURED"], "not measured", GREY),
        ([], "not measured", GREY),
        (["WAIVED"], "1 waived", GREY),
        (["WAIVED", "NOT_MEASURED"], "1 not measured, 1 waived", GREY),
    ],
)
def test_words_and_colour(statuses: list[str], text: str, colour: str) -> None:
    assert of(*statuses) == (text, colour)


@pytest.mark.parametrize("statuses", list(itertools.product(list(Status), repeat=2)))
def test_green_only_where_claims_hold_and_nothing_is_wrong(statuses: tuple[Status, ...]) -> None:
    wrong = {Status.VIOLATED, Status.INCONCLUSIVE, Status.STALE, Status.ERROR}
    green = Status.HOLDS in statuses and not wrong & set(statuses)
    assert (of(*statuses)[1] == GREEN) is green


def test_a_waiver_that_fails_the_run_is_not_green() -> None:
    unused = [{"claim": "a-b", "state": "unused", "message": "holds"}]
    assert of("HOLDS", waivers=unused) == ("1 holds, 1 waiver to mend", AMBER)
    assert of("HOLDS", waivers=[{**unused[0], "state": "used"}]) == ("1 holds", GREEN)
    assert of("VIOLATED", waivers=unused)[1] == RED
    assert of("NOT_MEASURED", waivers=unused)[1] == AMBER


def contrast(colour: str) -> float:
    """Of white text on it (WCAG 2.1)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)


def test_it_can_be_read_by_everybody() -> None:
    assert all(contrast(colour) >= 4.5 for colour in (GREEN, RED, AMBER, GREY, "#30363d"))
    root = ElementTree.fromstring(badge_svg(run(verdict())))
    assert root.get("role") == "img"
    assert root.get("aria-label") == "claims: 1 holds"
    assert root[0].text == "claims: 1 holds"


def test_nothing_is_fetched() -> None:
    text = badge_svg(run(verdict()))
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    assert "script" not in text


@given(st.text(max_size=60))
def test_any_label_is_a_label(label: str) -> None:
    """Well-formed, one line of text, and no more elements than without it."""
    root = ElementTree.fromstring(badge_svg(run(verdict()), label))
    assert len(list(root.iter())) == 7
    assert "\n" not in (root[0].text or "")


def test_a_label_is_escaped() -> None:
    text = badge_svg(run(verdict()), """<script>alert("1")</script>'&""")
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
