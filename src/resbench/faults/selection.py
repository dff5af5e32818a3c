"""Which faults and which claims a run is about."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from resbench.claims.model import Claim
from resbench.errors import UserError
from resbench.experiments.lab import ALONE
from resbench.faults.fault import Fault
from resbench.plan import Item, items_of, target_items_of

__all__ = ["all_items", "matching", "measures_time", "select_faults", "select_items"]


def select_faults(faults: Sequence[Fault], patterns: Sequence[str]) -> list[Fault]:
    """The faults whose names match any of ``patterns`` (``*`` and ``?``); all without patterns.

    Raises:
        UserError: a pattern that no fault matches; the message has the nearest names.
    """
    names = [fault.name for fault in faults]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UserError(f"--fault: no fault matches '{pattern}'; {_nearest(pattern, names, 'the names')}")
    return [fault for fault in faults if not patterns or any(fnmatchcase(fault.name, each) for each in patterns)]


def all_items(claims: Sequence[Claim]) -> list[Item]:
    """What can be judged under a fault: every claim in each of its settings, a user's network (``target``) included."""
    return [*items_of(claims), *(item for item in target_items_of(claims) if not item.reason)]


def matching(items: Sequence[Item], patterns: Sequence[str]) -> list[Item]:
    """The items that any of ``patterns`` means: globs of claim ids, or of ``claim@setting``."""
    wanted = [pattern if "@" in pattern else f"{pattern}@*" for pattern in patterns]
    return [item for item in items if any(fnmatchcase(item.id, pattern) for pattern in wanted)]


def select_items(items: Sequence[Item], patterns: Sequence[str]) -> list[Item]:
    """:func:`matching`.

    Raises:
        UserError: a pattern that no item matches; the message has the nearest ids.
    """
    for pattern in patterns:
        if not matching(items, [pattern]):
            known = [item.id if "@" in pattern else item.claim.id for item in items]
            raise UserError(f"--claims: no claim matches '{pattern}'; {_nearest(pattern, known, 'the ids')}")
    return matching(items, patterns)


def measures_time(item: Item) -> bool:
    """Whether its measurement is of time, so that nothing else may run beside it."""
    from resbench.claims.loader import resolve_quantity
    from resbench.experiments.reading import requests_of

    named = [r for e in item.claim.expect for r in requests_of(resolve_quantity(e.quantity), e.params)]
    return any(one.experiment in ALONE for each in named for one in (each if isinstance(each, list) else [each]))


def _nearest(pattern: str, known: Sequence[str], what: str) -> str:
    close = get_close_matches(pattern.replace("*", "").replace("?", ""), dict.fromkeys(known), n=3, cutoff=0.4)
    where = "`resbench faults --list`" if what == "the names" else "`resbench claims`"
    return f"nearest: {', '.join(close)}" if close else f"{where} has {what}"
