"""Checkpoints: safetensors with provenance, verified before use, never unpickled.

A file holds one named network of a setting: the tensors of the member of half ``h`` under ``h/``, in half precision
where that keeps three digits, else in single.  ``index.json`` beside the files has their hashes.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from resbench.data.digits import Dataset
from resbench.errors import Damaged, Stale, UserError
from resbench.networks.residual import PlainNetwork, ResidualNetwork, build
from resbench.records.environment import environment
from resbench.records.index import read_index, write_index
from resbench.records.places import write_atomically
from resbench.records.schemas import one_line
from resbench.records.versions import NETWORKS
from resbench.targets.images import Images
from resbench.training.loop import Curves, TrainedCopy, apply_test_scaling
from resbench.training.packed import packed, unpacked
from resbench.training.recipes import Recipe
from resbench.training.target import Member, Target

__all__ = ["Saved", "load", "load_network", "read_index", "read_seed", "save", "write_index"]

_FORMAT = "resbench-checkpoint-1"
_HALF_MAXIMUM, _HALF_MINIMUM = 1e4, 1e-3


class _Data(Protocol):
    """A data set, as far as a checkpoint knows it."""

    @property
    def fingerprint(self) -> str: ...


@dataclass(frozen=True)
class Saved:
    """One trained network as it was saved: eval mode, without gradients, in the state that its recipe tests.

    ``sha256``: of the file.  ``training``: how it was trained, for a record's provenance.
    """

    network: ResidualNetwork | PlainNetwork
    seed: int
    curves: Curves
    sha256: str
    precision: str
    training: dict[str, Any]


def save(
    path: Path,
    name: str,
    setting: str,
    recipe: Recipe,
    data: _Data,
    members: Sequence[TrainedCopy],
    training: Mapping[str, Any] | None = None,
) -> None:
    """Write one named network; ``members`` are its trained copies of one seed, one a half.

    ``training``: what else is known of the training (device, ``precision``, epoch of divergence), ready for JSON.
    """
    tensors = {}
    for member in members:
        for key, value in member.state.items():
            if key.endswith("num_batches_tracked"):
                continue
            tensors[f"{member.copy.half}/{key}"] = _stored(key, value).contiguous()
    metadata = {
        "format": _FORMAT,
        "setting": setting,
        "network": name,
        "seed": str(members[0].copy.seed),
        "recipe": recipe.fingerprint,
        "recipe_json": msgspec.json.encode(recipe, order="deterministic").decode(),
        "data": data.fingerprint,
        "curves": json.dumps({str(m.copy.half): _rounded(asdict(m.curves)) for m in members}),
        "seconds_per_step": f"{members[0].seconds_per_step:.6f}",
        "copies_together": str(members[0].copies_together),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "environment": json.dumps(environment(), sort_keys=True),
        "networks": str(NETWORKS),
        "training": json.dumps(dict(training or {}), sort_keys=True),
    }
    write_atomically(path, packed(tensors, metadata))


def load(
    path: Path, name: str, recipe: Recipe, data: Dataset, *, sha256: str | None = None, device: str = "cpu"
) -> Target:
    """Read and verify one named network, on ``device``, in eval mode and in the state that its recipe tests.

    Raises:
        Damaged: the file is truncated, has another hash, or is of another network.
        UserError: it cannot be read.
        Stale: it is of another recipe or data set than the present ones.
    """
    hint = f"train it again with `resbench train --network {name}`"
    content, metadata = _verified(path, name, recipe, data.fingerprint, hint, sha256)
    tensors = safetensors.torch.load(content)
    try:
        curves = json.loads(metadata["curves"])
        members = tuple(_member(recipe, data, half, _of_half(tensors, half), curves, device) for half in recipe.halves)
        return Target(name, recipe, int(metadata["seed"]), members)
    except (KeyError, RuntimeError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise Damaged(path, f"does not fit network {name} ({one_line(error)})", hint) from error


def load_network(path: Path, name: str, recipe: Recipe, data: str, *, device: str = "cpu") -> Saved:
    """Read and verify the one network in the file ``path``; ``data``: the fingerprint of what it was trained on.

    Raises:
        Damaged: the file is truncated, not what was written, or of another network.
        UserError: it cannot be read.
        Stale: it is of another recipe, data set or version of the networks' code than the present ones.
    """
    hint = "remove the file to have it trained again"
    content, metadata = _verified(path, name, recipe, data, hint)
    try:
        curves = {key: tuple(value) for key, value in json.loads(metadata["curves"])["0"].items()}
        training = {
            **json.loads(metadata["training"]),
            "seconds_per_step": float(metadata["seconds_per_step"]),
            "created": metadata["created"],
            "environment": json.loads(metadata["environment"]),
            "recipe": json.loads(metadata["recipe_json"]),
        }
        return Saved(
            _network(recipe, _of_half(safetensors.torch.load(content), 0), device),
            int(metadata["seed"]),
            Curves(**curves),
            hashlib.sha256(content).hexdigest(),
            str(training.get("precision", "")),
            training,
        )
    except (KeyError, RuntimeError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise Damaged(path, f"does not fit network {name} ({one_line(error)})", hint) from error


def _verified(
    path: Path, name: str, recipe: Recipe, data: str, hint: str, sha256: str | None = None
) -> tuple[bytes, dict[str, str]]:
    """The file's content and metadata, which are of this network, recipe, data set and code."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"checkpoint {path}: {error.strerror}; {hint}") from error
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise Damaged(path, "its hash is not the one in index.json", f"restore the file, or {hint}")
    metadata = _metadata(path, content, hint)
    if metadata.get("network") != name:
        raise Damaged(path, f"network is {metadata.get('network')!r}, not {name!r}", hint)
    for field, wanted in (("recipe", recipe.fingerprint), ("data", data)):
        if metadata.get(field) != wanted:
            raise Stale(f"network {name} was trained with another {field} than the present one; {hint}")
    trained_with = metadata.get("networks", "1")  # files from before there were versions
    if trained_with != str(NETWORKS):
        reason = f"with version {trained_with} of the networks' code, not {NETWORKS}"
        raise Stale(f"network {name} was trained {reason}; {hint}")
    return content, metadata


def read_seed(path: Path) -> int:
    """The seed that the checkpoint at ``path`` was trained with.

    Raises:
        UserError: the file is missing or is not a checkpoint.
    """
    hint = "train it again with `resbench train`"
    try:
        return int(_metadata(path, path.read_bytes(), hint)["seed"])
    except OSError as error:
        raise UserError(f"checkpoint {path}: {error.strerror}; {hint}") from error


def _metadata(path: Path, content: bytes, hint: str) -> dict[str, str]:
    try:
        _, metadata = unpacked(content)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(path, f"truncated, changed or not safetensors ({one_line(error)})", hint) from error
    if metadata.get("format") != _FORMAT:
        raise Damaged(path, f"not written by resbench (format {metadata.get('format')!r})", hint)
    return metadata


def _stored(key: str, value: Tensor) -> Tensor:
    """Half precision where it keeps three digits; the values of a diverged network, a result too, leave its range."""
    fits = bool(value.abs().max() < _HALF_MAXIMUM)
    if key.endswith("running_var"):
        fits = fits and bool(value.min() > _HALF_MINIMUM)
    return value.to(torch.float16) if fits else value


def _of_half(tensors: Mapping[str, Tensor], half: int) -> dict[str, Tensor]:
    prefix = f"{half}/"
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _member(
    recipe: Recipe, data: Dataset, half: int, state: dict[str, Tensor], curves: Mapping[str, Any], device: str
) -> Member:
    network = _network(recipe, state, device)
    train, test = (Images.of_tensors(*images) for images in (data.train(half), data.test(half)))
    curve = {key: tuple(value) for key, value in curves[str(half)].items()}
    return Member(network, half, train, test, Curves(**curve))


def _network(recipe: Recipe, state: Mapping[str, Tensor], device: str) -> ResidualNetwork | PlainNetwork:
    """The network of ``recipe`` with these weights, as it is tested."""
    network = build(recipe.network)
    expected = {key for key in network.state_dict() if not key.endswith("num_batches_tracked")}
    if expected != set(state):
        first = sorted(expected ^ set(state))[0]
        raise ValueError(f"tensor {first} is {'missing' if first in expected else 'unknown'}")
    network.load_state_dict({key: value.float() for key, value in state.items()}, strict=False)
    if isinstance(network, ResidualNetwork):
        apply_test_scaling(network, recipe)
    network.eval().requires_grad_(False).to(device)
    return network


def _rounded(curves: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    return {key: [float(f"{value:.4g}") for value in values] for key, values in curves.items()}
