"""Several stores to one: what is in one of them, once; what two hold of the same name and is not the same, refused."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from resbench.errors import UserError
from resbench.records.comparing import differences
from resbench.records.evidence import Evidence
from resbench.records.locking import held
from resbench.records.places import inside, write_atomically
from resbench.records.stores import Item, Store, mixed, whole_store

__all__ = ["Merged", "Prefer", "merge"]

Prefer = Literal["newest", "first"]


@dataclass
class Merged:
    """Names in ``out``.

    ``written``: new, or another than before.  ``kept``: were there.  ``twice``: several stores had them, with the same
    result.  ``preferred``: one of several results was taken.  ``unlike``: networks whose records are now of several
    checkpoints or data, a line each; they will be STALE.
    """

    out: Path
    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    preferred: list[str] = field(default_factory=list)
    unlike: list[str] = field(default_factory=list)


def merge(stores: Sequence[Path], out: Path, prefer: Prefer | None = None) -> Merged:
    """Write the records of ``stores`` to ``out``; what is in ``out`` already takes part as the first store.

    All is read and compared before the first file is written.  Two results are the same if all that was measured is,
    on the same subject; who measured it, when and where may differ, and the first is kept.

    Raises:
        UserError: something is damaged; two stores have other results of one name and nothing is preferred; or ``out``
            cannot be written.
    """
    merged = Merged(out)
    present = whole_store(out, may_be_empty=True) if out.exists() else None
    sources = [whole_store(root) for root in stores if not (present and root.resolve() == out.resolve())]
    chosen: dict[str, Item] = dict(present.items) if present else {}
    for source in sources:
        for name, item in source.items.items():
            chosen[name] = _chosen(chosen[name], item, prefer, merged) if name in chosen else item
    _check_settings(out, chosen)
    old = present.items if present else {}
    new = {name: item for name, item in chosen.items() if name not in old or old[name] is not item}
    merged.kept = sorted(set(chosen) - set(new))
    merged.unlike = _unlike(chosen)
    with ExitStack() as mine:
        for place in sorted({_place(out, item) for item in new.values()}):
            mine.enter_context(held(place, "merging"))
        for name, item in sorted(new.items()):
            write_atomically(inside(out, out / name), item.content)
            merged.written.append(name)
    return merged


def _chosen(first: Item, second: Item, prefer: Prefer | None, merged: Merged) -> Item:
    found = differences(first.record, second.record)
    if not found:
        merged.twice.append(first.name)
        return first
    if prefer is None:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise UserError(
            f"{first.path} and {second.path} are not the same: {found[0]}{more}; give --prefer newest or first, or "
            "remove one"
        )
    merged.preferred.append(first.name)
    if prefer == "first":
        return first
    times = [_moment(item) for item in (first, second)]
    if times[0] == times[1]:
        raise UserError(f"{first.path} and {second.path} do not say which is newer; give --prefer first, or remove one")
    return second if times[1] > times[0] else first


def _place(out: Path, item: Item) -> Path:
    """What a writer of the item holds: of evidence the folder of its network."""
    path = inside(out, out / item.name)
    return path.parent if isinstance(item.record, Evidence) else path


def _moment(item: Item) -> float:
    """A record that does not say is older than any that does."""
    try:
        return datetime.datetime.fromisoformat(item.at).timestamp()
    except ValueError:
        return float("-inf")


def _check_settings(out: Path, chosen: dict[str, Item]) -> None:
    """Raises: UserError where the stores are of several settings."""
    wrong = mixed(Store(out, chosen))
    if wrong:
        raise UserError(f"stores of several settings do not go together: {wrong[0]}")


def _unlike(chosen: dict[str, Item]) -> list[str]:
    """Networks whose records are of several subjects: `resbench check` finds them STALE."""
    first: dict[str, Item] = {}
    found = {}
    for name, item in sorted(chosen.items()):
        if isinstance(item.record, Evidence):
            folder = name.rpartition("/")[0]
            usual = first.setdefault(folder, item)
            assert isinstance(usual.record, Evidence)
            if usual.record.subject != item.record.subject:
                found[folder] = f"{usual.path} and {item.path} are of another checkpoint or data: one will be STALE"
    return list(found.values())
