"""Which verdicts and waivers become annotations, of which level, where."""

from __future__ import annotations

import datetime

from tests.reports.report_samples import board, one

from resbench.judge import Status
from resbench.judging.waivers import State, Use
from resbench.locating import Line
from resbench.records.waivers import Waiver
from resbench.reports.annotations import Places, verdict_annotations


def use(state: State, claim: str = "veit-one") -> Use:
    expiry = datetime.date(2099, 12, 31)
    return Use(Waiver(claim=claim, reason="r", owner="o", expiry=expiry), state, "the claim holds")


def test_levels_and_the_worst_first() -> None:
    verdicts = [one(status, id=f"a-{status.value}") for status in Status]
    found = verdict_annotations(verdicts, [], Places())
    assert [(note.level, note.title) for note in found] == [
        ("error", "ERROR a-ERROR@digits"),
        ("error", "VIOLATED a-VIOLATED@digits"),
        ("error", "STALE a-STALE@digits"),
        ("warning", "INCONCLUSIVE a-INCONCLUSIVE@digits"),
        ("notice", "WAIVED a-WAIVED@digits"),
    ]


def test_what_is_inconclusive_says_that_it_fails() -> None:
    (found,) = verdict_annotations([one(Status.INCONCLUSIVE)], [], Places())
    assert found.lines[0].startswith("this fails the run as well")


def test_what_was_measured_comes_before_the_statement() -> None:
    _, verdicts = board()
    (found,) = [note for note in verdict_annotations(verdicts, [], Places()) if "vgg" in note.title]
    titles = [line.partition(":")[0] for line in found.lines]
    assert titles[:2] == ["measured", "expected"]
    assert titles[-2:] == ["statement", "source"]


def test_the_line_of_the_claim_or_of_the_target() -> None:
    places = Places({"veit-one": Line("claims/veit.toml", 12)}, Line("pyproject.toml", 3))
    own, users = verdict_annotations([one(Status.VIOLATED), one(Status.VIOLATED, setting="target")], [], places)
    assert (own.file, own.line) == ("claims/veit.toml", 12)
    assert (users.file, users.line) == ("pyproject.toml", 3)
    (nowhere,) = verdict_annotations([one(Status.VIOLATED, id="other-one")], [], places)
    assert (nowhere.file, nowhere.line) == ("", 0)


def test_waivers_that_fail_the_run_are_errors_on_their_entry() -> None:
    places = Places({}, None, {"veit-one": Line("waivers.toml", 2)})
    uses = [use(State.UNUSED), use(State.EXPIRED, "veit-two"), use(State.USED), use(State.OPEN)]
    found = verdict_annotations([], uses, places)
    assert [(note.level, note.title, note.line) for note in found] == [
        ("error", "UNUSED waiver veit-one", 2),
        ("error", "EXPIRED waiver veit-two", 0),
    ]


def test_a_waived_claim_points_to_its_waiver() -> None:
    places = Places({"veit-one": Line("claims/veit.toml", 12)}, None, {"veit-one": Line("waivers.toml", 2)})
    (found,) = verdict_annotations([one(Status.WAIVED)], [], places)
    assert (found.level, found.file) == ("notice", "waivers.toml")
    (by_setting,) = verdict_annotations([one(Status.WAIVED)], [], Places(waivers={"veit-one@digits": Line("w", 5)}))
    assert by_setting.line == 5


def test_strict_says_once_how_much_was_not_measured() -> None:
    verdicts = [one(Status.NOT_MEASURED), one(Status.NOT_MEASURED), one()]
    assert verdict_annotations(verdicts, [], Places()) == []
    (found,) = verdict_annotations(verdicts, [], Places(), strict=True)
    assert (found.level, found.lines[0][:30]) == ("error", "2 of 3 claims were not measure")
    assert verdict_annotations([one()], [], Places(), strict=True) == []
