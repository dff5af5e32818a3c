"""The summary of a job: the outcome in its first line, then what failed, what changed, the margins and the board."""

from __future__ import annotations

import datetime
import re

import pytest
from tests.reports.report_samples import board, one

from resbench.claims.model import AtLeast
from resbench.judge import Check, Status, Verdict, compare
from resbench.judging.margins import Margin
from resbench.judging.waivers import State, Use
from resbench.records.measurement import Measurement
from resbench.records.waivers import Waiver
from resbench.reports.job_summary import summary_parts
from resbench.reports.margins import nearest, room_text, size_text


def summary(verdicts: list[Verdict], **fields: object) -> str:
    return "\n\n".join(summary_parts(verdicts, [], {"python": "3.11"}, **fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("statuses", "words"),
    [
        (["HOLDS", "HOLDS"], "all 2 hold"),
        (["HOLDS"], "the one judged holds"),
        (["HOLDS", "WAIVED"], "1 of 2 holds, 1 waived"),
        (["HOLDS", "HOLDS", "NOT_MEASURED"], "all 2 hold, 1 not measured"),
        (["HOLDS", "VIOLATED", "NOT_MEASURED"], "1 of 2 fails, 1 not measured"),
        (["ERROR", "STALE", "INCONCLUSIVE"], "3 of 3 fail"),
        (["NOT_MEASURED"], "nothing was judged, 1 not measured"),
    ],
)
def test_the_first_line_says_how_it_ended(statuses: list[str], words: str) -> None:
    verdicts = [one(Status(status), id=f"veit-{place}") for place, status in enumerate(statuses)]
    assert summary(verdicts).splitlines()[0] == f"## Claims: {words}"


def test_waivers_that_fail_the_run_are_in_the_first_line() -> None:
    waiver = Waiver(claim="a-b", reason="r", owner="o", expiry=datetime.date(2099, 12, 31))
    uses = [Use(waiver, State.UNUSED, "the claim holds")]
    assert summary([one()], waivers=uses).splitlines()[0] == "## Claims: the one judged holds; 1 waiver fails the run"


def test_the_order_of_the_whole() -> None:
    claims, verdicts = board()
    judgement = compare(AtLeast(bound=4), Measurement(5))
    verdicts.append(one(id="veit-exact", checks=(Check(judgement, "paths.one", {}, "paths"),)))
    parts = summary_parts(verdicts, claims, {"python": "3.11"}, changes=["### Changes: none"])
    text = "\n\n".join(parts)
    marks = ["## Claims: 3 of 8 fail", "| paper", "### ERROR", "### VIOLATED", "### INCONCLUSIVE", "### Changes"]
    marks += [
        "### Nearest to their bounds",
        "### Measured without noise",
        "<details><summary>Veit",
        "Measured with python",
    ]
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)
    assert all(part.count("<details>") == part.count("</details>") for part in parts), "nothing is cut between tags"
    assert all(f"`{verdict.id}@{verdict.setting}`" in text for verdict in verdicts)


def test_names_cannot_leave_their_place() -> None:
    text = summary([one(Status.VIOLATED, id="veit-<img src=x onerror=1>|`", message="<script>\n::error::x")])
    assert "<script>" not in text
    assert not re.search(r"(?m)^::", text)
    assert "<img" not in re.sub("`[^`]*`", "", text)


def test_papers_of_which_nothing_was_judged_are_one_paragraph() -> None:
    verdicts = [
        one(id="veit-one"),
        *(one(Status.NOT_MEASURED, id=f"he-{n}", source="arXiv:1603.05027v3") for n in "ab"),
    ]
    text = summary(verdicts)
    assert "<details><summary>2 not measured</summary>" in text
    assert "He, Zhang" not in text


def test_the_nearest_check_of_each_verdict_the_worst_first() -> None:
    _, verdicts = board()
    names = [verdict.id for verdict, _, _ in nearest(verdicts)]
    assert len(names) == len(set(names))
    assert set(names[:2]) == {"veit-single-delete-vgg", "veit-depth"}, "what fails"
    assert "he-exact" not in names, "it has no room at all"


def test_rooms_and_sizes_in_words() -> None:
    assert room_text(Margin(1.25, 0.5, None), ">= 3", "points") == "1.25 points"
    assert room_text(Margin(1.25, 0.5, None), ">= 3", "%") == "1.25 points"
    assert room_text(Margin(1.25, 0.5, None), "spearman >= 0.3", "%") == "1.25"
    assert room_text(Margin(0.6931471805599453, 0.5, None, True), "a / b >= 3", "points") == "a factor of 2"
    assert size_text(Margin(1.25, 0.5, None)) == "2.5 half widths"
    assert size_text(Margin(1.0, None, 4.0)) == "25 % of the tolerance"
    assert size_text(Margin(1.0, None, None)) == ""
