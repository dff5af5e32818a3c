"""The kill matrix: which claims and tests see which fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from resbench.faults.child import Answer
from resbench.faults.fault import Fault
from resbench.plan import Item

__all__ = ["FAILURES", "Matrix", "Row"]

FAILURES = frozenset({"VIOLATED", "INCONCLUSIVE", "STALE", "ERROR"})
"""The statuses with which `resbench check` fails."""


@dataclass(frozen=True)
class Row:
    """What came of one fault: ``claims`` and ``tests`` as they ended with it; ``error``: why it could not be tried;
    ``seconds``: of one core, all together.

    ``baseline`` and ``tests_before``: how they end without any fault.  Only what HOLDS, or passes, there can kill.
    """

    fault: Fault
    claims: Mapping[str, Answer]
    tests: Mapping[str, Answer]
    baseline: Mapping[str, Answer]
    tests_before: Mapping[str, Answer]
    error: str = ""
    seconds: float = 0.0

    @property
    def killers(self) -> list[str]:
        """The ids of the claims (``claim@setting``) that fail because of the fault."""
        return [id for id, (status, _) in self.claims.items() if status in FAILURES and self.baseline[id][0] == "HOLDS"]

    @property
    def killing_tests(self) -> list[str]:
        """The tests that fail because of it."""
        return [id for id, (how, _) in self.tests.items() if how == "failed" and self.tests_before[id][0] == "passed"]

    @property
    def killed_by(self) -> list[str]:
        return [*self.killers, *self.killing_tests]

    @property
    def undecided(self) -> str:
        """Why nobody could see the fault; empty where somebody could."""
        able = [id for id in self.claims if self.baseline[id][0] == "HOLDS"]
        able += [id for id, (how, _) in self.tests.items() if how != "not run" and self.tests_before[id][0] == "passed"]
        if able or self.error:
            return ""
        told = [
            f"{id} is {how} without the fault{': ' if why else ''}{why}"
            for id, (how, why) in (*self.tests_before.items(), *self.baseline.items())
        ]
        return told[0] if told else "none of its claims is among those asked for"

    @property
    def survived(self) -> bool:
        return not (self.killed_by or self.error or self.undecided)


@dataclass(frozen=True)
class Matrix:
    """``items``: what was judged of any fault; ``whole``: every fault was tried, which shows what claims kill none.

    ``seconds``: by the clock; ``core_seconds``: of one core, all processes together.
    """

    rows: Sequence[Row]
    items: Sequence[Item]
    baseline: Mapping[str, Answer]
    whole: bool
    seconds: float = 0.0
    core_seconds: float = 0.0
    environment: Mapping[str, Any] = field(default_factory=dict)

    @property
    def survivors(self) -> list[str]:
        return [row.fault.name for row in self.rows if row.survived]

    @property
    def errors(self) -> dict[str, str]:
        """Faults that could not be tried, and why."""
        return {row.fault.name: row.error for row in self.rows if row.error}

    @property
    def undecided(self) -> dict[str, str]:
        """Faults that nobody who is here could see, and why."""
        return {row.fault.name: row.undecided for row in self.rows if row.undecided}

    @property
    def idle(self) -> list[str]:
        """The exact, structural and trained claims that HOLD somewhere, kill nothing, and are not called descriptive.

        Without those whose wording is unverified: they fail no run.  Of a run in which faults were judged by the claims
        that they name, those that killed none of the faults that name them.  Empty where not every fault was tried.
        """
        busy = {id.split("@")[0] for row in self.rows for id in row.killers}
        able = [
            item.claim
            for item in self.items
            if self.baseline[item.id][0] == "HOLDS" and {e.kind for e in item.claim.expect} != {"reference"}
        ]
        ids = dict.fromkeys(claim.id for claim in able if claim.verified and not claim.descriptive)
        return [id for id in ids if id not in busy] if self.whole else []

    @property
    def passed(self) -> bool:
        """Whether every fault was killed and, where all were tried, every claim that can kills one."""
        return not (self.survivors or self.errors or self.undecided or self.idle)

    def to_json(self) -> dict[str, Any]:
        """``statuses`` are those that are not HOLDS: of all that ``baseline`` (or the fault's ``claims``) lists."""
        return {
            "schema": "resbench.faults/1",
            "environment": dict(self.environment),
            "seconds": round(self.seconds, 1),
            "core_seconds": round(self.core_seconds, 1),
            "whole": self.whole,
            "baseline": {id: status for id, (status, _) in self.baseline.items()},
            "faults": [self._row(row) for row in self.rows],
            "survivors": self.survivors,
            "errors": self.errors,
            "undecided": self.undecided,
            "idle_claims": self.idle,
            "passed": self.passed,
        }

    @staticmethod
    def _row(row: Row) -> dict[str, Any]:
        return {
            "name": row.fault.name,
            "where": row.fault.where,
            "what": row.fault.what,
            "claims": list(row.fault.claims),
            "judged": len(row.claims),
            "core_seconds": round(row.seconds, 1),
            "killed_by": row.killed_by,
            "statuses": {id: status for id, (status, _) in row.claims.items() if status != "HOLDS"},
            "tests": [{"test": id, "status": how, "why": why} for id, (how, why) in row.tests.items()],
        }
