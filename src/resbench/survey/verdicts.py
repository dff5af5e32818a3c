"""The structural claims on a target, as columns of the survey."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from resbench.claims import load_claims
from resbench.claims.loader import resolve_quantity
from resbench.experiments.reading import requests_of
from resbench.judge import Status, Verdict, judge_claim
from resbench.plan import Item, Run, target_items_of
from resbench.records.measurement import Measurement
from resbench.targets.target import UserTarget

__all__ = ["VIOLATIONS", "claim_ids", "judge"]

VIOLATIONS = "violations"

_AS_TIME_ALLOWS = "unit_draws"
"""An experiment of as many training passes as fit into some seconds: which units it catches differs by machine."""

_OF_TWO = "against"
"""Experiments that compare the target with another network: there is none in a survey."""

_NAMED = 3


@lru_cache(maxsize=1)
def _items() -> tuple[Item, ...]:
    items = [item for item in target_items_of(load_claims(), kinds=("structural",)) if not item.reason]
    return tuple(item for item in items if not any(name.startswith(_OF_TWO) for name in _experiments(item)))


def claim_ids() -> list[str]:
    """The structural claims that are judged on targets, in the catalogue's order."""
    return [item.claim.id for item in _items()]


def judge(target: UserTarget) -> dict[str, str]:
    """The status of each claim by its id, and under ``violations`` what is at fault in the violated ones."""
    run = Run(_items(), target=target)
    row: dict[str, str] = {}
    said = []
    for item in _items():
        outcomes = run.outcomes(item)
        verdict = judge_claim(item.claim, item.setting, outcomes)
        row[item.claim.id] = verdict.status.value
        if verdict.status in (Status.VIOLATED, Status.ERROR):
            said.append(f"{item.claim.id}{_at_fault(item, verdict, outcomes)}")
    return {**row, VIOLATIONS: "; ".join(said)}


def _at_fault(item: Item, verdict: Verdict, outcomes: Sequence[Measurement | Exception]) -> str:
    """``: 4 units (layer1.0, layer1.1, layer1.2, ...)``: in a table that must not differ by machine, no numbers."""
    if verdict.status is Status.ERROR:
        return f": {verdict.message}"
    if _AS_TIME_ALLOWS in _experiments(item):
        return ""
    faults = [str(f) for o in outcomes if isinstance(o, Measurement) for f in (o.samples or {}).get("at_fault", ())]
    if not faults:
        return ""
    names = [fault.split(": ")[0].split(" ")[0] for fault in faults[:_NAMED]]
    more = ", ..." if len(faults) > _NAMED else ""
    return f": {len(faults)} {verdict.unit} ({', '.join(names)}{more})"


def _experiments(item: Item) -> set[str]:
    """The experiments that a claim is judged on."""
    found = set()
    for expectation in item.claim.expect:
        for read in requests_of(resolve_quantity(expectation.quantity), expectation.params):
            found |= {request.experiment for request in (read if isinstance(read, list) else [read])}
    return found
