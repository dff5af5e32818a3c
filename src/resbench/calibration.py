"""What the trained claims give over many seeds: the record that tolerances and false-alarm probabilities come from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resbench.claims.loader import load_claims
from resbench.claims.lock import fingerprint
from resbench.claims.model import Claim
from resbench.errors import UserError
from resbench.judge import Status, judge_claim
from resbench.plan import Item, Run, items_of, partial_results
from resbench.records.environment import environment
from resbench.records.measurement import Measurement
from resbench.records.places import baselines, write_atomically

__all__ = ["false_alarms", "read_seeds", "record_seeds"]


def seeds_path(setting: str) -> Path:
    return baselines() / "claims" / setting / "seeds.json"


def read_seeds(path: Path) -> dict[str, Any]:
    """The record at ``path``; an empty one where there is none.

    Raises:
        UserError: the file is not such a record.
    """
    if not path.exists():
        return {"schema": 1, "seeds": {}}
    try:
        record: dict[str, Any] = json.loads(path.read_text())
        if record["schema"] != 1 or not isinstance(record["seeds"], dict):
            raise ValueError("schema 1 expected")
        return record
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a record of seeds ({error}); restore it, or name another file") from error


def record_seeds(setting: str, folders: Sequence[Path], out: Path) -> str:
    """Judge every trained claim of ``setting`` on the checkpoints of each folder; extend the record at ``out``.

    Written after each folder, so that an interruption loses one seed at most.  Returns one line on what was recorded.

    Raises:
        UserError: a folder without checkpoints, or a record that cannot be read or written.
    """
    record = read_seeds(out)
    items = items_of(load_claims(), kinds=("trained",), settings=(setting,))
    failed = 0
    for folder in folders:
        seed = _seed_of(setting, folder)
        run = Run(items, folders={setting: folder}, partial=partial_results({setting: folder}))
        entries = {}
        for item in items:
            entry = _entry(item, run.outcomes(item))
            failed += entry["status"] not in (Status.HOLDS, Status.NOT_MEASURED)
            entries[item.claim.id] = entry
        record["seeds"][str(seed)] = {"environment": environment(), "claims": entries}
        record["seeds"] = dict(sorted(record["seeds"].items(), key=lambda pair: int(pair[0])))
        write_atomically(out, (json.dumps(record, indent=1) + "\n").encode())
        run.finish()
    return f"{len(folders)} seeds recorded in {out}; {failed} verdicts were neither HOLDS nor NOT_MEASURED"


def _entry(item: Item, outcomes: Sequence[Measurement | Exception]) -> dict[str, Any]:
    verdict = judge_claim(item.claim, item.setting, outcomes)
    checks = []
    for check, outcome in zip(verdict.checks, outcomes, strict=True):
        judgement = check.judgement
        entry = {"quantity": check.quantity, "measured": judgement.measured, "interval": judgement.interval}
        if isinstance(outcome, Measurement) and outcome.samples:
            entry["samples"] = dict(outcome.samples)
        checks.append({**entry, "status": judgement.status.value})
    return {"fingerprint": fingerprint(item.claim), "status": verdict.status.value, "checks": checks}


def _seed_of(setting: str, folder: Path) -> int:
    """The seed that the folder's checkpoints were trained with."""
    from resbench.training.checkpoints import read_index, read_seed

    index = read_index(folder)
    if not index:
        raise UserError(
            f"{folder}: no checkpoints; train them with `resbench train --setting {setting} --out {folder}`"
        )
    return read_seed(folder / str(next(iter(index.values()))["file"]))


def false_alarms(claim: Claim) -> dict[str, Mapping[str, float]]:
    """How often a claim's verdict was not HOLDS over the recorded fresh seeds, by setting.

    Each entry: ``seeds``, ``alarms``, and ``upper``, the 95 % upper bound (Clopper-Pearson) of the false-alarm
    probability.  Only seeds recorded for the claim as it now stands count.
    """
    found: dict[str, Mapping[str, float]] = {}
    for setting in claim.settings:
        path = seeds_path(setting)
        if not path.exists():
            continue
        restricted = [item for item in items_of([claim], settings=(setting,)) if item.claim.expect[0].kind == "trained"]
        if not restricted:
            continue
        current = fingerprint(restricted[0].claim)
        entries = [seed["claims"].get(claim.id) for seed in read_seeds(path)["seeds"].values()]
        statuses = [entry["status"] for entry in entries if entry and entry["fingerprint"] == current]
        judged = [status for status in statuses if status != Status.NOT_MEASURED]
        if judged:
            from resbench.statistics import clopper_pearson

            alarms = sum(status != Status.HOLDS for status in judged)
            upper = clopper_pearson(alarms, len(judged), 0.90)[1]
            found[setting] = {"seeds": len(judged), "alarms": alarms, "upper": upper}
    return found
