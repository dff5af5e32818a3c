"""Tensors and text in one safetensors file."""

from __future__ import annotations

import json

import safetensors.torch
from torch import Tensor

__all__ = ["unpacked"]


def unpacked(content: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file's ``content``, and its metadata, which the library reads from a path only.

    Raises:
        safetensors.SafetensorError, ValueError, KeyError: it is damaged, something else, or without metadata.
    """
    tensors = safetensors.torch.load(content)
    length = int.from_bytes(content[:8], "little")
    metadata: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    return tensors, metadata
