"""What the trained claims give over many seeds: the record that tolerances and false-alarm probabilities come from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resbench.claims.loader import load_claims, resolve_quantity
from resbench.claims.lock import fingerprint
from resbench.claims.model import Claim
from resbench.errors import Damaged, UserError
from resbench.experiments.reading import requests_of
from resbench.judge import Status, judge_claim
from resbench.judging.power import Power, powers
from resbench.plan import Item, Run, items_of, partial_results
from resbench.records.aside import set_aside
from resbench.records.environment import environment
from resbench.records.locking import Held, held
from resbench.records.measurement import Measurement
from resbench.records.places import baselines
from resbench.records.seeds import OLD, decode_seed, read_seed_records, seed_path, write_seed
from resbench.records.versions import NETWORKS, VERSIONS

__all__ = ["Seeds", "claim_powers", "false_alarms", "read_seeds", "record_seeds", "seeds_of", "source_of"]


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
    about = {"fingerprint": fingerprint(item.claim), "source": source_of(item)}
    return {**about, "status": verdict.status.value, "checks": checks}


def _seed_of(setting: str, folder: Path) -> int:
    """The seed that the folder's checkpoints were trained with."""
    from resbench.training.checkpoints import read_index, read_seed

    index = read_index(folder)
    if not index:
        raise UserError(
            f"{folder}: no checkpoints; train them with `resbench train --setting {setting} --out {folder}`"
        )
    return read_seed(folder / str(next(iter(index.values()))["file"]))


@dataclass(frozen=True)
class Seeds:
    """What is recorded of one claim in one setting.

    ``item``: the claim with its expectations there.  ``entries``: of the seeds that fit it as it now stands, those that
    were NOT_MEASURED left out.  ``stale``: how many were recorded for another version of the claim, or of other
    networks, data or experiments.
    """

    item: Item
    entries: list[dict[str, Any]]
    stale: int


def seeds_of(claim: Claim) -> dict[str, Seeds]:
    """The recorded seeds of a trained claim, by setting.

    Raises:
        UserError: a record is damaged, or has not one check for each expectation.
    """
    found: dict[str, Seeds] = {}
    for setting in claim.settings:
        path = seeds_path(setting)
        if not path.exists():
            continue
        for item in items_of([claim], kinds=("trained",), settings=(setting,)):
            recorded = [seed["claims"].get(claim.id) for seed in read_seeds(path)["seeds"].values()]
            entries = [entry for entry in recorded if entry]
            if entries:
                fitting = [entry for entry in entries if _fits(entry, item)]
                if any(len(entry["checks"]) != len(item.claim.expect) for entry in fitting):
                    wanted = f"{len(item.claim.expect)} checks of {claim.id}"
                    raise UserError(f"{path}: a record of a seed has not the {wanted}; restore it, or calibrate again")
                judged = [entry for entry in fitting if entry["status"] != Status.NOT_MEASURED]
                found[setting] = Seeds(item, judged, len(entries) - len(fitting))
    return found


def _fits(entry: Mapping[str, Any], item: Item) -> bool:
    """Whether an entry is of the claim, networks, data and experiments as they are; older ones have no ``source``."""
    same = entry["fingerprint"] == fingerprint(item.claim)
    return same and ("source" not in entry or entry["source"] == source_of(item))


def source_of(item: Item) -> str:
    """A hash of what raw values come from: recipes and code of the networks, data, versions of the experiments."""
    from resbench.data import load_dataset
    from resbench.training.recipes import load_recipes

    recipes = load_recipes(item.setting)
    lines = [f"networks {NETWORKS}", f"data {load_dataset(item.setting).fingerprint}"]
    for expectation in item.claim.expect:
        for named in requests_of(resolve_quantity(expectation.quantity), expectation.params):
            for request in named if isinstance(named, list) else [named]:
                recipe = recipes.get(request.network)
                lines.append(f"{request.network} {None if recipe is None else recipe.fingerprint}")
                lines.append(f"{request.experiment} {VERSIONS.get(request.experiment)}")
    return hashlib.sha256("\n".join(sorted(set(lines))).encode()).hexdigest()[:16]


def false_alarms(claim: Claim) -> dict[str, Mapping[str, float]]:
    """How often a claim's verdict was not HOLDS over the recorded fresh seeds, by setting.

    Each entry: ``seeds``, ``alarms``, their ``probability`` (the share), and ``upper``, the 95 % upper bound
    (Clopper-Pearson) of it.  Only seeds recorded for the claim as it now stands count; of the others there is the
    number, ``stale``.
    """
    found: dict[str, Mapping[str, float]] = {}
    for setting, recorded in seeds_of(claim).items():
        counts = {"stale": recorded.stale} if recorded.stale else {}
        seeds = len(recorded.entries)
        if seeds:
            from resbench.statistics import clopper_pearson

            alarms = sum(entry["status"] != Status.HOLDS for entry in recorded.entries)
            upper = clopper_pearson(alarms, seeds, 0.90)[1]
            found[setting] = {"seeds": seeds, "alarms": alarms, "probability": alarms / seeds, "upper": upper, **counts}
        elif counts:
            found[setting] = {"seeds": 0, **counts}
    return found


def claim_powers(claim: Claim) -> dict[str, list[list[Power]]]:
    """How small an effect each of a claim's expectations can see, from the recorded fresh seeds, by setting.

    Each list has an entry for every expectation in that setting, in their order: its powers towards each bound.
    """
    found: dict[str, list[list[Power]]] = {}
    for setting, recorded in seeds_of(claim).items():
        if recorded.entries:
            checks = zip(*(entry["checks"] for entry in recorded.entries), strict=True)
            found[setting] = [
                powers(expectation.compare, [(check["measured"], check["interval"]) for check in column])
                for expectation, column in zip(recorded.item.claim.expect, checks, strict=True)
            ]
    return found
