"""The index of a folder of checkpoints: ``index.json``, the hashes of the files beside it.  Needs no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from resbench.errors import Damaged, NotMeasured, UserError
from resbench.records.places import write_atomically
from resbench.records.schemas import one_line

__all__ = ["INDEX", "read_index", "write_index"]

INDEX = "index.json"


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file beside the index: a name, not a path."""

    file: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.safetensors\Z")]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    bytes: Annotated[int, Meta(ge=0)]


class _Index(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: Literal[1]
    files: dict[str, _Entry]


def read_index(folder: Path) -> dict[str, dict[str, Any]]:
    """``{network: {"file", "sha256", "bytes"}}`` of a checkpoint folder.

    Raises:
        NotMeasured: there is no index, so nothing is trained in this setting yet.
        Damaged: the index is not one, or names files elsewhere.
        UserError: it cannot be read.
    """
    path = folder / INDEX
    try:
        index = msgspec.json.decode(path.read_bytes(), type=_Index)
    except FileNotFoundError:
        raise NotMeasured(f"no trained networks in {folder}") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        way_out = "restore it from the repository, or train again with `resbench train`"
        raise Damaged(path, f"not a checkpoint index ({one_line(error)})", way_out) from error
    return {name: msgspec.structs.asdict(entry) for name, entry in index.files.items()}


def write_index(folder: Path, names: Sequence[str]) -> None:
    """Record the hashes of the named networks' files in ``folder``.

    Raises:
        UserError: a file cannot be read, or the index not written.
    """
    files: dict[str, Mapping[str, Any]] = {}
    for name in sorted(names):
        content = (folder / f"{name}.safetensors").read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        files[name] = {"file": f"{name}.safetensors", "sha256": digest, "bytes": len(content)}
    write_atomically(folder / INDEX, (json.dumps({"schema": 1, "files": files}, indent=1) + "\n").encode())
