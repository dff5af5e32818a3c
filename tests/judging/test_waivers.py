"""The rule of waivers, on verdicts made by hand."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from tests.reports.report_samples import check, claim, expectation, one

from resbench.claims.model import AtLeast, Claim
from resbench.judge import Status, Verdict, exit_code
from resbench.judging.waivers import State, Use, judge_waivers, waived
from resbench.records.waivers import Waiver

TODAY = datetime.date(2026, 11, 21)
TOMORROW, YESTERDAY = TODAY + datetime.timedelta(days=1), TODAY - datetime.timedelta(days=1)


def waiver(**changes: Any) -> Waiver:
    fields: dict[str, Any] = {"claim": "veit-one", "reason": "see issue 12", "owner": "a.person", "expiry": TOMORROW}
    return Waiver(**(fields | changes))


def known(*settings: str, id: str = "veit-one") -> Claim:
    return claim(id, *(expectation(AtLeast(bound=16), setting, "trained", "%") for setting in settings))


def judged(mine: Waiver, *verdicts: Verdict, settings: tuple[str, ...] = ("digits",), **options: Any) -> Use:
    under = [waived(verdict, [mine], TODAY) for verdict in verdicts]
    (use,) = judge_waivers([mine], under, [known(*settings)], today=TODAY, **options)
    return use


@pytest.mark.parametrize("status", [Status.VIOLATED, Status.INCONCLUSIVE])
def test_a_measured_failure_is_waived(status: Status) -> None:
    verdict = waived(one(status), [waiver()], TODAY)
    assert verdict.status is Status.WAIVED
    opening = f"waived until 2026-11-22 by a.person: see issue 12; {status.value}: "
    assert verdict.message == f"{opening}measured 17.3 [16.9, 17.8], expected >= 16"
    assert (verdict.measured, verdict.interval) == (17.3, (16.9, 17.8)), "what was measured is still there"
    assert exit_code([verdict], strict=True) == 0
    assert verdict.to_json()["waiver"] == {
        "reason": "see issue 12",
        "owner": "a.person",
        "expiry": "2026-11-22",
        "expired": False,
        "status": status.value,
    }


@pytest.mark.parametrize("status", [Status.HOLDS, Status.ERROR, Status.STALE, Status.NOT_MEASURED])
@pytest.mark.parametrize("expiry", [TOMORROW, YESTERDAY])
def test_what_has_no_result_is_not_waived(status: Status, expiry: datetime.date) -> None:
    verdict = one(status)
    assert waived(verdict, [waiver(expiry=expiry)], TODAY) == verdict
    assert "waiver" not in verdict.to_json()


def test_a_waiver_counts_on_its_last_day() -> None:
    assert waived(one(Status.VIOLATED), [waiver(expiry=TODAY)], TODAY).status is Status.WAIVED


@pytest.mark.parametrize("status", [Status.VIOLATED, Status.INCONCLUSIVE])
def test_an_expired_waiver_leaves_the_claim_violated(status: Status) -> None:
    verdict = waived(one(status), [waiver(expiry=YESTERDAY)], TODAY)
    assert verdict.status is Status.VIOLATED
    opening = f"the waiver expired on 2026-11-20 (a.person: see issue 12); {status.value}: measured"
    assert verdict.message.startswith(opening)
    assert exit_code([verdict], strict=False) == 1
    use = judged(waiver(expiry=YESTERDAY), one(status))
    assert (use.state, use.red) == (State.EXPIRED, True)


def test_only_its_own_claim_and_setting() -> None:
    for other in (waiver(claim="veit-other"), waiver(setting="cifar10")):
        assert waived(one(Status.VIOLATED), [other], TODAY).status is Status.VIOLATED
    both = [waiver(setting="cifar10", owner="b"), waiver(setting="digits", owner="c")]
    found = waived(one(Status.VIOLATED), both, TODAY).waiver
    assert found is not None
    assert found.waiver.owner == "c"


def test_a_waiver_that_is_needed() -> None:
    use = judged(waiver(), one(Status.VIOLATED), one(setting="cifar10"), settings=("digits", "cifar10"))
    assert (use.state, use.red, use.message) == (State.USED, False, "covers digits")


def test_a_waiver_of_a_claim_that_holds_is_red() -> None:
    use = judged(waiver(), one())
    assert (use.state, use.red) == (State.UNUSED, True)
    assert exit_code([one()], strict=False, waivers=[use]) == 1
    assert exit_code([one()], strict=False) == 0


def test_an_expired_waiver_of_a_claim_that_holds_is_red() -> None:
    assert judged(waiver(expiry=YESTERDAY), one()).state is State.EXPIRED


@pytest.mark.parametrize("mine", [waiver(claim="veit-on"), waiver(setting="imagenet")])
def test_what_no_run_can_ever_judge_is_red(mine: Waiver) -> None:
    """Whatever was selected: here nothing of it."""
    assert judged(mine, one(id="he-other")).state is State.UNUSED


def test_a_claim_that_asserts_nothing_cannot_be_waived() -> None:
    (use,) = judge_waivers([waiver(claim="he-text")], [one()], [known("digits"), claim("he-text")], today=TODAY)
    assert (use.state, use.message) == (State.UNUSED, "the claim asserts nothing that could be waived")


def test_a_claim_that_was_not_selected_says_nothing() -> None:
    for mine in (waiver(), waiver(expiry=YESTERDAY)):
        use = judged(mine, one(id="he-other"))
        assert (use.state, use.red) == (State.NOT_SELECTED, False)


def test_a_setting_that_was_not_selected_says_nothing() -> None:
    assert judged(waiver(), one(), settings=("digits", "cifar10")).state is State.OPEN
    assert judged(waiver(setting="digits"), one(), settings=("digits", "cifar10")).state is State.UNUSED
    assert judged(waiver(setting="cifar10"), one(), settings=("digits", "cifar10")).state is State.NOT_SELECTED


def test_a_run_of_its_own_networks_says_nothing_about_a_target() -> None:
    both = ("digits", "target")
    assert judged(waiver(setting="target"), one(), settings=both).state is State.NOT_SELECTED
    assert judged(waiver(), one(), settings=both).state is State.UNUSED, "all that such a run can judge holds"
    assert judged(waiver(), one(setting="target"), settings=both, target=True).state is State.UNUSED
    assert judged(waiver(setting="digits"), one(setting="target"), settings=both, target=True).red is False


def test_a_part_of_a_claim_or_other_networks_say_nothing() -> None:
    assert judged(waiver(), one(), whole=False).state is State.OPEN
    assert judged(waiver(), one(Status.VIOLATED), whole=False).state is State.USED


def test_missing_settings_do_not_save_a_waiver_of_what_holds() -> None:
    missing = one(Status.NOT_MEASURED, setting="cifar10")
    assert judged(waiver(), one(), missing, settings=("digits", "cifar10")).state is State.UNUSED


@pytest.mark.parametrize("status", [Status.NOT_MEASURED, Status.ERROR, Status.STALE])
def test_without_a_result_a_waiver_is_neither_used_nor_unused(status: Status) -> None:
    use = judged(waiver(), one(status))
    assert (use.state, use.red) == (State.OPEN, False)
    assert use.message == f"the claim is {status.value}: a waiver covers VIOLATED and INCONCLUSIVE only"


def test_stale_evidence_beside_a_failure_is_not_waived() -> None:
    """The verdict is the worst check's, VIOLATED; what is stale beside it nobody has seen."""
    mixed = one(Status.VIOLATED, checks=(check(Status.VIOLATED, 3.0), check(Status.STALE, None)))
    verdict = waived(mixed, [waiver()], TODAY)
    assert (verdict.status, verdict.waiver) == (Status.VIOLATED, None)
    assert verdict.message.endswith("; not waived: a part of the evidence is STALE")
    use = judged(waiver(), mixed)
    assert (use.state, use.message) == (State.OPEN, "a part of the evidence is STALE, which a waiver does not cover")
