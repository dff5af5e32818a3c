"""Tensors and text in one safetensors file, with a digest of both: the format itself notices no changed byte."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import safetensors.torch
import torch
from torch import Tensor

__all__ = ["packed", "unpacked"]

_DIGEST = "digest"


def packed(tensors: dict[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The file of these contiguous tensors on the CPU, and of this text."""
    return safetensors.torch.save(tensors, {**metadata, _DIGEST: _digest(tensors, metadata)})


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 of all names, types, shapes and bytes."""
    digest = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()


def unpacked(content: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file's ``content``, and its metadata, which the library reads from a path only.

    Files from before there was a digest have none, and are read.

    Raises:
        safetensors.SafetensorError, ValueError, KeyError, TypeError: it is damaged, something else, or without
            metadata.
    """
    tensors = safetensors.torch.load(content)
    length = int.from_bytes(content[:8], "little")
    metadata: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    digest = metadata.pop(_DIGEST, None)
    if digest is not None and digest != _digest(tensors, metadata):
        raise ValueError("its content is not what was written: another digest")
    return tensors, metadata
