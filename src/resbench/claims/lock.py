"""The lock: which wording and which tolerances each version of each claim has had.

``claims.lock`` holds one hash per claim version.  A claim that changes in substance needs a higher version; the
lock keeps the hashes of the older ones, so that evidence of an older version can be told from evidence of this one.

Normative, and hashed: id, paper, locus, statement, provenance, the source's arXiv id and version, and of every
expectation the setting, kind, quantity, params, unit, direction, comparator and the tolerance's origin.
Free to reword: ``why``, ``paper_value``, ``breaks``, ``descriptive``, ``known_conflicts``, ``not_asserted``,
``changelog`` and the source's title.  A field that has its default is left out of the hash: a new optional field
changes no hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files as resources
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from resbench.claims.model import Claim
from resbench.errors import UserError
from resbench.records.places import write_atomically

__all__ = ["Lock", "check_locked", "fingerprint", "lock_path", "read_lock", "verify", "write_lock"]

Lock = Mapping[str, Mapping[int, str]]
"""Claim id -> version -> fingerprint."""

_CLAIM = ("id", "paper", "locus", "statement", "provenance")
_EXPECTATION = ("setting", "kind", "quantity", "params", "unit", "direction", "origin")
_WRITE = "run `resbench claims lock`"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: Literal[1]
    claims: dict[str, dict[Annotated[int, Meta(ge=1)], Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]]]


def lock_path() -> Path:
    """The package's own ``claims.lock``."""
    return Path(str(resources("resbench.claims") / "claims.lock"))


def fingerprint(claim: Claim) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the claim's normative fields."""
    text = json.dumps(_normative(claim), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _normative(claim: Claim) -> dict[str, Any]:
    fields = _given(claim, _CLAIM)
    if claim.source:
        fields["source"] = f"{claim.source.arxiv}{claim.source.version}"
    fields["expect"] = [
        _given(expectation, _EXPECTATION)
        | {
            "compare": _given(expectation.compare, expectation.compare.__struct_fields__)
            | {"op": expectation.compare.__struct_config__.tag}
        }
        for expectation in claim.expect
    ]
    return fields


def _given(struct: msgspec.Struct, names: Sequence[str]) -> dict[str, Any]:
    """The named fields that differ from their default."""
    defaults = _defaults(type(struct))
    return {name: getattr(struct, name) for name in names if getattr(struct, name) != defaults[name]}


@cache
def _defaults(kind: type[msgspec.Struct]) -> Mapping[str, Any]:
    return {
        field.name: field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        for field in msgspec.structs.fields(kind)
    }


def read_lock(path: Path) -> Lock:
    """Raises: UserError where the file is missing or not a lock."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File).claims
    except OSError as error:
        raise UserError(f"{path.name}: cannot be read: {error.strerror or error}; {_WRITE}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path.name}: not a claim lock: {error}") from None


def verify(claims: Sequence[Claim], lock: Lock) -> list[str]:
    """What stands between the claims and their lock, one line each; empty where they agree."""
    return [*_conflicts(claims, lock), *_news(claims, lock)]


def check_locked(claims: Sequence[Claim], lock: Lock) -> None:
    """Raises: UserError where a claim is not what its version has been locked as, or a locked claim is gone."""
    conflicts = _conflicts(claims, lock)
    if conflicts:
        more = f" (and {len(conflicts) - 1} more)" if len(conflicts) > 1 else ""
        raise UserError(f"claims.lock: {conflicts[0]}{more}")


def _conflicts(claims: Sequence[Claim], lock: Lock) -> list[str]:
    """What only a person can put right."""
    found = []
    for claim in claims:
        versions = lock.get(claim.id, {})
        newest = max(versions, default=0)
        if claim.version < newest:
            found.append(f"{claim.id}: version went down from {newest} to {claim.version}")
        elif claim.version in versions and versions[claim.version] != fingerprint(claim):
            higher = claim.version + 1
            found.append(
                f"{claim.id}: changed without a higher version; set version = {higher} "
                f"and add a changelog line '{higher}: ...'"
            )
    present = {claim.id for claim in claims}
    found += [
        f"{id}: is locked but in no claim file; a retired claim keeps its id, a higher version and not_asserted"
        for id in lock
        if id not in present
    ]
    return found


def _news(claims: Sequence[Claim], lock: Lock) -> list[str]:
    """What writing the lock puts right."""
    found = []
    for claim in claims:
        versions = lock.get(claim.id)
        if not versions:
            found.append(f"{claim.id}: is not in the lock; {_WRITE}")
        elif claim.version > max(versions):
            found.append(f"{claim.id}: version {claim.version} is not in the lock; {_WRITE}")
    return found


def write_lock(claims: Sequence[Claim], path: Path) -> None:
    """Add the claims' present versions to the lock at ``path``, keeping what it holds of older ones.

    Raises: UserError, and leaves the file as it is, where a locked version has changed, a version went down or a
    locked claim is gone; or where the file cannot be written.
    """
    lock = read_lock(path) if path.exists() else {}
    conflicts = _conflicts(claims, lock)
    if conflicts:
        more = f" (and {len(conflicts) - 1} more)" if len(conflicts) > 1 else ""
        raise UserError(f"{path.name}: not written: {conflicts[0]}{more}")
    merged = {
        claim.id: dict(sorted({**lock.get(claim.id, {}), claim.version: fingerprint(claim)}.items()))
        for claim in sorted(claims, key=lambda claim: claim.id)
    }
    write_atomically(path, (json.dumps({"schema": 1, "claims": merged}, indent=1) + "\n").encode())
