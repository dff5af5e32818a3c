"""The file of the comparisons made so far: written anew after every tool's turn, added to by later runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from benchmarks.detection_workload import BATCH, REPEATS, SIDE, UNIT, WIDTH
from resbench.errors import UserError
from resbench.records.places import write_atomically

__all__ = ["SCHEMA", "WORKLOAD", "Comparison", "Record", "Session", "load", "opened", "save"]

SCHEMA = "resbench.detection/1"

WORKLOAD = f"{REPEATS} times unit {UNIT}, {WIDTH} channels at {SIDE}x{SIDE}, batch {BATCH}, inference, one thread"


class Session(msgspec.Struct, frozen=True):
    """One run of the program.

    ``start``: seconds until a process has imported the workload; ``knobs`` (:class:`.detection_tools.Knobs`) follow.
    """

    date: str
    start: float
    knobs: dict[str, float]
    environment: dict[str, Any]
    versions: dict[str, str | None]


class Comparison(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tool's verdict on one comparison.

    ``session``: index of the run that made it.  ``trial``: of this session, from 0.  ``slowdown``: per cent; 0 is
    identical code.  ``ratio``: second over first as the tool tells it; None where it does not.  ``seconds``: of wall
    time, everything included.  ``load``: runnable processes when it began (1-minute average).  ``error``: why there is
    no verdict.
    """

    session: int
    trial: int
    tool: str
    slowdown: int
    verdict: str
    alarm: bool
    seconds: float
    date: str
    ratio: float | None = None
    load: float | None = None
    error: str = ""


class Record(msgspec.Struct, frozen=True):
    """``budget``: wall seconds a comparison.  ``fingerprint``: of the machine and torch."""

    schema: str
    workload: str
    budget: float
    fingerprint: str
    sessions: tuple[Session, ...] = ()
    comparisons: tuple[Comparison, ...] = ()


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


def opened(path: Path, budget: float, fingerprint: str, workload: str = WORKLOAD) -> Record:
    """The record in ``path`` to be added to, or a new one.

    Raises:
        UserError: what is there was measured otherwise: old and new comparisons must not be counted together.
    """
    if not path.exists():
        return Record(SCHEMA, workload, budget, fingerprint)
    record = load(path)
    for what, there, here in (
        ("the workload", record.workload, workload),
        ("the machine or torch", record.fingerprint, fingerprint),
        ("the budget in seconds", f"{record.budget:g}", f"{budget:g}"),
    ):
        if there != here:
            raise UserError(f"{path}: {what} was {there}, now it is {here}: choose another --out")
    return record


def save(record: Record, path: Path) -> None:
    """Write it, so that an interruption leaves the old or the new file."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
