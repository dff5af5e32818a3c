"""Claims and what was measured for them to verdicts.

Only HOLDS is green.  A claim's expectations in one setting are judged together: the worst of them is the verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from resbench.claims.loader import cite
from resbench.claims.model import Claim, Expectation
from resbench.errors import NotMeasured, Stale
from resbench.judging.compare import Judgement, Status, compare
from resbench.judging.values import expected_text
from resbench.judging.waivers import Use, Waived
from resbench.records.measurement import Measurement

__all__ = [
    "WORST_FIRST",
    "Check",
    "Judgement",
    "Status",
    "Verdict",
    "compare",
    "exit_code",
    "judge_claim",
    "summary",
    "unmeasured",
]

WORST_FIRST = (
    Status.ERROR,
    Status.VIOLATED,
    Status.STALE,
    Status.INCONCLUSIVE,
    Status.NOT_MEASURED,
    Status.WAIVED,
    Status.HOLDS,
)
"""The worst of a claim's checks is its verdict."""
_FAILURES = frozenset({Status.ERROR, Status.VIOLATED, Status.STALE, Status.INCONCLUSIVE})
_UNVERIFIED = frozenset({Status.ERROR, Status.VIOLATED, Status.INCONCLUSIVE})


@dataclass(frozen=True)
class Check:
    """One expectation's judgement, and what it was judged on.

    ``method`` and ``n``: how the uncertainty was computed and from how many samples; empty and None where nothing was
    measured.  ``detail``: the measurement's own sentence.
    """

    judgement: Judgement
    quantity: str
    params: dict[str, object]
    unit: str
    method: str = ""
    n: int | None = None
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        judgement = self.judgement
        return {
            "quantity": self.quantity,
            "params": self.params,
            "status": judgement.status.value,
            "measured": judgement.measured,
            "expected": judgement.expected,
            "interval": _json_interval(judgement.interval),
            "unit": self.unit,
            "method": self.method,
            "n": self.n,
            "message": judgement.message,
            "detail": self.detail,
            "margin": None if judgement.margin is None else judgement.margin.to_json(),
        }


@dataclass(frozen=True)
class Verdict:
    """What became of one claim in one setting.

    ``measured``, ``expected``, ``interval`` and ``unit`` are those of the check that decided.
    ``breaks`` says what usually breaks the claim.  ``waiver``: where there is one for what went wrong.
    """

    id: str
    version: int
    kind: str
    setting: str
    status: Status
    measured: Any
    expected: str
    interval: tuple[float, float] | None
    unit: str
    source: str
    message: str
    statement: str
    breaks: str
    checks: tuple[Check, ...]
    waiver: Waived | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "version": self.version,
            "kind": self.kind,
            "setting": self.setting,
            "status": self.status.value,
            "measured": self.measured,
            "expected": self.expected,
            "interval": _json_interval(self.interval),
            "unit": self.unit,
            "source": self.source,
            "message": self.message,
            "checks": [check.to_json() for check in self.checks],
            **({} if self.waiver is None else {"waiver": self.waiver.to_json()}),
        }


def _json_interval(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)


def judge_claim(claim: Claim, setting: str, outcomes: Sequence[Measurement | Exception]) -> Verdict:
    """The verdict on a claim from what its expectations in ``setting`` gave, in their order.

    An outcome is a measurement or what the experiment raised.  A setting without expectations is NOT_MEASURED.
    Raises:
        ValueError: outcomes and expectations differ in number.
    """
    expectations = [expectation for expectation in claim.expect if expectation.setting == setting]
    if len(expectations) != len(outcomes):
        raise ValueError(f"{claim.id}@{setting}: {len(outcomes)} outcomes for {len(expectations)} expectations")
    checks = tuple(_check(expectation, outcome) for expectation, outcome in zip(expectations, outcomes, strict=True))
    if checks:
        deciding = min(checks, key=lambda check: WORST_FIRST.index(check.judgement.status))
        judgement, unit = deciding.judgement, deciding.unit
    else:
        reason = claim.not_asserted or f"the claim expects nothing in the setting '{setting}'"
        judgement, unit = Judgement(Status.NOT_MEASURED, None, "", None, reason), ""
    if not claim.verified and judgement.status in _UNVERIFIED:
        message = f"unverified ([memory]): would be {judgement.status.value}: {judgement.message}"
        judgement = replace(judgement, status=Status.NOT_MEASURED, message=message)
    return _verdict(claim, setting, expectations[0].kind if expectations else claim.kind, judgement, unit, checks)


def unmeasured(claim: Claim, setting: str, reason: str) -> Verdict:
    """NOT_MEASURED in ``setting``, where the claim's expectations (of other settings) cannot be judged."""
    judgement = Judgement(Status.NOT_MEASURED, None, "", None, reason)
    return _verdict(claim, setting, claim.kind, judgement, "", ())


def _verdict(
    claim: Claim, setting: str, kind: str, judgement: Judgement, unit: str, checks: tuple[Check, ...]
) -> Verdict:
    return Verdict(
        id=claim.id,
        version=claim.version,
        kind=kind,
        setting=setting,
        status=judgement.status,
        measured=judgement.measured,
        expected=judgement.expected,
        interval=judgement.interval,
        unit=unit,
        source=cite(claim),
        message=judgement.message,
        statement=claim.statement,
        breaks=claim.breaks,
        checks=checks,
    )


def _check(expectation: Expectation, outcome: Measurement | Exception) -> Check:
    if isinstance(outcome, Measurement):
        judgement = compare(expectation.compare, outcome)
        if outcome.detail and judgement.status in (Status.VIOLATED, Status.INCONCLUSIVE):
            # The measurement's own sentence says where: in which unit, in which layer.
            judgement = replace(judgement, message=f"{judgement.message}; {outcome.detail}")
        method, n, detail = outcome.method, outcome.n, outcome.detail
    else:
        text = " ".join(str(outcome).split())
        known = {NotMeasured: Status.NOT_MEASURED, Stale: Status.STALE}
        status = known.get(type(outcome), Status.ERROR)
        message = f"{type(outcome).__name__}: {text}".removesuffix(": ") if status is Status.ERROR else text
        judgement = Judgement(status, None, expected_text(expectation.compare), None, message)
        method, n, detail = "", None, ""
    return Check(judgement, expectation.quantity, expectation.params, expectation.unit, method, n, detail)


def exit_code(verdicts: Sequence[Verdict], strict: bool, waivers: Sequence[Use] = ()) -> int:
    """0 where nothing failed; 1 for any VIOLATED, INCONCLUSIVE, STALE or ERROR, for NOT_MEASURED where ``strict``.

    A waiver that is unused or expired is 1 as well, and so is no verdict at all: a run that judged nothing has shown
    nothing.
    """
    failures = _FAILURES | {Status.NOT_MEASURED} if strict else _FAILURES
    failed = any(verdict.status in failures for verdict in verdicts) or any(use.red for use in waivers)
    return int(failed or not verdicts)


def summary(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """How many verdicts there are of each status, all seven named."""
    return {status.value: sum(verdict.status is status for verdict in verdicts) for status in Status}
