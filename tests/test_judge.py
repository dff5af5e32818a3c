from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resbench.claims.model import AtLeast, AtMost, Claim, Comparator, Equals, Expectation, Kind, Source
from resbench.errors import NotMeasured
from resbench.judge import Status, Verdict, exit_code, judge_claim, summary, unmeasured
from resbench.records.measurement import Measurement


def expectation(compare: Comparator, setting: str = "digits", kind: Kind = "trained", unit: str = "%") -> Expectation:
    return Expectation(
        setting=setting,
        kind=kind,
        quantity="lesions.share",
        params={"network": "resnet110"},
        compare=compare,
        unit=unit,
        origin="chosen",
        why="because",
    )


def claim(*compare: Comparator, **changes: Any) -> Claim:
    fields: dict[str, Any] = {
        "id": "veit-single-delete",
        "version": 3,
        "locus": "section 4.1, figure 3",
        "statement": "Deleting one module barely matters.",
        "provenance": "seen",
        "changelog": ["3: x"],
        "breaks": "a scaled shortcut",
        "source": Source(arxiv="1605.06431", version="v2", title="Residual Networks"),
        "expect": [expectation(one) for one in compare],
    }
    return Claim(**(fields | changes))


def share(value: float, half_width: float = 1.0) -> Measurement:
    interval = (value - half_width, value + half_width)
    return Measurement(value, interval=interval, method="Wilson", n=797, detail="54 units")


# What, compared with "at least 90", gives each of the statuses an expectation can have.
OUTCOMES: dict[Status, Measurement | Exception] = {
    Status.ERROR: ZeroDivisionError("float division"),
    Status.VIOLATED: share(80),
    Status.INCONCLUSIVE: share(90),
    Status.NOT_MEASURED: NotMeasured("no checkpoint"),
    Status.HOLDS: share(95),
}


@pytest.mark.parametrize("status", list(OUTCOMES))
def test_one_expectation(status: Status) -> None:
    verdict = judge_claim(claim(AtLeast(bound=90)), "digits", [OUTCOMES[status]])
    assert verdict.status is status
    assert verdict.checks[0].judgement.status is status
    assert verdict.expected == ">= 90"
    assert verdict.source == "arXiv:1605.06431v2, section 4.1, figure 3"
    assert len(verdict.message.splitlines()) == 1


@given(st.lists(st.sampled_from(list(OUTCOMES)), min_size=1, max_size=5))
def test_the_worst_expectation_decides(statuses: list[Status]) -> None:
    compare = [AtLeast(bound=90)] * len(statuses)
    verdict = judge_claim(claim(*compare), "digits", [OUTCOMES[status] for status in statuses])
    worst = min(statuses, key=list(OUTCOMES).index)  # they stand there worst first
    assert verdict.status is worst
    assert [check.judgement.status for check in verdict.checks] == statuses
    deciding = verdict.checks[statuses.index(worst)].judgement
    assert (verdict.measured, verdict.interval) == (deciding.measured, deciding.interval)
    assert verdict.message == deciding.message


def test_a_verdict_says_what_was_judged() -> None:
    for verdict in (
        judge_claim(claim(AtLeast(bound=90)), "digits", [share(95)]),
        unmeasured(claim(AtLeast(bound=90)), "digits", "speaks of other networks"),
    ):
        assert (verdict.id, verdict.version, verdict.kind, verdict.setting) == (
            "veit-single-delete",
            3,
            "trained",
            "digits",
        )
        assert verdict.statement == "Deleting one module barely matters."
        assert verdict.breaks == "a scaled shortcut"
        assert verdict.source == "arXiv:1605.06431v2, section 4.1, figure 3"


def test_what_is_not_judged_has_no_value() -> None:
    excused = unmeasured(claim(AtLeast(bound=90)), "target", "speaks of other networks")
    elsewhere = judge_claim(claim(AtLeast(bound=90)), "cifar10", [])
    assert (excused.message, excused.setting) == ("speaks of other networks", "target")
    for verdict in (excused, elsewhere):
        assert verdict.status is Status.NOT_MEASURED
        assert (verdict.measured, verdict.expected, verdict.interval, verdict.unit) == (None, "", None, "")
        assert verdict.checks == ()


def test_what_failed_says_where() -> None:
    """The measurement's own sentence follows, where there is something to look for."""
    failed = judge_claim(claim(AtLeast(bound=90)), "digits", [share(80)])
    assert failed.message == "measured 80 [79, 81], expected >= 90; 54 units"
    assert judge_claim(claim(AtLeast(bound=90)), "digits", [share(90)]).message.endswith("; 54 units")
    assert judge_claim(claim(AtLeast(bound=90)), "digits", [share(95)]).message.endswith(">= 90")


def test_the_deciding_check_gives_value_and_unit() -> None:
    two = claim(expect=[expectation(AtLeast(bound=90)), expectation(AtMost(bound=3), unit="points")])
    verdict = judge_claim(two, "digits", [share(95), share(8)])
    assert (verdict.status, verdict.measured, verdict.unit) == (Status.VIOLATED, 8, "points")
    assert (verdict.expected, verdict.interval) == ("<= 3", (7, 9))


def test_only_the_settings_own_expectations_are_judged() -> None:
    two = claim(expect=[expectation(Equals(value=5), "any", "exact"), expectation(AtLeast(bound=90))])
    assert judge_claim(two, "any", [Measurement(5)]).kind == "exact"
    assert judge_claim(two, "digits", [share(95)]).kind == "trained"
    with pytest.raises(ValueError, match="veit-single-delete@digits: 2 outcomes for 1 expectations"):
        judge_claim(two, "digits", [share(95), share(95)])


def test_a_setting_without_expectations_is_not_measured() -> None:
    verdict = judge_claim(claim(AtLeast(bound=90)), "cifar10", [])
    assert verdict.status is Status.NOT_MEASURED
    assert verdict.message == "the claim expects nothing in the setting 'cifar10'"
    opinion = judge_claim(claim(not_asserted="an interpretation"), "any", [])
    assert (opinion.status, opinion.kind, opinion.message) == (Status.NOT_MEASURED, "text", "an interpretation")


def test_what_was_raised_is_one_line() -> None:
    verdict = judge_claim(claim(AtLeast(bound=90)), "digits", [RuntimeError("sizes differ:\n  3\n  4")])
    assert (verdict.status, verdict.message) == (Status.ERROR, "RuntimeError: sizes differ: 3 4")
    (check,) = verdict.checks
    assert (check.method, check.n, check.detail) == ("", None, "")
    assert judge_claim(claim(AtLeast(bound=90)), "digits", [MemoryError()]).message == "MemoryError"
    missing = judge_claim(claim(AtLeast(bound=90)), "digits", [NotMeasured("no checkpoint\nof resnet110")])
    assert missing.message == "no checkpoint of resnet110"


@pytest.mark.parametrize("status", [Status.VIOLATED, Status.INCONCLUSIVE, Status.ERROR])
def test_an_unverified_claim_never_fails(status: Status) -> None:
    verdict = judge_claim(claim(AtLeast(bound=90), provenance="memory"), "digits", [OUTCOMES[status]])
    assert verdict.status is Status.NOT_MEASURED
    assert verdict.message.startswith(f"unverified ([memory]): would be {status.value}: ")
    assert verdict.checks[0].judgement.status is status
    assert verdict.checks[0].judgement.message in verdict.message
    assert exit_code([verdict], strict=False) == 0


def test_an_unverified_claim_may_hold() -> None:
    verdict = judge_claim(claim(AtLeast(bound=90), provenance="memory"), "digits", [share(95)])
    assert verdict.status is Status.HOLDS


def test_json_has_the_contracts_keys_first() -> None:
    verdict = judge_claim(claim(AtLeast(bound=90), AtLeast(bound=95)), "digits", [share(95), NotMeasured("x")])
    row = verdict.to_json()
    contract = "id version kind setting status measured expected interval unit source message checks"
    assert list(row) == contract.split()
    assert json.loads(json.dumps(row, allow_nan=False)) == row
    assert (row["status"], row["interval"]) == ("NOT_MEASURED", None)
    assert judge_claim(claim(AtLeast(bound=90)), "digits", [share(95)]).to_json()["interval"] == [94, 96]
    assert row["checks"][0] == {
        "quantity": "lesions.share",
        "params": {"network": "resnet110"},
        "status": "HOLDS",
        "measured": 95,
        "expected": ">= 90",
        "interval": [94, 96],
        "unit": "%",
        "method": "Wilson",
        "n": 797,
        "message": "measured 95 [94, 96], expected >= 90",
        "detail": "54 units",
        "margin": {"room": 4.0, "half_width": 1.0, "tolerance": 90.0, "size": 4.0, "unit": "half widths", "log": False},
    }


def verdicts(*statuses: Status) -> list[Verdict]:
    template = judge_claim(claim(AtLeast(bound=90)), "digits", [share(95)])
    return [replace(template, status=status) for status in statuses]


@pytest.mark.parametrize(
    ("status", "code", "strict"),
    [
        (Status.HOLDS, 0, 0),
        (Status.WAIVED, 0, 0),
        (Status.NOT_MEASURED, 0, 1),
        (Status.VIOLATED, 1, 1),
        (Status.INCONCLUSIVE, 1, 1),
        (Status.STALE, 1, 1),
        (Status.ERROR, 1, 1),
    ],
)
def test_exit_codes(status: Status, code: int, strict: int) -> None:
    mixed = verdicts(Status.HOLDS, status, Status.HOLDS)
    assert (exit_code(mixed, strict=False), exit_code(mixed, strict=True)) == (code, strict)


def test_a_run_that_judged_nothing_has_shown_nothing() -> None:
    assert exit_code([], strict=False) == 1


def test_the_summary_names_all_statuses() -> None:
    counts = summary(verdicts(Status.HOLDS, Status.HOLDS, Status.ERROR))
    assert counts == {
        "HOLDS": 2,
        "VIOLATED": 0,
        "INCONCLUSIVE": 0,
        "NOT_MEASURED": 0,
        "STALE": 0,
        "ERROR": 1,
        "WAIVED": 0,
    }


def test_exact_verdicts_import_no_array_library() -> None:
    """`resbench check --kind exact` has 1.5 s."""
    code = """
import sys
from resbench.claims.lock import fingerprint
from resbench.claims.loader import load_claims
from resbench.claims.model import AtLeast, Equals, Order, Ratio
from resbench.judge import compare
from resbench.records.measurement import Measurement
load_claims()
assert compare(Equals(value="1/2"), Measurement(0.5)).status == "HOLDS"
assert compare(Ratio(over="a", under="b", at_least=1), Measurement({"a": 3, "b": 2})).status == "HOLDS"
assert compare(Order(names=["b", "a"]), Measurement({"a": 3, "b": 2})).status == "HOLDS"
print([name for name in ("torch", "numpy", "scipy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
