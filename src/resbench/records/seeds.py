"""What the trained claims gave on networks of fresh seeds: one file a seed, ``SETTING/seed-7.json``.

Seeds that were trained on several machines lie in one folder, or are put there by ``resbench records merge``.  Schema 1
was one file of all seeds, ``seeds.json``; such a file is still read, and ``resbench records migrate`` splits it.
"""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from resbench.errors import Damaged, UserError
from resbench.records.places import inside, write_atomically
from resbench.records.schemas import Schema, one_line

__all__ = ["OLD", "SEED", "SeedRecord", "decode_seed", "decode_seeds", "read_seed_records", "seed_path", "write_seed"]

OLD = "seeds.json"
"""The file of schema 1."""
_WAY_OUT: Final = "restore the file, or remove it and record the seed again with `resbench calibrate`"
_FILE = re.compile(r"seed-(0|[1-9][0-9]*)\.json")


class _Check(msgspec.Struct, frozen=True, kw_only=True):
    measured: Any
    interval: list[float | str] | None


class _Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What is always there of a claim; the file may hold more, which is kept.

    ``fingerprint``: of the claim as it was judged.  ``checks``: one an expectation, with its raw samples.
    """

    fingerprint: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
    status: Literal["HOLDS", "VIOLATED", "INCONCLUSIVE", "NOT_MEASURED", "STALE", "ERROR", "WAIVED"]
    checks: list[_Check]


class SeedRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``claims``: claim id to verdict and checks, ready for JSON; :meth:`values` has them as numbers.

    ``at``: when it was recorded (UTC); empty of what was schema 1.  ``digest``: filled in when it is written.
    """

    schema: Literal["resbench.seed/2"]
    setting: str
    seed: Annotated[int, Meta(ge=0)]
    environment: dict[str, Any]
    claims: dict[str, dict[str, Any]]
    at: str = ""
    digest: str = ""

    def __post_init__(self) -> None:
        msgspec.convert(self.claims, dict[str, _Claim])  # ValidationError is a ValueError

    def values(self) -> dict[str, dict[str, Any]]:
        """The claims as they were given to :func:`write_seed`."""
        found: dict[str, dict[str, Any]] = _decoded(self.claims)
        return found


SEED: Final = Schema("resbench.seed", 2, SeedRecord, {}, "a record of a seed")


def seed_path(folder: Path, seed: int) -> Path:
    """The file of a seed in the folder of its setting."""
    return inside(folder, folder / f"seed-{seed}.json")


def write_seed(
    folder: Path, setting: str, seed: int, environment: Mapping[str, Any], claims: Mapping[str, Mapping[str, Any]]
) -> Path:
    """Record a seed; returns the file.

    Raises:
        UserError: it cannot be written.
    """
    record = SeedRecord(
        schema="resbench.seed/2",
        setting=setting,
        seed=seed,
        environment=dict(environment),
        claims=_coded(claims),
        at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    path = seed_path(folder, seed)
    write_atomically(path, SEED.encode(record))
    return path


def decode_seed(content: bytes, path: Path) -> SeedRecord:
    """The seed in a file's content, which is the one that the file is named after.

    Raises:
        Damaged: it is not what was recorded, nothing of the kind, or of another seed.
        UserError: a newer resbench wrote it.
    """
    record = SEED.decode(content, path, _WAY_OUT)
    if path.name != f"seed-{record.seed}.json":
        raise Damaged(path, f"is seed {record.seed}, not what its name says", _WAY_OUT)
    return record


def decode_seeds(content: bytes, path: Path) -> list[SeedRecord]:
    """The seeds in a file of schema 1, each as it is now; ``setting`` is the folder's name, where they have none.

    Raises:
        Damaged: it is no such file.
    """
    try:
        document = json.loads(content)  # which has infinite numbers
        if document["schema"] != 1 or not isinstance(document["seeds"], dict):
            raise ValueError("schema 1 expected")
        setting = path.absolute().parent.name
        return [
            msgspec.convert({"schema": SEED.tag, "setting": setting, "seed": int(seed), **_coded(entry)}, SeedRecord)
            for seed, entry in sorted(document["seeds"].items(), key=lambda pair: int(pair[0]))
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        way_out = "restore it, or name another file"
        raise Damaged(path, f"not a record of seeds ({one_line(error)})", way_out) from error


def read_seed_records(place: Path) -> dict[int, SeedRecord]:
    """The seeds in a folder, or in a file of schema 1; a seed's own file comes before one of all.

    Raises:
        Damaged: a file is not what was recorded.
        UserError: a file cannot be read, leads out of the folder, or a newer resbench wrote it.
    """
    found = {}
    old = place / OLD if place.is_dir() else place
    if old.is_file():
        found = {record.seed: record for record in decode_seeds(_content(inside(old.parent, old)), old)}
    if place.is_dir():
        for path in place.iterdir():
            if _FILE.fullmatch(path.name):
                record = decode_seed(_content(inside(place, path)), path)
                found[record.seed] = record
    return dict(sorted(found.items()))


_NO_NUMBERS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""What JSON has no number for is these words in a file."""


def _coded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _coded(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_coded(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _decoded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_decoded(one) for one in value]
    return _NO_NUMBERS.get(value, value) if isinstance(value, str) else value


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
