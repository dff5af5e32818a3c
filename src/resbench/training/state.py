"""The state of a training run on disk: written as a whole or not at all, read only by the run that it is of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
from torch import Tensor

from resbench.errors import Damaged, UserError
from resbench.records.places import write_atomically
from resbench.records.schemas import one_line
from resbench.training.packed import packed, unpacked

__all__ = ["RunState", "read_state", "write_state"]

_FORMAT = "resbench-run-1"


@dataclass(frozen=True)
class RunState:
    """``identity``: what the run is of; another one cannot go on from it.  ``values``: plain, as JSON takes them."""

    identity: Mapping[str, str]
    tensors: dict[str, Tensor]
    values: dict[str, Any]


def write_state(path: Path, state: RunState) -> None:
    """Write ``state``.

    Raises:
        UserError: it cannot be written; what was there before still is.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.tensors.items()}
    metadata = {
        "format": _FORMAT,
        "identity": json.dumps(dict(state.identity), sort_keys=True),
        "values": json.dumps(state.values),
    }
    write_atomically(path, packed(tensors, metadata))


def read_state(path: Path, identity: Mapping[str, str]) -> RunState | None:
    """The state in ``path``; None where there is no file.

    Raises:
        Damaged: it is not what was written.
        UserError: it cannot be read, or is of another run.
    """
    way_out = "remove it to begin anew"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    try:
        tensors, metadata = unpacked(content)
        found, values = json.loads(metadata["identity"]), json.loads(metadata["values"])
        if metadata["format"] != _FORMAT:
            raise ValueError(f"format {metadata['format']}")
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise Damaged(path, f"not the state of a training run ({one_line(error)})", way_out) from error
    differing = [key for key in {*identity, *found} if identity.get(key) != found.get(key)]
    if differing:
        key = min(differing)
        raise UserError(
            f"{path}: the state of another run ({key} {found.get(key)}, not {identity.get(key)}); {way_out}"
        )
    return RunState(found, tensors, values)
