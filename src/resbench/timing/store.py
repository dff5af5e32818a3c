"""Timing runs as files: read, written, and found by name."""

from __future__ import annotations

import difflib
import json
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from resbench.errors import Damaged, UserError
from resbench.records.aside import set_aside
from resbench.records.locking import held
from resbench.records.places import baselines, write_atomically
from resbench.records.schemas import digest_of
from resbench.timing.record import SCHEMA, TimingRun

__all__ = [
    "checked",
    "decode",
    "encode",
    "find",
    "load",
    "names",
    "parse_json",
    "read_bytes",
    "reserved",
    "save",
    "store",
    "vacant",
]

_WAY_OUT = "measure again"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


def store() -> Path:
    """The folder of saved runs: ``RESBENCH_STORE``, or ``.resbench/runs`` of the current folder."""
    chosen = os.environ.get("RESBENCH_STORE")
    return Path(chosen) if chosen else Path(".resbench") / "runs"


def save(run: TimingRun, name: str, *, force: bool = False) -> Path:
    """Write ``run`` to the store as ``NAME.json``, or to ``name`` itself where that is a path; returns where.

    Raises:
        UserError: something of this name is there and ``force`` is not given; the name or the run is unfit to be
            stored; the folder cannot be written.
    """
    path = vacant(name, force=force)
    write_atomically(path, encode(run))
    return path


def vacant(name: str, *, force: bool = False) -> Path:
    """Where a run of this name goes; to be asked before minutes of measuring as well as after.

    A damaged file of this name is set aside.

    Raises:
        UserError: something of this name is there and ``force`` is not given, or it is no name.
    """
    path = _file(name)
    if not path.exists():
        return path
    try:
        decode(read_bytes(path), str(path))
    except Damaged as damage:  # nothing that a run could replace, and perhaps to be repaired
        set_aside(damage, "its name is free")
        return path
    except UserError:
        pass  # of another resbench, or of something else
    if not force:
        raise UserError(f"{path} exists: choose another name, or --force to replace it")
    return path


@contextmanager
def reserved(name: str, *, force: bool = False) -> Iterator[Path]:
    """:func:`vacant`, and nobody else saves a run of this name while this is open.

    Raises:
        Held: another process is measuring it.
        UserError: as :func:`vacant`.
    """
    path = _file(name)
    with held(path, "timing"):
        yield vacant(name, force=force)


def _file(name: str) -> Path:
    if name.endswith(".json"):
        return Path(name) if len(Path(name).parts) > 1 else store() / name
    if not _NAME.fullmatch(name):
        raise UserError(f"'{name}' is no name for a run: letters, digits, '.', '_', '+' and '-', or a path to a .json")
    return store() / f"{name}.json"


def load(name: str) -> TimingRun:
    """The run of this name or path.

    Raises:
        UserError: there is none, or its file is not a timing run of this version.
    """
    path = find(name)
    return decode(read_bytes(path), str(path))


def find(name: str) -> Path:
    """The file meant by ``name``: a path, a saved run, or a baseline of ``baselines/throughput``, in this order.

    Raises:
        UserError: there is none; the message names those of similar name.
    """
    path = Path(name)
    if path.is_file():
        return path
    for folder in _folders():
        candidate = folder / (name if name.endswith(".json") else f"{name}.json")
        if candidate.is_file():
            return candidate
    if path.is_dir():
        raise UserError(f"{name} is a folder, not a run: name a file in it, or `resbench history {name}`")
    known = names()
    close = difflib.get_close_matches(name, known, 3, 0.5) or known[:5]
    there = f"there is {', '.join(close)}" if close else "none is saved: `resbench bench --save NAME` saves one"
    raise UserError(f"no run '{name}', neither as a file nor in {store()} nor among the baselines; {there}")


def names() -> list[str]:
    """The names of the saved runs and of the baselines, sorted."""
    return sorted({path.stem for folder in _folders() if folder.is_dir() for path in folder.glob("*.json")})


def _folders() -> tuple[Path, Path]:
    return store(), baselines() / "throughput"


def read_bytes(path: Path) -> bytes:
    """A file's content.  Raises: UserError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def encode(run: TimingRun) -> bytes:
    """The file of a run, with its digest.  Raises: UserError where it holds what could not be read again."""
    problem = _problem(run)
    if problem:
        raise UserError(f"the run '{run.name}' cannot be stored: {problem}")
    document = msgspec.json.decode(msgspec.json.encode(run))
    document["digest"] = digest_of(document)
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def decode(content: bytes, name: str) -> TimingRun:
    """The run in a file's content; ``name`` is for messages.

    A file without a digest is one from before there was any, and is read.

    Raises:
        Damaged: it is not JSON, truncated, not what was written, or its samples are no times.
        UserError: it is of another schema.
    """
    document = parse_json(content, name)
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        what = f"of schema '{schema}'" if schema else "no timing run"
        raise UserError(f"{name} is {what}; this resbench reads '{SCHEMA}': measure again")
    try:
        run = msgspec.convert(document, TimingRun, strict=True, str_keys=True)
    except msgspec.ValidationError as error:
        raise Damaged(Path(name), f"is not a timing run: {_first(error)}", _WAY_OUT) from error
    checked(run, name)
    if "digest" in document and document["digest"] != digest_of(document):
        raise Damaged(Path(name), "is not what was written (another digest)", _WAY_OUT)
    return run


def parse_json(content: bytes, name: str) -> Any:
    """Any JSON.  Raises: Damaged where it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        what = f"is no JSON ({_first(error)}): damaged or cut short"
        raise Damaged(Path(name), what, _WAY_OUT) from error


def checked(run: TimingRun, name: str) -> TimingRun:
    """``run`` itself.  Raises: Damaged where it cannot be a run, whatever its types."""
    problem = _problem(run)
    if problem:
        raise Damaged(Path(name), f"is not a timing run: {problem}", _WAY_OUT)
    return run


def _first(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def _problem(run: TimingRun) -> str:
    """What is wrong with a run that has the right types; empty if nothing is."""
    seen: set[str] = set()
    for record in run.records:
        if record.key in seen:
            return f"'{record.key}' is in it twice"
        seen.add(record.key)
        if not record.rounds and not record.error:
            return f"'{record.key}' has neither samples nor a reason"
        if record.case.batch < 1:
            return f"'{record.key}' has no images"
        for one in record.rounds:
            if not one.seconds or not all(math.isfinite(value) and value > 0 for value in one.seconds):
                return f"'{record.key}' has a sample that is no time"
    return ""
