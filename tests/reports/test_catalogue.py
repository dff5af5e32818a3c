from __future__ import annotations

from typing import Any

import pytest
from report_samples import RANKS, board, claim, expectation

from resbench.claims import load_claims
from resbench.claims.model import (
    AtLeast,
    AtMost,
    Between,
    Comparator,
    Equals,
    Monotone,
    Order,
    Rank,
    Ratio,
    Within,
)
from resbench.judging.power import powers
from resbench.reports import claim_details, claims_table


@pytest.mark.parametrize("width", [80, 120])
def test_the_list_has_a_line_for_every_claim(width: int) -> None:
    claims = load_claims()
    lines = claims_table(claims, width=width).split("\n")
    assert max(map(len, lines)) <= width
    for each in claims:
        [line] = [line for line in lines if line.split()[:1] == [each.id]]
        assert line.split()[1] == each.kind
        assert (", ".join(each.settings) in line) or width < 110


def test_the_list_is_by_paper_and_counts() -> None:
    claims, _ = board()
    lines = claims_table(claims, width=120).split("\n")
    assert lines[0] == "Veit, Wilber, Belongie 2016 (arXiv:1605.06431v2): 5 claims"
    assert "He, Zhang, Ren, Sun 2016 (arXiv:1603.05027v3): 4 claims" in lines
    assert lines[-1].startswith("9 claims (4 trained, 2 exact, 1 reference, 1 structural, 1 text)")
    assert claims_table([]) == "no claims"


def test_the_list_flags_what_is_unverified() -> None:
    line = claims_table([claim("veit-x", provenance="memory")]).split("\n")[1]
    assert "unverified: What veit-x says" in line


@pytest.mark.parametrize("width", [80, 120])
def test_every_claim_can_be_shown_whole(width: int) -> None:
    for each in load_claims():
        text = claim_details(each, width=width)
        assert max(map(len, text.split("\n"))) <= width
        flat = "".join(text.split())
        for part in (each.statement, each.not_asserted, each.breaks, *each.known_conflicts, *each.changelog):
            assert "".join(part.split()) in flat
        for wanted in each.expect:
            assert "".join(wanted.why.split()) in flat
            assert wanted.quantity in flat


def test_a_claim_says_what_its_tolerance_is_and_how_often_it_is_wrong() -> None:
    compare = Within(value=6.61, abs=0.5)
    each = claim(
        "veit-x",
        expectation(compare, "digits", "trained", "%", direction="lower", params={"network": "a"}, paper_value="6.61"),
        known_conflicts=["Others found 7."],
    )
    alarms = {"digits": {"seeds": 10, "alarms": 1, "upper": 0.394}}
    sees = {"digits": [powers(compare, [(6.61, (6.5, 6.75)), (6.5, (6.25, 6.75))])]}
    lines = claim_details(each, false_alarm=alarms, power=sees).split("\n")
    assert lines[lines.index("expectation: setting digits, kind trained") :] == [
        "expectation: setting digits, kind trained",
        '  measured by  module.function(network = "a")',
        "  must be      within 0.5 points of 6.61 %",
        "  direction    lower is better",
        "  tolerance    chosen by us: three run-to-run deviations",
        "  paper says   6.61",
        "  false alarms 1 on 10 fresh seeds: probability 10 %, at most 39.4 % (95 % upper",
        "               bound)",
        "  sees         a fall by 0.39 points with probability 67 %, by 0.39 points with",
        "               probability 67 % (2 seeds)",
        "  sees         a rise by 0.36 points with probability 67 %, by 0.36 points with",
        "               probability 67 % (2 seeds)",
        "",
        "known conflicts",
        "- Others found 7.",
        "",
        "changelog",
        "- 1: first encoded",
    ]


@pytest.mark.parametrize(
    ("compare", "measured", "interval", "words"),
    [
        (Ratio(over="a", under="b", at_least=2.0), 10.0, (8.0, 13.0), "a fall by a factor of 4 with probability 50 %"),
        (Ratio(over="a", under="b", at_most=2.0), 1.0, (0.5, 1.5), "a rise by 0.5 with probability 50 %"),
        (Rank(statistic="kendall", at_least=0.5), 0.75, (0.7, 0.8), "a fall by 0.2 with probability 50 %"),
        (Monotone(direction="increasing"), [1, 3], (1.5, 2.5), "a fall of the smallest step by 1.5 s with probability"),
        (AtMost(bound=2.0), 1.0, (0.5, 1.5), "a rise by 0.5 s with probability 50 %"),
    ],
)
def test_the_smallest_effect_in_words(compare: Any, measured: Any, interval: Any, words: str) -> None:
    each = claim("veit-x", expectation(compare, "digits", "trained", "s"))
    text = claim_details(each, power={"digits": [powers(compare, [(measured, interval)])]})
    assert words in " ".join(text.split())


def test_old_seeds_are_said_to_be_old() -> None:
    each = claim("veit-x", expectation(AtMost(bound=1.0), "digits", "trained", "s"))
    text = " ".join(claim_details(each, false_alarm={"digits": {"seeds": 0, "stale": 10}}).split())
    assert (
        "STALE: 10 recorded seeds of another version of the claim, its networks or data; `resbench calibrate`" in text
    )
    some = {"digits": {"seeds": 5, "alarms": 0, "upper": 0.451, "stale": 1}}
    text = " ".join(claim_details(each, false_alarm=some).split())
    assert "0 on 5 fresh seeds: probability 0 %, at most 45.1 % (95 % upper bound); STALE: 1 recorded seed of" in text


def test_an_unverified_claim_is_flagged() -> None:
    text = claim_details(claim("veit-x", provenance="memory"))
    assert "provenance   UNVERIFIED (memory)" in text
    assert "not asserted an interpretation" in text


@pytest.mark.parametrize(
    ("compare", "words"),
    [
        (Equals(value="340282366920938463463374607431768211456"), "exactly 340282366920938463463374607431768211456 s"),
        (Equals(value=[1, 2.5]), "exactly 1, 2.5 s"),
        (Equals(value=True), "exactly true s"),
        (Within(value=0.9801660, abs=1e-6), "within 1e-06 s of 0.980166 s"),
        (Within(value=2.0, abs=0.5, rel=0.01), "within 0.5 s plus 1 % of the value of 2 s"),
        (AtLeast(bound=0.75), "at least 0.75 s"),
        (AtMost(bound=0.75), "at most 0.75 s"),
        (Between(low=-1, high=1), "between -1 and 1 s"),
        (Monotone(direction="increasing"), "increasing from value to value"),
        (
            Monotone(direction="decreasing", slack=0.5),
            "decreasing from value to value, a step back of at most 0.5 s allowed",
        ),
        (RANKS[0], "a Spearman rank correlation of at least 0.95"),
        (RANKS[1], "a Kendall rank correlation between -1 and 0.5"),
        (Ratio(over="a", under="b", at_most=2), "a divided by b of at most 2"),
        (Order(names=["a", "b"], margin=1), "in ascending order: a, b, each by at least 1 s"),
    ],
)
def test_every_comparator_in_words(compare: Comparator, words: str) -> None:
    text = claim_details(claim("veit-x", expectation(compare, "digits", "trained", "s")), width=200)
    assert f"  must be      {words}\n" in text
