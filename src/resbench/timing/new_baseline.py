"""A win must move the baseline, or the next loss hides behind it: the new baseline, ready to commit."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from resbench.errors import UserError
from resbench.records.environment import environment
from resbench.records.places import baselines, write_atomically
from resbench.timing.ab import AbResult, AbRow
from resbench.timing.change import Change
from resbench.timing.fingerprint import fingerprint
from resbench.timing.record import SCHEMA, TimingRecord, TimingRun
from resbench.timing.store import encode, load, store
from resbench.timing.worker.seen import Round

__all__ = ["new_baseline", "write_new_baseline"]


def write_new_baseline(result: AbResult, commit: str = "") -> Path | None:
    """:func:`new_baseline` as a file beside the saved runs, where any case is FASTER; None where nothing is."""
    if not any(row.change is Change.FASTER for row in result.rows):
        return None
    run = new_baseline(result, commit)
    path = store().parent / "new-baselines" / f"{run.name}.json"
    write_atomically(path, encode(run))
    return path


def new_baseline(result: AbResult, commit: str = "") -> TimingRun:
    """This machine's baseline with head's samples of the cases that are FASTER; all of head's where there is none.

    ``commit``: head's, empty for a working tree.  Cases that are not FASTER keep their record: a baseline that followed
    every run would drift with it.
    """
    found = {**environment(), **result.facts}
    if commit:
        found["git"] = {"commit": commit, "dirty": False}
    name = fingerprint(found)
    old = _committed(name)
    kept = {} if old is None else old.by_key()
    chosen = [row for row in result.rows if row.pairs and (old is None or row.change is Change.FASTER)]
    records = kept | {row.head.key: _record(row) for row in chosen}
    rates = {(one.device, one.dtype): one for one in (*(old.rates if old else ()), *result.rates)}
    return TimingRun(
        schema=SCHEMA,
        name=name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        fingerprint=name,
        environment=found,
        records=tuple(records.values()),
        rates=tuple(rates.values()),
    )


def _committed(name: str) -> TimingRun | None:
    path = baselines() / "throughput" / f"{name}.json"
    try:
        return load(str(path)) if path.is_file() else None
    except UserError as error:
        raise UserError(f"the committed baseline is unusable: {error}") from error


def _record(row: AbRow) -> TimingRecord:
    rounds = tuple(Round(pair.head, pair.steps, pair.warmup, pair.steady) for pair in row.pairs)
    return TimingRecord(row.head, row.head.version, rounds, row.counts[1])
