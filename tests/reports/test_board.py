from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_samples import RANKS, board, check, claim, expectation, one, wild_verdicts

from resbench.claims import load_claims
from resbench.claims.model import Claim
from resbench.errors import NotMeasured
from resbench.judge import Status, Verdict, judge_claim
from resbench.records.measurement import Measurement
from resbench.reports import explain, table

ANSI = re.compile(r"\x1b\[[0-9;]*m")


def lines_of(verdicts: Sequence[Verdict], claims: Sequence[Claim] = (), width: int = 80) -> list[str]:
    return table(verdicts, claims, width=width).split("\n")


def row(verdict: Verdict, claims: Sequence[Claim] = (), width: int = 80) -> str:
    """The one line that shows a verdict on its own board."""
    return next(line for line in lines_of([verdict], claims, width)[1:] if line.startswith(verdict.status.value))


@pytest.mark.parametrize("width", [80, 120])
def test_the_board_is_never_wider_and_shows_every_item(width: int) -> None:
    claims, verdicts = board()
    lines = lines_of(verdicts, claims, width)
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    for verdict in verdicts:
        assert f"{verdict.id}@{verdict.setting}" in words


@pytest.mark.parametrize("width", [80, 120])
def test_the_whole_catalogue_fits(width: int) -> None:
    claims = load_claims()
    verdicts = [
        judge_claim(each, setting, [NotMeasured("no network") for e in each.expect if e.setting == setting])
        for each in claims
        for setting in each.settings
    ]
    verdicts += [one(id=each.id, setting=setting, source="section 3") for each in claims for setting in each.settings]
    lines = lines_of(verdicts, claims, width)
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    assert {f"{verdict.id}@{verdict.setting}" for verdict in verdicts} <= set(words)


@given(st.lists(wild_verdicts(), max_size=4), st.integers(40, 130))
def test_anything_can_be_shown(verdicts: list[Verdict], width: int) -> None:
    lines = lines_of(verdicts, width=width)
    assert max(map(len, lines)) <= width
    assert all(line.isprintable() for line in lines)


def test_papers_have_headings_with_counts_and_their_claims_below() -> None:
    claims, verdicts = board()
    lines = lines_of(list(reversed(verdicts)), claims, 120)
    veit = next(
        i for i, line in enumerate(lines) if line.startswith("Veit, Wilber, Belongie 2016 (arXiv:1605.06431v2)")
    )
    he = next(i for i, line in enumerate(lines) if line.startswith("He, Zhang, Ren, Sun 2016 (arXiv:1603.05027v3)"))
    assert lines[veit].endswith("3 HOLDS, 1 VIOLATED, 1 INCONCLUSIVE, 1 not measured")
    assert lines[he].endswith("1 HOLDS, 1 ERROR, 1 not measured")
    shown = [line.split()[1] for line in lines[veit + 2 : veit + 7]]
    assert shown == [
        "veit-single-delete-vgg@digits",
        "veit-sd-lesion@digits",
        "veit-paths-2n@any",
        "veit-depth@digits",
        "veit-fading@published",
    ]


def test_a_row_says_status_claim_measured_expected_and_where() -> None:
    claims, verdicts = board()
    cells = [re.split(r"  +", row(verdict, claims, 120)) for verdict in verdicts[:5] if verdict.setting != "cifar10"]
    assert cells == [
        ["VIOLATED", "veit-single-delete-vgg@digits", "91 62.1 90 %", "≥ 75", "§4.1, fig. 3"],
        ["HOLDS", "veit-sd-lesion@digits", "0.41 < 2.2 points", "ascending", "§4.1, fig. 3"],
        ["HOLDS", "veit-paths-2n@any", "1.801e16 paths", "1.801e16", "§4.1, fig. 3"],
        ["INCONCLUSIVE", "veit-depth@digits", "0.9 points [0.7, 1.1]", "≤ 1", "§4.1, fig. 3"],
    ]


def test_a_name_too_long_for_its_column_costs_the_place_not_the_name() -> None:
    long = one(id="veit-single-delete-of-the-first-module-of-all", setting="published")
    assert row(long).split()[:2] == ["HOLDS", "veit-single-delete-of-the-first-module-of-all@published"]
    assert "17.3 %" in row(long)


def test_a_rank_correlation_has_no_unit() -> None:
    each = claim("veit-rank", expectation(RANKS[0], "digits", "trained", "%"))
    verdict = judge_claim(each, "digits", [Measurement([[k, k] for k in range(5)])])
    assert re.split(r"  +", row(verdict, [each]))[2:4] == ["1", "spearman ≥ 0.95"]
    assert "measured   1\n" in explain(verdict)


def test_what_was_not_measured_is_grouped_by_its_reason() -> None:
    verdicts = [one(Status.NOT_MEASURED, id=f"veit-{n}", measured=None, message="no data") for n in range(3)]
    verdicts.append(one(Status.NOT_MEASURED, id="veit-3", measured=None, message="too deep"))
    lines = lines_of(verdicts)
    start = lines.index("not measured (3): no data")
    assert lines[start + 1 : start + 4] == [
        "    veit-0@digits veit-1@digits veit-2@digits",
        "not measured: too deep",
        "    veit-3@digits",
    ]


def test_only_failures_and_waivers_are_explained() -> None:
    statuses = [one(status, id=f"veit-{status.value}", statement=f"About {status.value}.") for status in Status]
    text = table(statuses, [])
    for status in (Status.VIOLATED, Status.INCONCLUSIVE, Status.STALE, Status.ERROR):
        assert f"About {status.value}." in text
    for status in (Status.HOLDS, Status.NOT_MEASURED, Status.WAIVED):
        assert f"About {status.value}." not in text
    assert "\nWAIVED veit-WAIVED@digits: measured 17.3" in text


def test_the_last_lines_count_verdicts_and_statements() -> None:
    claims, verdicts = board()
    assert lines_of(verdicts, claims)[-2:] == [
        "4 HOLDS, 1 VIOLATED, 1 INCONCLUSIVE, 0 STALE, 1 ERROR, 2 not measured",
        "1 documented statement asserts nothing measurable",
    ]
    many = [one(status, id=f"veit-{n}") for status in Status for n in range(100)]
    assert all(f"100 {status.value}" in lines_of(many, width=100)[-2] for status in Status if "_" not in status.value)


def test_colour_changes_no_character() -> None:
    claims, verdicts = board()
    coloured = table(verdicts, claims, colour=True)
    assert "\x1b[1;31mVIOLATED\x1b[0m" in coloured
    assert ANSI.sub("", coloured) == table(verdicts, claims)


def test_verdicts_without_their_claims_are_placed_by_their_source() -> None:
    lines = lines_of([one(), one(id="x-1", source="arXiv:2001.00001v1, page 1"), one(id="y-1", source="a talk")])
    headings = [line.split("  ")[0] for line in lines if line.endswith("1 HOLDS")]
    assert headings == ["Veit, Wilber, Belongie 2016 (arXiv:1605.06431v2)", "arXiv:2001.00001", "other"]


def test_an_explanation_says_everything() -> None:
    verdict = one(
        Status.VIOLATED,
        measured=[91, 62.1, 90],
        expected=">= 75",
        interval=(61, 63),
        message="measured 91, 62.1, 90, expected >= 75; value 2 of 3 is 62.1 [61, 63]",
        breaks="a hidden shortcut.",
        checks=(check(Status.VIOLATED, [91, 62.1, 90]),),
    )
    assert explain(verdict).split("\n") == [
        "VIOLATED veit-one@digits (claim version 2)",
        "  statement  One thing.",
        "  source     arXiv:1605.06431v2, section 4.1, figure 3",
        "  measured   91, 62.1, 90 %",
        "  expected   ≥ 75 %",
        "  message    value 2 of 3 is 62.1 [61, 63]",
        "  how        lesions.one(network='vgg15'), Wilson, n = 797",
        "  what usually breaks it: a hidden shortcut.",
    ]
    assert "  measured   17.3 [16.9, 17.8] %" in explain(one(Status.INCONCLUSIVE)).split("\n")


def test_of_several_checks_each_is_explained() -> None:
    verdict = one(Status.VIOLATED, checks=(check(Status.HOLDS, 18), check(Status.VIOLATED, 15, "lesions.two")))
    text = " ".join(explain(verdict).split())
    assert "check HOLDS: measured 18 %, expected ≥ 16 %; lesions.one(network='vgg15'), Wilson, n = 797" in text
    assert "check VIOLATED: measured 15 %, expected ≥ 16 %; lesions.two(network='vgg15'), Wilson, n = 797" in text


@given(wild_verdicts(), st.integers(40, 130))
def test_anything_can_be_explained(verdict: Verdict, width: int) -> None:
    lines = explain(verdict, width).split("\n")
    assert max(map(len, lines)) <= width
    assert all(line.isprintable() for line in lines)


def test_the_place_keeps_the_section_where_the_figure_does_not_fit() -> None:
    assert row(one(id=f"veit-{'x' * 19}", measured="m" * 40, expected="e" * 40)).endswith("…  §4.1")


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (">= 16", "≥ 16 %"),
        ("2 to 15", "2 to 15 %"),
        ("1, 2.5 exactly", "1, 2.5 %"),
        ("16.5 +- 2 %", "16.5 ± 2 %"),
        ("strictly increasing", "strictly increasing"),
        ("plain <= resnet", "plain ≤ resnet"),
    ],
)
def test_only_numbers_have_a_unit(expected: str, text: str) -> None:
    assert f"  expected   {text}" in explain(one(Status.VIOLATED, expected=expected)).split("\n")
