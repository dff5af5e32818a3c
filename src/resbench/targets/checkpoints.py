"""A user's checkpoint into the user's model: tensors only, never unpickled."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from resbench.errors import UserError
from resbench.talking import note
from resbench.targets.models import one_line
from resbench.targets.options import parse_channels

__all__ = ["Checkpoint", "fill", "read_checkpoint"]

_WRAPPERS = ("state_dict", "model", "model_state_dict", "net")
_PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every key."""

_SHOWN = 3


@dataclass(frozen=True)
class Checkpoint:
    """A file's tensors, and the normalisation that its header names (empty where it names none)."""

    tensors: Mapping[str, Tensor]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


def read_checkpoint(path: Path) -> Checkpoint:
    """The tensors of a safetensors file, or of what ``torch.save`` wrote of a ``state_dict``.

    Raises:
        UserError: the file cannot be read, or holds anything else.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise UserError(f"--checkpoint {path}: {error.strerror or error}") from error
    # A safetensors file starts with the length of its header, which is JSON.
    if path.suffix == ".safetensors" or start[8:] == b"{":
        return _safetensors(path)
    return Checkpoint(_unwrapped(path, _torch(path)))


def fill(model: nn.Module, path: Path, checkpoint: Checkpoint) -> None:
    """Give ``model`` the tensors that were read from ``path``; names and shapes must be the model's.

    Raises:
        UserError: they are not; the first differences are named.
    """
    differences = _differences(model, checkpoint.tensors)
    if differences:
        raise UserError(f"--checkpoint {path}: does not fit the target: {differences}")
    # Not strict for the sake of num_batches_tracked, a counter that nothing reads and old files lack.
    model.load_state_dict(dict(checkpoint.tensors), strict=False)


def _safetensors(path: Path) -> Checkpoint:
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise UserError(f"--checkpoint {path}: truncated or not safetensors ({one_line(error)})") from error
    mean, std = (_channels(metadata.get(name, ""), name) for name in ("mean", "std"))
    return Checkpoint(_unwrapped(path, tensors), *((mean, std) if mean and std else ((), ())))


def _channels(text: str, name: str) -> tuple[float, ...]:
    """A normalisation in a header: ``[0.5, 0.5, 0.5]``, or without the brackets."""
    try:
        return parse_channels(text.strip("[]() "), name)
    except UserError:
        return ()


def _torch(path: Path) -> object:
    way_out = "save model.state_dict() with torch.save or as safetensors"
    try:
        with warnings.catch_warnings():  # the error below says more than torch's notice of a pickle protocol
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch names what it refused: "Unsupported global: GLOBAL mymodule.Net was not an allowed global".
        refused = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"holds more than tensors ({refused[1]})" if refused else "is not a checkpoint of tensors"
        raise UserError(f"--checkpoint {path}: {reason}, and is not unpickled; {way_out}") from error
    except Exception as error:  # arbitrary bytes raise whatever they meet in the parser
        raise UserError(f"--checkpoint {path}: truncated or not a checkpoint ({one_line(error, 120)})") from error


def _unwrapped(path: Path, content: object) -> dict[str, Tensor]:
    """The state dict inside a training script's dictionary, without the prefixes of wrappers."""
    removed = []
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            removed.append(f"the dictionary's entry {key!r}")
            break
    if not isinstance(content, Mapping) or not content:
        raise UserError(f"--checkpoint {path}: holds no tensors by name, but {type(content).__name__}")
    wrong = next((key for key, value in content.items() if not isinstance(value, Tensor)), None)
    if wrong is not None:
        known = ", ".join(map(str, list(content)[:_SHOWN]))
        raise UserError(f"--checkpoint {path}: {wrong!r} is no tensor, and there is no state_dict (keys {known}, ...)")
    tensors = {str(key): value for key, value in content.items()}
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
            removed.append(f"without the prefix {prefix!r}")
    if removed:
        note(f"{path.name}: read {', '.join(removed)}")
    return tensors


def _differences(model: nn.Module, tensors: Mapping[str, Tensor]) -> str:
    """``missing fc.weight; unexpected head.weight; ...``, the first of each sort; empty where all fits."""
    wanted = model.state_dict()
    missing = [key for key in wanted if key not in tensors and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in tensors if key not in wanted]
    shapes = [
        f"{key} {_shape(tensors[key])} for {_shape(value)}"
        for key, value in wanted.items()
        if isinstance(value, Tensor) and key in tensors and tensors[key].shape != value.shape
    ]
    sorts = (("missing", missing), ("unexpected", unexpected), ("shapes", shapes))
    return "; ".join(f"{len(found)} {sort}: {_first(found)}" for sort, found in sorts if found)


def _shape(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "scalar"


def _first(found: list[str]) -> str:
    return ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
