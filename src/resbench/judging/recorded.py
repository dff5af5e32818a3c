"""A run of the claims read again: the ``verdicts.json`` that `resbench check --out FOLDER` wrote.

The file has no digest: people may cut it down to what they look at.  What a reader can tell is told: another schema, a
missing or wrong field, one claim twice, and a summary that does not count the verdicts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from resbench.errors import UserError
from resbench.judging.compare import Status
from resbench.judging.margins import Margin

__all__ = ["FILE", "RecordedCheck", "RecordedRun", "RecordedVerdict", "RecordedWaiver", "read_run", "run_of"]

FILE = "verdicts.json"
SCHEMA = 1
Number = float | str
"""Strict JSON has ``"nan"``, ``"inf"`` and ``"-inf"`` as text."""


class _Struct(msgspec.Struct, frozen=True):
    pass


class RecordedCheck(_Struct, frozen=True):
    """One expectation, as :class:`resbench.judge.Check` writes it; ``margin`` is missing in files from before it."""

    quantity: str
    params: dict[str, Any]
    status: Status
    measured: Any
    expected: str
    interval: tuple[Number, Number] | None
    unit: str
    message: str
    margin: Margin | None = None
    method: str = ""
    n: int | None = None
    detail: str = ""

    @property
    def asked(self) -> str:
        """What was measured and what it must be: equal texts are the same expectation."""
        return f"{self.quantity}({json.dumps(self.params, sort_keys=True)}) in {self.unit}, {self.expected}"


class RecordedVerdict(_Struct, frozen=True):
    """As :class:`resbench.judge.Verdict` writes it; ``waiver`` as it stands in the file."""

    id: str
    version: int
    kind: str
    setting: str
    status: Status
    measured: Any
    expected: str
    interval: tuple[Number, Number] | None
    unit: str
    source: str
    message: str
    checks: tuple[RecordedCheck, ...]
    waiver: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """``id@setting``."""
        return f"{self.id}@{self.setting}"


class RecordedWaiver(_Struct, frozen=True):
    """What became of a waiver; ``setting`` is empty where it is of all the claim's settings."""

    claim: str
    state: str
    message: str
    setting: str = ""

    @property
    def name(self) -> str:
        return f"{self.claim}@{self.setting}" if self.setting else self.claim

    @property
    def red(self) -> bool:
        """Whether it fails its run."""
        return self.state in ("expired", "unused")


class RecordedRun(_Struct, frozen=True):
    """A run: where it was measured, the verdicts in the order of the catalogue, the waivers that counted.

    ``at``: when it was judged (UTC, ISO 8601); empty in files from before it.
    """

    environment: dict[str, Any]
    verdicts: tuple[RecordedVerdict, ...]
    summary: dict[str, int]
    waivers: tuple[RecordedWaiver, ...] = ()
    at: str = ""

    def named(self) -> Mapping[str, RecordedVerdict]:
        """The verdicts by ``id@setting``."""
        return {verdict.name: verdict for verdict in self.verdicts}


def read_run(path: Path) -> RecordedRun:
    """The run in a file, or in the file ``verdicts.json`` of a folder.

    Raises:
        UserError: it is not there, is no JSON, or is not what `resbench check --out` writes.
    """
    file = path / FILE if path.is_dir() else path
    try:
        document = json.loads(file.read_bytes())
    except OSError as error:
        raise UserError(f"{file}: {error.strerror or error}; `resbench check --out FOLDER` writes one") from None
    except (ValueError, RecursionError) as error:  # text that is no UTF-8, too: json finds the encoding itself
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise UserError(f"{file}: is no JSON, or is cut off{where}; `resbench check --out FOLDER` writes it") from None
    return run_of(document, str(file))


def run_of(document: object, where: str) -> RecordedRun:
    """The run in a document of strict JSON; ``where`` is what errors name.

    Raises:
        UserError: it is of another schema, or its fields are not those of verdicts.
    """
    if not isinstance(document, dict) or "verdicts" not in document:
        raise UserError(f"{where}: holds no verdicts; `resbench check --out FOLDER` writes them")
    schema = document.get("schema")
    if schema != SCHEMA or isinstance(schema, bool):
        newer = isinstance(schema, int) and not isinstance(schema, bool) and schema > SCHEMA
        hint = "it is of a newer resbench: update" if newer else "`resbench check --out FOLDER` writes it anew"
        raise UserError(f"{where}: verdicts of schema {str(schema)[:40]!r}, not {SCHEMA}; {hint}")
    try:
        run = msgspec.convert(document, RecordedRun)
    except (ValueError, RecursionError) as error:  # lone surrogates, too
        what = " ".join(str(error).split())
        raise UserError(f"{where}: {what[:1].lower()}{what[1:]}: damaged, or not of `resbench check`") from None
    names = Counter(verdict.name for verdict in run.verdicts)
    if twice := [name for name, number in names.items() if number > 1]:
        raise UserError(f"{where}: has {twice[0]} twice; write it anew with `resbench check --out FOLDER`")
    statuses = Counter(verdict.status.value for verdict in run.verdicts)
    if Counter(run.summary) != statuses:
        raise UserError(
            f"{where}: the summary does not count the verdicts; `resbench check --out FOLDER` writes it anew"
        )
    return run
