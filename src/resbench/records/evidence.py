"""Recorded evidence: the raw result of one experiment on one network, as a file that is judged later and elsewhere.

A setting whose networks are too large to be measured at every check (or are not resbench's to distribute) has a folder
of these, ``NETWORK/EXPERIMENT.json``: readable provenance, and the arrays packed.  Of a network that was trained for
several seeds the others are beside it, ``NETWORK/seed-2/EXPERIMENT.json`` and so on.  A file is written as a whole or
not at all, and is read only if schema and digest are right.  Statistics and verdicts are computed from it afresh.

Schema 1 had a digest of the arrays alone; since 2 it is of the whole file.
"""

from __future__ import annotations

import hashlib
import math
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from resbench.errors import Damaged, UserError
from resbench.records.places import inside, write_atomically
from resbench.records.results import Request, Result
from resbench.records.schemas import Document, Schema, one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "EVIDENCE",
    "Evidence",
    "Made",
    "StoredArray",
    "Subject",
    "decode_evidence",
    "evidence_path",
    "read_evidence",
    "restored",
    "stored",
    "write",
]

_WAY_OUT: Final = "restore the file, or remove it and measure again with `resbench measure`"
_LARGEST: Final = 1 << 30
"""Bytes of one array."""
_NUMBERS: Mapping[str, str] = {"int": "<i8", "single": "<f4", "float": "<f8"}

_NAME = r"^[a-z0-9][a-z0-9._-]*\Z"
Name = Annotated[str, Meta(pattern=_NAME)]
"""Of a network or an experiment: it is a part of a path."""
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class _Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class StoredArray(_Struct, frozen=True):
    """One array: ``data`` is its content, compressed (zlib); truth values eight to a byte, text as a JSON list.

    ``single``: floats that 32 bits hold exactly, as a network's losses are.
    """

    type: Literal["bool", "int", "single", "float", "text"]
    shape: list[Annotated[int, Meta(ge=0)]]
    data: bytes


class Subject(_Struct, frozen=True):
    """What was measured: two records of one subject may be compared, image by image.

    ``checkpoint``: SHA-256 of the file of weights.  ``source``, ``published_error``: where it comes from, and the test
    error (percent) that its author names.  ``data``: fingerprint of the images with their normalisation and labels;
    ``labels``: of the labels alone, which networks with other normalisations share.  ``seed``: of draws, or of the
    training where resbench trained it.

    Of networks that resbench trained: ``recipe``, the recipe's fingerprint; ``networks``, the version of the code that
    builds them (:data:`resbench.records.versions.NETWORKS`); ``precision`` of the training.  Empty of others'.
    """

    target: str
    checkpoint: Digest
    data: str
    labels: str
    images: Annotated[int, Meta(ge=1)]
    seed: int
    source: str = ""
    published_error: float | None = None
    recipe: str = ""
    networks: int = 0
    precision: str = ""


class Made(_Struct, frozen=True):
    """How a record was made.  ``source``: hash of resbench's own files, for people; it decides nothing.

    ``training``: how the network was trained, where resbench did it: device, seconds a step, the recipe in full.
    """

    at: str
    source: str
    environment: dict[str, Any]
    device: str
    threads: int
    seconds: float
    training: dict[str, Any] | None = None


class Evidence(_Struct, frozen=True):
    """``version``: of the experiment (:data:`resbench.records.versions.VERSIONS`); another one is STALE.

    ``digest``: SHA-256 of all the rest (:func:`resbench.records.schemas.digest_of`), filled in when it is written.
    """

    schema: Literal["resbench.evidence/2"]
    setting: str
    network: Name
    experiment: Name
    version: int
    subject: Subject
    made: Made
    members: list[dict[str, StoredArray]]
    digest: str = ""


def _whole_digest(document: Document) -> Document:
    """1 to 2: the arrays' own digest is checked once more, and left out."""
    members = msgspec.convert(document["members"], list[dict[str, StoredArray]])
    if hashlib.sha256(msgspec.json.encode(members, order="deterministic")).hexdigest() != document["digest"]:
        raise ValueError("its arrays are not the ones recorded: another digest")
    return {key: value for key, value in document.items() if key != "digest"}


EVIDENCE: Final = Schema("resbench.evidence", 2, Evidence, {1: _whole_digest}, "a record of evidence")


def evidence_path(folder: Path, request: Request, *, run: int = 1) -> Path:
    """The file of ``request`` in the folder of its setting; ``run``: of the networks trained alike, counted from 1.

    Raises:
        UserError: its names are none, or it leads out of the folder.
    """
    for name in (request.network, request.experiment):
        if not re.fullmatch(_NAME, name):
            raise UserError(f"{name!r} is no name of a network or experiment: small letters, digits, '.', '_' and '-'")
    place = folder / request.network
    return inside(folder, (place if run == 1 else place / f"seed-{run}") / f"{request.experiment}.json")


def write(
    folder: Path,
    setting: str,
    request: Request,
    version: int,
    subject: Subject,
    made: Made,
    result: Result,
    *,
    run: int = 1,
) -> Path:
    """Record ``result``; returns the file.

    Raises:
        UserError: it cannot be written.
    """
    evidence = Evidence(
        schema="resbench.evidence/2",
        setting=setting,
        network=request.network,
        experiment=request.experiment,
        version=version,
        subject=subject,
        made=made,
        members=stored(result),
    )
    path = evidence_path(folder, request, run=run)
    write_atomically(path, EVIDENCE.encode(evidence))
    return path


def read_evidence(folder: Path, setting: str, request: Request, *, run: int = 1) -> Evidence | None:
    """The record of ``request`` (of the ``run``-th network trained so), None where there is none.

    Raises:
        Damaged: the file is not what was recorded, or not what its name says.
        UserError: it cannot be read, leads out of the folder, or a newer resbench wrote it.
    """
    path = evidence_path(folder, request, run=run)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    evidence = decode_evidence(content, path)
    named = (evidence.setting, evidence.network, evidence.experiment)
    if named != (setting, request.network, request.experiment):
        raise Damaged(path, f"is {'/'.join(named)}, not what its place says", _WAY_OUT)
    return evidence


def decode_evidence(content: bytes, path: Path) -> Evidence:
    """The record in a file's content; its arrays unpack.

    Raises:
        Damaged: it is not what was recorded, or nothing of the kind.
        UserError: a newer resbench wrote it.
    """
    evidence = EVIDENCE.decode(content, path, _WAY_OUT)
    try:
        restored(evidence)
    except (ValueError, zlib.error, msgspec.DecodeError, MemoryError) as error:
        raise Damaged(path, f"its arrays do not unpack ({one_line(error)})", _WAY_OUT) from error
    return evidence


def stored(result: Result) -> list[dict[str, StoredArray]]:
    """``result`` packed: one dictionary a member.

    Raises:
        TypeError: an array is neither of truth values, integers, floats nor text.
    """
    import numpy as np

    return [{name: _packed(np.asarray(array)) for name, array in sorted(member.items())} for member in result]


def restored(evidence: Evidence) -> Result:
    """The arrays of a record, as the experiment gave them.

    Raises:
        ValueError: the content does not fit the shape that is given for it.
    """
    return tuple({name: _unpacked(array) for name, array in member.items()} for member in evidence.members)


def _packed(array: NDArray[Any]) -> StoredArray:
    import numpy as np

    if array.dtype.kind == "U":
        kind, content = "text", msgspec.json.encode(array.ravel().tolist())
    elif array.dtype.kind == "b":
        kind, content = "bool", np.packbits(array.ravel()).tobytes()
    elif array.dtype.kind in "iu":
        kind, content = "int", array.astype(_NUMBERS["int"]).tobytes()
    elif array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what overflows is not the same number
            exact = np.array_equal(array, array.astype(np.float32), equal_nan=True)
        kind = "single" if exact else "float"
        content = array.astype(_NUMBERS[kind]).tobytes()
    else:
        raise TypeError(f"an array of {array.dtype} cannot be recorded")
    return msgspec.convert({"type": kind, "shape": list(array.shape), "data": zlib.compress(content, 9)}, StoredArray)


def _decompressed(data: bytes) -> bytes:
    """A record is a few megabytes at most; one that claims to be more is no record, and must not fill the memory."""
    unpacking = zlib.decompressobj()
    content = unpacking.decompress(data, _LARGEST)
    if not unpacking.eof or unpacking.unused_data:
        raise ValueError("cut short, followed by something, or too large")
    return content


def _unpacked(array: StoredArray) -> NDArray[Any]:
    import numpy as np

    count = math.prod(array.shape)
    content = _decompressed(array.data)
    if array.type == "text":
        words = msgspec.json.decode(content, type=list[str])
        return np.array(words, dtype=np.str_).reshape(array.shape)
    if array.type == "bool":
        if len(content) != (count + 7) // 8:
            raise ValueError(f"{len(content)} bytes for {count} truth values")
        return np.unpackbits(np.frombuffer(content, np.uint8), count=count).astype(bool).reshape(array.shape)
    numbers = np.frombuffer(content, _NUMBERS[array.type]).reshape(array.shape)
    return numbers.astype(np.float64) if array.type == "single" else numbers
