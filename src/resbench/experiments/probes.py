"""What the checks of one network and of two have in common: weights lent as copies, modes kept, random inputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["copied", "modes_kept", "noise"]


@contextmanager
def copied(*networks: nn.Module, dtype: torch.dtype | None = None, parameters: bool = True) -> Iterator[None]:
    """Inside, copies of the parameters and buffers in their place; afterwards the own ones, bit by bit.

    The tensor objects stay, only what they hold is exchanged: whoever keeps a parameter or a buffer sees the copy.

    Args:
        dtype: that of the copies of floating-point tensors; as it is where not given.
        parameters: False where only a pass is run, which changes buffers at most.
    """
    modules = {id(module): module for network in networks for module in network.modules()}.values()
    buffers = [(module, dict(module._buffers)) for module in modules]
    held: dict[int, Tensor] = {id(b): b for _, kept in buffers for b in kept.values() if b is not None}
    if parameters:
        held |= {id(p): p for network in networks for p in network.parameters()}
    data = [(tensor, tensor.data) for tensor in held.values()]
    try:
        for tensor, own in data:
            tensor.data = own.to(dtype if dtype is not None and own.is_floating_point() else own.dtype, copy=True)
        yield
    finally:
        for tensor, own in data:
            tensor.data = own
        for module, kept in buffers:
            module._buffers.clear()
            module._buffers.update(kept)


@contextmanager
def modes_kept(*networks: nn.Module) -> Iterator[None]:
    """Inside, modules may be put into training or test mode; afterwards each is in the one that it was in."""
    modes = [(module, module.training) for network in networks for module in network.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def noise(like: Tensor, seed: int) -> Tensor:
    """Standard normal numbers in the shape, type and place of ``like``, the same for a seed on every device."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)
