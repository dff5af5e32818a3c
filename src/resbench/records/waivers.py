"""Waivers: failures that somebody answers for until a day, as a project's file ``waivers.toml`` says them.

    [[waiver]]
    claim = "veit-single-delete-vgg"
    setting = "digits"            # all settings of the claim where it is left out
    reason = "the plain network was replaced, see issue 12"
    owner = "a.person"
    expiry = 2026-12-31           # the last day on which it counts (UTC)

What a waiver does to a verdict is the judge's affair (:mod:`resbench.judging.waivers`).
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from resbench.errors import UserError
from resbench.records.places import up_to_repository
from resbench.toml_files import read_toml

__all__ = ["NAME", "Waiver", "chosen_waivers", "find_waivers", "read_waivers", "today"]

NAME = "waivers.toml"


class Waiver(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry: ``claim`` is an id, ``expiry`` the last day on which it counts; no ``setting`` means all of them."""

    claim: str
    reason: str
    owner: str
    expiry: datetime.date
    setting: str = ""

    @property
    def name(self) -> str:
        """``id@setting``, as verdicts are named; the id alone where it is of all settings."""
        return f"{self.claim}@{self.setting}" if self.setting else self.claim

    def to_json(self) -> dict[str, Any]:
        """All fields, the date as ISO text."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    waiver: list[Any] = []


def today() -> datetime.date:
    """The day by which waivers expire: UTC's, the same on every machine."""
    return datetime.datetime.now(datetime.UTC).date()


def chosen_waivers(given: Path | None, start: Path) -> list[Waiver]:
    """The waivers of the file ``given``, else of the one that counts in ``start``; none where there is none.

    Raises:
        UserError: as :func:`read_waivers`.
    """
    path = given or find_waivers(start)
    return [] if path is None else read_waivers(path)


def find_waivers(start: Path) -> Path | None:
    """The file that counts in ``start``: there or in a folder above it, no further than that of the repository.

    Outside a repository only ``start`` itself is looked at: what others left in a shared folder is not the user's.
    """
    return next((folder / NAME for folder in up_to_repository(start) if (folder / NAME).is_file()), None)


def read_waivers(path: Path) -> list[Waiver]:
    """The waivers of a file, in its order.

    Raises:
        UserError: it cannot be read, an entry has unknown, missing or empty fields or a date that is none, or two
            entries waive the same.
    """
    raw = read_toml(path, str(path), "--waivers names a file of waivers")
    try:
        entries = msgspec.convert(raw, _File).waiver
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: {_explained(error)}; entries are written [[waiver]]") from None
    waivers = [_waiver(entry, f"{path}: waiver {number}") for number, entry in enumerate(entries, start=1)]
    _check_overlap(waivers, path)
    return waivers


def _waiver(entry: object, where: str) -> Waiver:
    if isinstance(entry, dict):
        if isinstance(entry.get("claim"), str):
            where += f" ({' '.join(entry['claim'].split())})"
        day = entry.get("expiry")
        if isinstance(day, datetime.datetime) or ("expiry" in entry and not isinstance(day, datetime.date | str)):
            raise UserError(f"{where}: expiry: {day} is not a date; write one as 2026-12-31")
    try:
        waiver = msgspec.convert(entry, Waiver)
    except msgspec.ValidationError as error:
        raise UserError(f"{where}: {_explained(error)}") from None
    for field in ("claim", "reason", "owner"):
        if not getattr(waiver, field).strip():
            raise UserError(f"{where}: {field}: is empty")
    return waiver


def _explained(error: msgspec.ValidationError) -> str:
    """msgspec's sentence with the field first."""
    what, _, path = str(error).partition(" - at `$")
    field = path.strip("`.")
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", what):
        return f"{unknown[1]}: unknown field"
    if missing := re.fullmatch(r"Object missing required field `(.*)`", what):
        return f"{missing[1]}: is missing"
    if "date" in what:
        return f"{field}: not a date; write one as 2026-12-31"
    return " ".join(f"{field}: {what[:1].lower()}{what[1:]}".removeprefix(": ").split())


def _check_overlap(waivers: Sequence[Waiver], path: Path) -> None:
    seen: dict[str, set[str]] = {}
    for waiver in waivers:
        settings = seen.setdefault(waiver.claim, set())
        if waiver.setting in settings or (settings and ("" in settings or not waiver.setting)):
            both = "" if waiver.setting in settings else ", once for all its settings"
            raise UserError(f"{path}: {waiver.name} is waived twice{both}; keep one of the entries")
        settings.add(waiver.setting)
