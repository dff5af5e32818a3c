"""Gradient checkpointing that leaves batch normalisation's running statistics as one forward pass does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

__all__ = ["recomputed"]


def recomputed(module: nn.Module, *inputs: Tensor) -> Tensor:
    """``module(*inputs)``, whose inner activations are computed again in the backward pass instead of kept."""
    output: Tensor = checkpoint(
        module, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), _statistics_kept(module))
    )
    return output


@contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    """The second pass counts its batch in copies of the running statistics: the first pass has counted it already."""
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    kept = [dict(norm.named_buffers(recurse=False)) for norm in norms]
    for norm, buffers in zip(norms, kept, strict=True):
        for name, values in buffers.items():
            setattr(norm, name, values.clone())
    try:
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            for name, values in buffers.items():
                setattr(norm, name, values)
