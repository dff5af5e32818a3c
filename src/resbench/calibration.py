"""What the trained claims give over many seeds: the record that tolerances and false-alarm probabilities come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resbench.claims.loader import load_claims
from resbench.claims.lock import fingerprint
from resbench.claims.model import Claim
from resbench.errors import Damaged, UserError
from resbench.judge import Status, judge_claim
from resbench.plan import Item, Run, items_of, partial_results
from resbench.records.aside import set_aside
from resbench.records.environment import environment
from resbench.records.locking import Held, held
from resbench.records.measurement import Measurement
from resbench.records.places import baselines
from resbench.records.seeds import OLD, decode_seed, read_seed_records, seed_path, write_seed

__all__ = ["false_alarms", "read_seeds", "record_seeds"]


def seeds_path(setting: str) -> Path:
    """The folder of the committed seeds of a setting."""
    return baselines() / "claims" / setting


def read_seeds(path: Path) -> dict[str, Any]:
    """All seeds of a folder, or of a file of schema 1, in the form of such a file; none where there is nothing.

    Raises:
        UserError: a file there is damaged.
    """
    seeds = read_seed_records(path)
    plain = {str(n): {"environment": one.environment, "claims": one.values()} for n, one in seeds.items()}
    return {"schema": 1, "seeds": plain}


def record_seeds(setting: str, folders: Sequence[Path], out: Path) -> str:
    """Judge every trained claim of ``setting`` on the checkpoints of each folder; a file of each seed in ``out``.

    Written after each folder, so that an interruption loses one seed at most.  A damaged file of the seed is set aside.
    A seed that another process is at is left to it.  Returns one line on what was recorded.

    Raises:
        UserError: a folder without checkpoints, or a record that cannot be written.
    """
    if out.suffix == ".json":
        where = f"give the folder, {out.parent}; `resbench records migrate` splits an older {OLD}"
        raise UserError(f"--out {out}: seeds are recorded in a file each: {where}")
    items = items_of(load_claims(), kinds=("trained",), settings=(setting,))
    recorded, failed = 0, 0
    elsewhere: list[str] = []
    for folder in folders:
        path = seed_path(out, _seed_of(setting, folder))
        try:
            with held(path, "calibrating"):
                failed += _record(setting, items, folder, path)
            recorded += 1
        except Held as other:
            elsewhere.append(f"{path.name} ({other.by or 'another process'})")
    text = f"{recorded} seeds recorded in {out}; {failed} verdicts were neither HOLDS nor NOT_MEASURED"
    return f"{text}; left to another process: {', '.join(elsewhere)}" if elsewhere else text


def _record(setting: str, items: Sequence[Item], folder: Path, path: Path) -> int:
    """Measure and record one seed; returns how many verdicts were neither HOLDS nor NOT_MEASURED."""
    try:
        if path.exists():
            decode_seed(path.read_bytes(), path)
    except Damaged as damage:
        set_aside(damage, "measured again")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    run = Run(items, folders={setting: folder}, partial=partial_results({setting: folder}))
    entries, failed = {}, 0
    for item in items:
        entry = _entry(item, run.outcomes(item))
        failed += entry["status"] not in (Status.HOLDS, Status.NOT_MEASURED)
        entries[item.claim.id] = entry
    write_seed(path.parent, setting, _seed_of(setting, folder), environment(), entries)
    run.finish()
    return failed


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
