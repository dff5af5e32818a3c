"""Verdicts of a run that was written before, as the reports take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from resbench.claims.model import Claim
from resbench.errors import UserError
from resbench.judge import Check, Judgement, Status, Verdict
from resbench.judging.recorded import RecordedCheck, RecordedRun, RecordedVerdict
from resbench.judging.waivers import Waived
from resbench.records.waivers import Waiver

__all__ = ["restored_verdicts"]


def restored_verdicts(run: RecordedRun, claims: Sequence[Claim]) -> list[Verdict]:
    """The verdicts of ``run``; statements are those of ``claims`` where these have the same version."""
    known = {(claim.id, claim.version): claim for claim in claims}
    return [_verdict(one, known) for one in run.verdicts]


def _verdict(recorded: RecordedVerdict, known: Mapping[tuple[str, int], Claim]) -> Verdict:
    claim = known.get((recorded.id, recorded.version))
    return Verdict(
        id=recorded.id,
        version=recorded.version,
        kind=recorded.kind,
        setting=recorded.setting,
        status=recorded.status,
        measured=recorded.measured,
        expected=recorded.expected,
        interval=_interval(recorded.interval),
        unit=recorded.unit,
        source=recorded.source,
        message=recorded.message,
        statement=claim.statement if claim else "",
        breaks=claim.breaks if claim else "",
        checks=tuple(map(_check, recorded.checks)),
        waiver=None if recorded.waiver is None else _waived(recorded.id, recorded.waiver),
    )


def _check(recorded: RecordedCheck) -> Check:
    ends = _interval(recorded.interval)
    judgement = Judgement(
        recorded.status, recorded.measured, recorded.expected, ends, recorded.message, recorded.margin
    )
    return Check(
        judgement,
        recorded.quantity,
        recorded.params,
        recorded.unit,
        method=recorded.method,
        n=recorded.n,
        detail=recorded.detail,
    )


def _interval(ends: tuple[float | str, float | str] | None) -> tuple[float, float] | None:
    """Strict JSON has infinite ends as text."""
    return None if ends is None else (float(ends[0]), float(ends[1]))


def _waived(claim: str, fields: Mapping[str, Any]) -> Waived:
    """A waiver as a verdict has it.

    Raises:
        UserError: the run's file was changed by hand.
    """
    try:
        own = {name: fields[name] for name in ("reason", "owner", "expiry")}
        return Waived(
            msgspec.convert({"claim": claim, **own}, Waiver), Status(fields["status"]), bool(fields["expired"])
        )
    except (KeyError, ValueError) as error:  # msgspec's ValidationError is one
        raise UserError(f"the waiver of {claim} in the run is damaged ({error}); judge again") from error
