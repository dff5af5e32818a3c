"""One training on several processes: each takes its part of every mini-batch, and all take the step of the whole.

The result is that of one process, but for the order of floating-point additions: gradients are summed, and batch
normalisation is over the whole mini-batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from resbench.networks.copies import CopiesBatchNorm2d

__all__ = ["Share", "synchronise"]


class Share:
    """The part of process ``rank`` of ``world``; alone, nothing is exchanged."""

    def __init__(self, rank: int = 0, world: int = 1):
        self.rank, self.world = rank, world

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace every gradient by the sum over the processes, in one exchange."""
        if self.world == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        parts = flat.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def sum_(self, values: Tensor) -> Tensor:
        """``values`` summed over the processes, in place."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def agreed(self, wish: bool, device: torch.device) -> bool:
        """What process 0 wishes: clocks differ, and all must stop after the same step."""
        if self.world == 1:
            return wish
        decision = torch.tensor(float(wish), device=device)
        dist.broadcast(decision, 0)
        return bool(decision)


class _Sum(torch.autograd.Function):
    """The sum over the processes, of which each one's loss is a part: the gradient is summed as well."""

    @staticmethod
    def forward(_context: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def _summed(values: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(values)
    return total


class SynchronisedBatchNorm2d(CopiesBatchNorm2d):
    """Batch normalisation whose statistics in training are those of all processes' images; one copy, equal parts."""

    @classmethod
    def of(cls, module: CopiesBatchNorm2d, world: int) -> SynchronisedBatchNorm2d:
        """In the place of ``module``, with its parameters and statistics."""
        made = cls(module.num_features)
        made.world, made.eps, made.momentum, made.training = world, module.eps, module.momentum, module.training
        made.weight, made.bias = module.weight, module.bias
        for name, buffer in module.named_buffers():
            setattr(made, name, buffer)
        return made

    world = 1

    def forward(self, input: Tensor, active: Tensor | None = None) -> Tensor:
        if not self.training:
            return super().forward(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        count = self.world * input.numel() // input.shape[1]
        values = input.float()
        # Around a constant near the mean: the difference of two large sums would lose the variance.
        around = self.running_mean.detach().clone()
        centred = values - around.view(1, -1, 1, 1)
        sums = _summed(torch.stack([centred.sum((0, 2, 3)), centred.square().sum((0, 2, 3))]))
        shift, square = sums / count
        variance = (square - shift.square()).clamp_min(0.0)
        with torch.no_grad():
            unbiased = variance * count / max(1, count - 1)
            self.running_mean.lerp_(around + shift, self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scale = (self.weight * (variance + self.eps).rsqrt()).view(1, -1, 1, 1)
        result: Tensor = (centred - shift.view(1, -1, 1, 1)) * scale + self.bias.view(1, -1, 1, 1)
        return result.to(input.dtype)


def synchronise(network: nn.Module, world: int) -> None:
    """Make every batch normalisation of ``network`` one over all processes; its parameters stay the same."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, CopiesBatchNorm2d):
                setattr(parent, name, SynchronisedBatchNorm2d.of(child, world))
