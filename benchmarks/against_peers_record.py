"""Ratios in lock step between two things that compute the same: the file, and what they amount to."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
from tabulate import tabulate

from resbench.errors import UserError
from resbench.records.places import write_atomically
from resbench.timing.worker.case import Case, parse

__all__ = ["PAPER", "SCHEMA", "Group", "Measured", "Record", "as_json", "as_table", "groups", "load", "opened", "save"]

SCHEMA = "resbench.against-peers/1"

PAPER = 0.75
"""Training time with linear decay to 0.5 over constant depth's: it saves about 25 % (Huang 2016, section 4)."""

TARGET = 1.0


class Measured(msgspec.Struct, frozen=True, omit_defaults=True):
    """One pair of processes: ``ratio`` is head's time over base's; keys of cases; seconds per step.

    ``steady``: of both sides' warm-up.  ``load``: runnable processes when it began.  ``error``: why there is no ratio.
    """

    base: str
    head: str
    date: str
    ratio: float | None = None
    base_seconds: float | None = None
    head_seconds: float | None = None
    steady: bool = True
    load: float | None = None
    error: str = ""


class Record(msgspec.Struct, frozen=True):
    """All pairs measured on one machine, by one or several runs; ``environment``: of the last run."""

    schema: str
    fingerprint: str
    environment: dict[str, Any]
    measured: tuple[Measured, ...] = ()


def load(path: Path) -> Record:
    """The record in ``path``.  Raises: UserError where there is none or it is another's."""
    try:
        record = msgspec.json.decode(path.read_bytes(), type=Record)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise UserError(f"{path} is no record of this program: {error}; choose another --out") from error
    if record.schema != SCHEMA:
        raise UserError(f"{path} is of schema '{record.schema}', not '{SCHEMA}': choose another --out")
    return record


def opened(path: Path, fingerprint: str, environment: dict[str, Any]) -> Record:
    """The record in ``path`` to be added to, or a new one.  Raises: UserError where it is of another machine."""
    if not path.exists():
        return Record(SCHEMA, fingerprint, environment)
    record = load(path)
    if record.fingerprint != fingerprint:
        raise UserError(f"{path} was measured on {record.fingerprint}, this is {fingerprint}: choose another --out")
    return msgspec.structs.replace(record, environment=environment)


def save(record: Record, path: Path) -> None:
    """Write it, so that an interruption leaves the old or the new file."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")


@dataclass(frozen=True)
class Group:
    """Cases of one kind: of each the geometric mean over its pairs; ``pairs``: the fewest of any case."""

    name: str
    cases: int
    pairs: int
    median: float
    lowest: float
    highest: float


def groups(measured: Sequence[Measured]) -> list[Group]:
    """By peer and pass; then all peers, the control and stochastic depth."""
    peers, controls, others = list[Measured](), list[Measured](), list[Measured]()
    for one in measured:
        base = parse(one.base)
        (controls if one.base == one.head else peers if base.kind == "peer" else others).append(one)
    names = dict.fromkeys(_name(parse(one.base)) for one in peers)
    found = [(name, [one for one in peers if _name(parse(one.base)) == name]) for name in names]
    found += [("all units over peers", peers), ("a unit over itself", controls)]
    found += [
        (_other(key), [one for one in others if (one.base, one.head) == key])
        for key in dict.fromkeys((one.base, one.head) for one in others)
    ]
    return [group for name, part in found if (group := _group(name, part)) is not None]


def _name(case: Case) -> str:
    return f"{case.name}, {case.passing}"


def _other(key: tuple[str, str]) -> str:
    case = parse(key[1])
    return f"{case.name}, {case.passing}, b{case.batch}"


def _group(name: str, part: Iterable[Measured]) -> Group | None:
    logs: dict[tuple[str, str], list[float]] = {}
    for one in part:
        if one.ratio is not None:
            logs.setdefault((one.base, one.head), []).append(math.log(one.ratio))
    if not logs:
        return None
    ratios = [math.exp(statistics.fmean(values)) for values in logs.values()]
    fewest = min(len(values) for values in logs.values())
    return Group(name, len(ratios), fewest, statistics.median(ratios), min(ratios), max(ratios))


def as_table(record: Record) -> str:
    """For people, within 80 columns."""
    heads = ["time of ours over", "cases", "pairs", "median", "low", "high"]
    rows = [
        [one.name, one.cases, one.pairs, f"{one.median:.3f}", f"{one.lowest:.3f}", f"{one.highest:.3f}"]
        for one in groups(record.measured)
    ]
    if not rows:
        return "no pairs yet"
    lines = [tabulate(rows, heads, tablefmt="simple", disable_numparse=True, colalign=("left", *["right"] * 5)), ""]
    lines.append(f"In lock step, one thread; {record.fingerprint}. low, high: of the cases.")
    lines.append(f"Aim: the median over all peers is at most {TARGET:.2f}.")
    lines.append(f"Stochastic depth to p_L = 0.5 over constant depth: {PAPER} in the paper.")
    failed = {(one.head, one.base, one.error) for one in record.measured if one.ratio is None}
    lines += [f"not measured: {head} over {base}: {error}" for head, base, error in sorted(failed)]
    return "\n".join(lines)


def as_json(record: Record) -> dict[str, object]:
    """For programs."""
    found = groups(record.measured)
    return {
        "schema": record.schema,
        "fingerprint": record.fingerprint,
        "target": TARGET,
        "paper": PAPER,
        "groups": [asdict(one) for one in found],
    }
