"""Timing runs: raw seconds per step with everything needed to judge them later.

One run is one JSON file of schema :data:`SCHEMA`.  Statistics are never stored: they are computed again from the raw
samples.  Times are seconds *per step*, lower is better.
"""

from __future__ import annotations

from typing import Any

import msgspec

from resbench.timing.worker.case import Case
from resbench.timing.worker.seen import Counts, Rates, Round

__all__ = ["SCHEMA", "TimingRecord", "TimingRun"]

SCHEMA = "resbench.timing/1"


class TimingRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One case's rounds.  ``error``: why there are none (in that case the record is MISSING, never green).

    ``unhealthy``: why the machine was not fit to measure; empty if it was.
    """

    case: Case
    version: str
    rounds: tuple[Round, ...] = ()
    counts: Counts | None = None
    error: str = ""
    unhealthy: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return self.case.key


class TimingRun(msgspec.Struct, frozen=True, omit_defaults=True):
    """One invocation of ``resbench bench`` (or what was read from another tool's file).

    ``environment``: :func:`resbench.records.environment.environment`.  ``fingerprint``: names machine and torch,
    ``cpu-epyc-7xx3-torch2.15``.  ``created``: ISO 8601, UTC.
    """

    schema: str
    name: str
    created: str
    fingerprint: str
    environment: dict[str, Any]
    records: tuple[TimingRecord, ...]
    rates: tuple[Rates, ...] = ()

    def by_key(self) -> dict[str, TimingRecord]:
        return {record.key: record for record in self.records}
