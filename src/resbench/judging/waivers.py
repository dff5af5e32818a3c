"""What waivers do to verdicts, and whether each of them is needed.

A waiver accepts a *result* that somebody has seen: a claim that was measured and came out VIOLATED or INCONCLUSIVE
becomes WAIVED, green but counted apart.  It does not cover what has no result: ERROR (a crashed experiment, NaN) would
hide every later crash, STALE evidence says nothing about the present code, and NOT_MEASURED has nothing to accept.

A waiver that expired makes such a claim VIOLATED.  One that is not needed is itself a failure, since it would wave
through the next failure unseen: its claim holds, is unknown, or expects nothing in that setting.  Whether it is needed
can be told only of what a run judged: a waiver of another claim, setting or target is left alone, as is one whose claim
has some setting that the run did not judge, or was judged in part or on other networks than the recorded ones.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from resbench.claims.model import Claim
from resbench.judging.compare import Status
from resbench.records.waivers import Waiver

if TYPE_CHECKING:
    from resbench.judge import Verdict

__all__ = ["WAIVABLE", "State", "Use", "Waived", "judge_waivers", "waived"]

WAIVABLE = (Status.VIOLATED, Status.INCONCLUSIVE)
"""The failures that a waiver covers."""


class State(StrEnum):
    """``OPEN``: this run cannot tell whether the waiver is needed; ``NOT_SELECTED``: it judged nothing of its claim."""

    USED = "used"
    EXPIRED = "expired"
    UNUSED = "unused"
    OPEN = "open"
    NOT_SELECTED = "not selected"


@dataclass(frozen=True)
class Waived:
    """The waiver of one verdict; ``status`` is what the verdict is without it."""

    waiver: Waiver
    status: Status
    expired: bool

    @property
    def sentence(self) -> str:
        """Who answers for it until when, and why."""
        mine = self.waiver
        if self.expired:
            return f"the waiver expired on {mine.expiry} ({mine.owner}: {mine.reason})"
        return f"waived until {mine.expiry} by {mine.owner}: {mine.reason}"

    @property
    def opening(self) -> str:
        """How the verdict's message begins; what was measured follows."""
        return f"{self.sentence}; {self.status.value}: "

    def to_json(self) -> dict[str, Any]:
        fields = {name: value for name, value in self.waiver.to_json().items() if name in ("reason", "owner", "expiry")}
        return {**fields, "expired": self.expired, "status": self.status.value}


@dataclass(frozen=True)
class Use:
    """What became of one waiver in a run."""

    waiver: Waiver
    state: State
    message: str

    @property
    def red(self) -> bool:
        return self.state in (State.EXPIRED, State.UNUSED)

    def to_json(self) -> dict[str, Any]:
        return {**self.waiver.to_json(), "state": self.state.value, "message": self.message}


def waived(verdict: Verdict, waivers: Sequence[Waiver], today: datetime.date) -> Verdict:
    """The verdict under the waivers: WAIVED, VIOLATED where its waiver has expired, or as it is."""
    mine = next((one for one in waivers if one.claim == verdict.id and one.setting in ("", verdict.setting)), None)
    if mine is None or verdict.status not in WAIVABLE:
        return verdict
    if any(check.judgement.status is Status.STALE for check in verdict.checks):
        return replace(verdict, message=f"{verdict.message}; not waived: a part of the evidence is STALE")
    waiver = Waived(mine, verdict.status, mine.expiry < today)
    status = Status.VIOLATED if waiver.expired else Status.WAIVED
    return replace(verdict, status=status, message=waiver.opening + verdict.message, waiver=waiver)


def judge_waivers(
    waivers: Sequence[Waiver],
    verdicts: Sequence[Verdict],
    claims: Sequence[Claim],
    *,
    today: datetime.date,
    target: bool = False,
    whole: bool = True,
) -> list[Use]:
    """What became of each waiver in a run that gave these verdicts (of :func:`waived`).

    Args:
        claims: the whole catalogue.
        target: the run was about a user's network; else about resbench's own.
        whole: claims were judged with all their expectations, on the networks that are recorded; only then does a claim
            that holds make its waiver unused.
    """
    known = {claim.id: claim for claim in claims}
    found = {(verdict.id, verdict.setting): verdict for verdict in verdicts}
    return [Use(one, *_state(one, known, found, today, target, whole)) for one in waivers]


def _state(
    waiver: Waiver,
    known: Mapping[str, Claim],
    found: Mapping[tuple[str, str], Verdict],
    today: datetime.date,
    target: bool,
    whole: bool,
) -> tuple[State, str]:
    claim = known.get(waiver.claim)
    if claim is None:
        return State.UNUSED, "there is no such claim: `resbench claims` lists them"
    if not claim.settings:
        return State.UNUSED, "the claim asserts nothing that could be waived"
    if waiver.setting and waiver.setting not in claim.settings:
        return State.UNUSED, f"the claim expects nothing there, only in {', '.join(claim.settings)}"
    scope = [s for s in claim.settings if (s == "target") is target and waiver.setting in ("", s)]
    judged = [found[waiver.claim, setting] for setting in scope if (waiver.claim, setting) in found]
    if not judged:
        return State.NOT_SELECTED, "not judged in this run"
    if waiver.expiry < today:
        return State.EXPIRED, f"expired on {waiver.expiry}: mend the claim, or decide anew"
    if any(verdict.status is Status.WAIVED for verdict in judged):
        return (
            State.USED,
            f"covers {', '.join(verdict.setting for verdict in judged if verdict.status is Status.WAIVED)}",
        )
    statuses = {verdict.status for verdict in judged}
    if statuses <= {Status.HOLDS, Status.NOT_MEASURED} and Status.HOLDS in statuses:
        if whole and len(judged) == len(scope):
            return State.UNUSED, "the claim holds: remove the waiver"
        return State.OPEN, "the claim holds in this run, which is not all that the waiver is about"
    if statuses & {*WAIVABLE}:
        return State.OPEN, "a part of the evidence is STALE, which a waiver does not cover"
    names = ", ".join(sorted(status.value for status in statuses - {Status.HOLDS}))
    return State.OPEN, f"the claim is {names}: a waiver covers {' and '.join(WAIVABLE)} only"
