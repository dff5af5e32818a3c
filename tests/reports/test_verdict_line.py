"""What `resbench check` says first, and the board that shows only what does not hold."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_samples import board, one, wild_verdicts

from resbench.judge import Status, Verdict, exit_code
from resbench.judging.waivers import State, Use
from resbench.records.waivers import Waiver
from resbench.reports import table, verdict_line

HOLDS, VIOLATED, STALE, NOT = Status.HOLDS, Status.VIOLATED, Status.STALE, Status.NOT_MEASURED


def said(verdicts: list[Verdict], **more: object) -> str:
    return " ".join(line.strip() for line in verdict_line(verdicts, **more))  # type: ignore[arg-type]


def some(**statuses: Status) -> list[Verdict]:
    return [one(status, id=id) for id, status in statuses.items()]


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (some(a=HOLDS, b=HOLDS), "2 of 2 measured claims hold"),
        (some(a=HOLDS, b=NOT), "1 of 1 measured claims hold; 1 not measured"),
        (some(a=HOLDS, b=Status.WAIVED), "1 of 2 measured claims hold, 1 waived"),
        (some(a=NOT), "Nothing was measured: no verdict; 1 not measured"),
        ([], "Nothing was measured: no verdict"),
        (some(a=VIOLATED, b=HOLDS), "1 of 2 measured claims do not hold. VIOLATED: a@digits"),
        (
            some(a=VIOLATED, b=STALE, c=NOT, d=Status.WAIVED),
            "2 of 3 measured claims do not hold. VIOLATED: a@digits. STALE: b@digits; 1 not measured",
        ),
        (
            some(a=VIOLATED, b=VIOLATED, c=VIOLATED, d=VIOLATED, e=VIOLATED),
            "5 of 5 measured claims do not hold. VIOLATED: a@digits, b@digits, c@digits and 2 more",
        ),
    ],
)
def test_the_verdict_in_words(verdicts: list[Verdict], expected: str) -> None:
    assert said(verdicts) == expected


def test_what_fails_besides_the_claims_is_said() -> None:
    waiver = Waiver(claim="a", reason="r", owner="o", expiry=datetime.date(2020, 1, 1))
    uses = [Use(waiver, State.UNUSED, "")]
    assert said(some(a=HOLDS), waivers=uses) == "1 of 1 measured claims hold. 1 waiver is unused or expired"
    strict = said(some(a=HOLDS, b=NOT), strict=True)
    assert strict == "1 of 1 measured claims hold. 1 not measured, which --strict does not let pass"


@given(st.lists(wild_verdicts(), max_size=4), st.integers(40, 130), st.booleans())
def test_it_fits_and_is_red_where_the_exit_code_is(verdicts: list[Verdict], width: int, strict: bool) -> None:
    lines = verdict_line(verdicts, width=width, strict=strict)
    assert max(map(len, lines)) <= width
    assert all(line.isprintable() for line in lines)
    text = " ".join(lines)
    red = "do not" in text or "does not let" in text or text.startswith("Nothing was") or "measured claims do" in text
    if exit_code(verdicts, strict):
        assert red


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_brief_board_shows_what_does_not_hold(width: int) -> None:
    claims, verdicts = board()
    text = table(verdicts, claims, width=width, whole=False)
    whole = table(verdicts, claims, width=width)
    rows = {line.split()[1] for line in text.splitlines() if line.startswith(("HOLDS ", "VIOLATED ", "ERROR "))}
    failed = {f"{v.id}@{v.setting}" for v in verdicts if v.status in (VIOLATED, Status.ERROR)}
    assert failed <= rows
    assert not any(line.startswith("HOLDS ") for line in text.splitlines())
    assert text.splitlines()[-2:] == whole.splitlines()[-2:]
    assert max(map(len, text.splitlines())) <= width
    for verdict in verdicts:
        if verdict.status is NOT:
            assert f"{verdict.id}@{verdict.setting}" not in text.split()
    assert "(ids: --verbose)" in text


def test_a_board_of_what_holds_is_counts_alone() -> None:
    lines = table(some(a=HOLDS, b=HOLDS), [], whole=False).splitlines()
    assert len(lines) == 4
    assert lines[0].endswith("2 HOLDS")
    assert lines[1] == ""
