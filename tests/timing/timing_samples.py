"""Timing runs made by hand, for tests of what is done with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resbench.timing.record import SCHEMA, TimingRecord, TimingRun
from resbench.timing.worker.case import parse
from resbench.timing.worker.seen import Counts, Rates, Round

PREACT = "unit:preact/64@8/step/float32/nchw/eager/b32/cpu1"
ORIGINAL = "unit:original/64@8/step/float32/nchw/eager/b32/cpu1"
NETWORK = "net:resnet20-preact/3x32x32/inference/float32/nchw/eager/b32/cpu1"
COUNTS = Counts(operators=40, macs=10**8, allocated=10**7, least_bytes=4 * 10**6, peak=12_300_000)
RATES = Rates("cpu1", "float32", 2e10, {10**6: 1e10, 10**8: 5e9})
ENVIRONMENT: dict[str, Any] = {
    "python": "3.11.7",
    "packages": {"torch": "2.15.0"},
    "system": "Linux x86_64",
    "cpu": "AMD EPYC",
    "cores": 2,
    "gpu": None,
    "git": {"commit": "a7ce40a" + "0" * 33, "dirty": False, "date": "2026-11-21T08:00:00+00:00"},
}


def make_record(key: str, processes: Sequence[float], **fields: Any) -> TimingRecord:
    """A record of one process for each of these undisturbed times, in seconds."""
    rounds = tuple(Round((1.01 * time, time, 1.7 * time), 10, 20, True) for time in processes)
    fields = {"counts": COUNTS, "version": "1", **fields}
    return TimingRecord(case=parse(key), rounds=rounds, **fields)


def make_run(
    name: str, records: Mapping[str, Sequence[float]] | Sequence[TimingRecord], **environment: Any
) -> TimingRun:
    """A run of these records, or of these undisturbed times by case."""
    if isinstance(records, Mapping):
        records = [make_record(key, processes) for key, processes in records.items()]
    return TimingRun(
        schema=SCHEMA,
        name=name,
        created="2026-11-21T08:30:00+00:00",
        fingerprint="cpu-epyc-7xx3-torch2.15",
        environment={**ENVIRONMENT, **environment},
        records=tuple(records),
        rates=(RATES,),
    )


def around(seconds: float, spread: float = 0.002) -> tuple[float, ...]:
    """Undisturbed times of four processes that differ by ``spread``; their geometric mean is ``seconds``."""
    return tuple(seconds * (1 + spread) ** step for step in (-1.0, -0.3, 0.3, 1.0))
