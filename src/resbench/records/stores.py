"""Any folder of records: what is in it, whole, damaged, or something else.

For people who keep, merge and compare stores.  Which kind of record a file is, its own schema says; names and places
are checked against what stands in it.  Nothing is written here, and no link is followed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from resbench.errors import Damaged, UserError
from resbench.records.evidence import EVIDENCE, Evidence, decode_evidence
from resbench.records.index import INDEX
from resbench.records.places import inside
from resbench.records.schemas import schema_of
from resbench.records.seeds import OLD, SEED, SeedRecord, decode_seed, decode_seeds
from resbench.records.versions import VERSIONS

if TYPE_CHECKING:
    from resbench.timing.record import TimingRun

__all__ = ["Item", "Store", "mixed", "read_store", "whole_store"]

_WAY_OUT: Final = "restore the file, or remove it"
_PLACES: Final = {
    SEED.name: re.compile(r"(^|/)seed-\d+\.json$"),
    EVIDENCE.name: re.compile(rf"/({'|'.join(VERSIONS)})\.json$"),
}
"""Where nothing but a record of this kind belongs."""


@dataclass(frozen=True)
class Item:
    """A record.  ``name``: its path in the store, with slashes.  ``content``: as it is, or as it would be written."""

    name: str
    path: Path
    content: bytes
    record: Evidence | SeedRecord | TimingRun

    @property
    def at(self) -> str:
        """When it was made, ISO 8601; empty where it does not say."""
        if isinstance(self.record, Evidence):
            return self.record.made.at
        return self.record.at if isinstance(self.record, SeedRecord) else self.record.created

    @property
    def kind(self) -> str:
        if isinstance(self.record, Evidence):
            return "record of evidence"
        return "seed" if isinstance(self.record, SeedRecord) else "timing run"


@dataclass
class Store:
    """What was found in ``root``: records by name, what is wrong, files that were set aside, checkpoint indices, other
    JSON, and the files of older schemas."""

    root: Path
    items: dict[str, Item] = field(default_factory=dict)
    wrong: list[UserError] = field(default_factory=list)
    aside: list[Path] = field(default_factory=list)
    indices: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    older: list[Path] = field(default_factory=list)


def whole_store(root: Path, *, may_be_empty: bool = False) -> Store:
    """As :func:`read_store`.

    Raises:
        UserError: there is no such folder or file, something in it is damaged, or (unless it ``may_be_empty``) nothing
            in it is a record.
    """
    store = read_store(root)
    if store.wrong:
        more = f" (and {len(store.wrong) - 1} more: `resbench records verify {root}`)" if len(store.wrong) > 1 else ""
        raise UserError(f"{store.wrong[0]}{more}")
    if not store.items and not may_be_empty:
        raise UserError(f"{root}: no records in it")
    return store


def read_store(root: Path) -> Store:
    """The records below ``root``, or in the one file ``root``; hidden folders are left out.

    Raises:
        UserError: there is no such folder or file.
    """
    if not root.exists():
        raise UserError(f"{root}: no such folder or file")
    store = Store(root)
    top = root if root.is_dir() else root.parent
    for path in _files(root) if root.is_dir() else [root]:
        try:
            inside(top, path)
            if ".damaged-" in path.name:
                store.aside.append(path)
            elif path.suffix == ".json" and not path.is_dir():
                _take(store, path, path.relative_to(top).as_posix())
        except UserError as error:
            store.wrong.append(error)
    store.wrong += mixed(store)
    return store


def _files(root: Path) -> Iterator[Path]:
    """All files, and links to folders, which are not followed."""
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith("."))
        links = [name for name in names if (Path(folder) / name).is_symlink()]
        yield from (Path(folder) / name for name in sorted([*files, *links]) if not name.startswith("."))


def _take(store: Store, path: Path, name: str) -> None:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    kind, _, number = (schema_of(content) or _kind_of_place(name)).partition("/")
    if path.name == OLD:
        store.older.append(path)
        for record in decode_seeds(content, path):
            own = name.removesuffix(OLD) + f"seed-{record.seed}.json"
            store.items.setdefault(own, Item(own, path, SEED.encode(record), record))
    elif kind == EVIDENCE.name:
        evidence = decode_evidence(content, path)
        _check_place(evidence, path)
        store.items[name] = Item(name, path, content, evidence)
        if number != str(EVIDENCE.number):
            store.older.append(path)
    elif kind == SEED.name:
        store.items[name] = Item(name, path, content, decode_seed(content, path))
    elif kind == "resbench.timing":
        from resbench.timing.store import decode

        store.items[name] = Item(name, path, content, decode(content, str(path)))
        if "digest" not in msgspec.json.decode(content):
            store.older.append(path)
    elif path.name == INDEX:
        store.indices.append(path)
    elif not _is_json(content):
        raise Damaged(path, "not JSON", _WAY_OUT)
    else:
        store.others.append(path)


def _kind_of_place(name: str) -> str:
    """Of a file that does not say what it is."""
    return next((kind for kind, place in _PLACES.items() if place.search(name)), "")


def _check_place(evidence: Evidence, path: Path) -> None:
    """Raises: Damaged where the file's name or folder is another experiment or network."""
    folder = path.absolute().parent
    network = folder.parent.name if re.fullmatch(r"seed-\d+", folder.name) else folder.name
    named = (evidence.network, evidence.experiment)
    if named != (network, path.stem):
        raise Damaged(path, f"is {'/'.join(named)}, not what its place says", _WAY_OUT)


def mixed(store: Store) -> list[UserError]:
    """The records of one folder are of one setting, else none there could be read."""
    first: dict[str, Item] = {}
    wrong = []
    for name, item in sorted(store.items.items()):
        if not isinstance(item.record, Evidence | SeedRecord):
            continue
        parts = name.split("/")[:-1]
        if isinstance(item.record, Evidence):
            parts = parts[: -2 if re.fullmatch(r"seed-\d+", (parts or [""])[-1]) else -1]
        usual = first.setdefault("/".join(parts), item)
        settings = [one.record.setting for one in (usual, item) if isinstance(one.record, Evidence | SeedRecord)]
        if settings[0] != settings[1]:
            what = f"of setting {settings[1]}, but {usual.name} beside it of {settings[0]}"
            wrong.append(UserError(f"{item.path}: {what}; {_WAY_OUT}"))
    return wrong


def _is_json(content: bytes) -> bool:
    try:
        msgspec.json.decode(content)
    except (ValueError, RecursionError):
        return False
    return True
