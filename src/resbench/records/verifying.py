"""A folder of records, read whole: what is wrong in it, a line each; and files of older schemas, written anew."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from resbench.errors import UserError
from resbench.records.comparing import differences
from resbench.records.evidence import EVIDENCE, Evidence
from resbench.records.index import read_index
from resbench.records.locking import held
from resbench.records.places import write_atomically
from resbench.records.seeds import OLD, SEED, SeedRecord, decode_seeds, seed_path
from resbench.records.stores import Item, Store, read_store

__all__ = ["Verified", "migrate", "verify"]


@dataclass(frozen=True)
class Verified:
    """``wrong``: a line each.  ``summary``: one line of what was read."""

    wrong: tuple[str, ...]
    summary: str


def verify(root: Path) -> Verified:
    """Read every record below ``root`` and check schemas, digests, places and the hashes of checkpoints.

    Raises:
        UserError: there is no such folder or file.
    """
    store = read_store(root)
    checked = [name for index in store.indices for name in _files_of(index)]
    wrong = [str(error) for error in store.wrong]
    wrong += [line for index in store.indices for line in _of_index(index)]
    wrong += _other_checkpoints(store)
    counts = Counter(item.kind for item in store.items.values())
    counts["checkpoint"] = len(checked)
    read = ", ".join(_counted(number, what) for what, number in sorted(counts.items()) if number)
    notes = [
        _counted(len(found), what)
        for found, what in (
            (store.others, "other JSON file"),
            (store.older, "file of an older schema"),
            (store.aside, "file set aside earlier"),
        )
        if found
    ]
    aside = f" ({', '.join(notes)})" if notes else ""
    return Verified(tuple(dict.fromkeys(wrong)), f"{root}: {read or 'no records'}{aside}; {len(wrong)} wrong")


def migrate(root: Path) -> list[str]:
    """Write the files of older schemas below ``root`` anew, each when nobody else writes it; a line for each.

    A file of all seeds is removed when each seed has its own.

    Raises:
        UserError: a file is damaged (nothing is written then), held by another process, or cannot be written; or a
            seed's own file and that of all seeds are not the same.
    """
    store = read_store(root)
    if store.wrong:
        raise UserError(f"{store.wrong[0]}; nothing was migrated")
    done = []
    for path in store.older:
        if path.name == OLD:
            done.append(_split(path, store))
            continue
        (item,) = (item for item in store.items.values() if item.path == path)
        with held(path.parent if isinstance(item.record, Evidence) else path, "migrating"):
            write_atomically(path, _present(item))
        done.append(f"{path}: written anew")
    return done


def _split(path: Path, store: Store) -> str:
    with held(path, "migrating"):
        records = decode_seeds(path.read_bytes(), path)
        for record in records:
            own = seed_path(path.parent, record.seed)
            there = next((item.record for item in store.items.values() if item.path == own), None)
            found = [] if there is None else differences(there, record)
            if found:
                raise UserError(f"{own} and {path} are not the same: {found[0]}; remove one of them")
            if there is None:
                with held(own, "migrating"):
                    write_atomically(own, SEED.encode(record))
        path.unlink()
    return f"{path}: split into {len(records)} files, and removed"


def _present(item: Item) -> bytes:
    if isinstance(item.record, Evidence):
        return EVIDENCE.encode(item.record)
    assert not isinstance(item.record, SeedRecord), "there is one schema of a single seed"
    from resbench.timing.store import encode

    return encode(item.record)


def _files_of(index: Path) -> list[str]:
    try:
        return [str(entry["file"]) for entry in read_index(index.parent).values()]
    except UserError:  # `_of_index` says so
        return []


def _of_index(index: Path) -> Iterator[str]:
    try:
        entries = read_index(index.parent)
    except UserError as error:
        yield str(error)
        return
    for entry in entries.values():
        path = index.parent / str(entry["file"])
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            yield f"{path}: {error.strerror or error}; restore it, or train it again"
            continue
        if found != entry["sha256"]:
            yield f"{path}: its hash is not the one in {index.name}; restore it, or train it again"


def _other_checkpoints(store: Store) -> Iterator[str]:
    """Checkpoints that lie in the same tree as records of their networks, which name another hash."""
    hashes: dict[Path, str] = {}
    for name, item in sorted(store.items.items()):
        parts = name.split("/")
        if "claims" not in parts or not isinstance(item.record, Evidence) or not item.record.subject.recipe:
            continue
        place = parts.index("claims")
        run = f"{parts[-2]}/" if parts[-2].startswith("seed-") else ""
        folder = store.root.joinpath(*parts[:place], "checkpoints", item.record.setting)
        path = folder / f"{run}{item.record.network}.safetensors"
        if path not in hashes:
            if not path.is_file():
                continue
            hashes[path] = hashlib.sha256(path.read_bytes()).hexdigest()
        if hashes[path] != item.record.subject.checkpoint:
            yield f"{path}: is not the checkpoint that {item.path} was measured on"


def _counted(number: int, what: str) -> str:
    if number == 1:
        return f"1 {what}"
    head, of, rest = what.partition(" of ")
    first, _, second = head.partition(" set aside")
    return f"{number} {first}s{' set aside' + second if second else ''}{of}{rest}"
