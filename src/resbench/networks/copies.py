"""Layers that hold several independent copies of themselves as channel groups.

Thin networks are bound by operator overhead, not by arithmetic: a layer of eight channels keeps a core busy for
microseconds and the framework busy for ten times as long.  ``copies`` networks of one architecture (seeds, or
cross-fitting folds) therefore run as *one* network whose convolutions are grouped: copy ``s`` owns the channels
``[s * C, (s + 1) * C)`` of every layer, and no arithmetic mixes two copies.  A batch has the shape
``(N, copies * C, H, W)``, logits ``(N, copies, classes)``.

Every parameter and buffer has its copies along dimension 0, in equal parts, so one copy of a network is a slice
(see :func:`copy_state`).  A layer may be run on a subset of its copies (``active``): the others are neither
computed nor, in batch normalisation, counted.  With ``copies=1`` these are ordinary layers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "CopiesBatchNorm2d",
    "CopiesConv2d",
    "CopiesLinear",
    "Sequence2d",
    "copy_state",
    "initialise",
    "select_copies",
]


def select_copies(values: Tensor, active: Tensor, copies: int, dim: int = 1) -> Tensor:
    """The ``active`` copies of ``values``, whose dimension ``dim`` holds ``copies`` equal parts."""
    shape = values.shape
    parts: Tensor = values.unflatten(dim, (copies, shape[dim] // copies))
    return parts.index_select(dim, active).flatten(dim, dim + 1)


class CopiesConv2d(nn.Conv2d):
    """``copies`` independent convolutions, input ``(N, copies * in, H, W)``, output ``(N, copies * out, H', W')``.

    Padding keeps the map size at stride 1 (``kernel // 2``); a bias starts at zero.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, bias: bool = False, copies: int = 1):
        super().__init__(
            copies * inputs, copies * outputs, kernel, stride=stride, padding=kernel // 2, bias=bias, groups=copies
        )
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        self.copies = copies

    def forward(self, input: Tensor, active: Tensor | None = None) -> Tensor:
        if active is None:
            return super().forward(input)
        weight = select_copies(self.weight, active, self.copies, dim=0)
        bias = None if self.bias is None else select_copies(self.bias, active, self.copies, dim=0)
        padding = self.kernel_size[0] // 2
        return F.conv2d(input, weight, bias, self.stride, padding, groups=len(active))


class CopiesBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation of ``copies * channels`` channels; statistics of inactive copies stay as they are."""

    def __init__(self, channels: int, *, copies: int = 1):
        super().__init__(copies * channels)
        self.copies = copies

    def forward(self, input: Tensor, active: Tensor | None = None) -> Tensor:
        if active is None:
            return super().forward(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        mean = select_copies(self.running_mean, active, self.copies, dim=0)
        var = select_copies(self.running_var, active, self.copies, dim=0)
        weight = select_copies(self.weight, active, self.copies, dim=0)
        bias = select_copies(self.bias, active, self.copies, dim=0)
        output = F.batch_norm(input, mean, var, weight, bias, self.training, self.momentum, self.eps)
        if self.training:
            width = self.num_features // self.copies
            self.running_mean.view(self.copies, width).index_copy_(0, active, mean.view(-1, width))
            self.running_var.view(self.copies, width).index_copy_(0, active, var.view(-1, width))
        return output


class CopiesLinear(nn.Module):
    """The classifier: ``(N, copies * features)`` to logits ``(N, classes)``, or ``(N, copies, classes)``."""

    def __init__(self, features: int, classes: int, *, copies: int = 1):
        super().__init__()
        self.copies = copies
        self.weight = nn.Parameter(torch.empty(copies * classes, features))
        self.bias = nn.Parameter(torch.zeros(copies * classes))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def forward(self, input: Tensor) -> Tensor:
        if self.copies == 1:
            return F.linear(input, self.weight, self.bias)
        features = input.unflatten(1, (self.copies, -1))
        weight = self.weight.unflatten(0, (self.copies, -1))
        bias: Tensor = self.bias.unflatten(0, (self.copies, -1))
        return torch.einsum("nsf,skf->nsk", features, weight) + bias


class Sequence2d(nn.Sequential):
    """``nn.Sequential`` that hands ``active`` on to the layers that know copies."""

    def forward(self, input: Tensor, active: Tensor | None = None) -> Tensor:
        for layer in self:
            input = layer(input, active) if isinstance(layer, CopiesConv2d | CopiesBatchNorm2d) else layer(input)
        return input


def copy_state(state: Mapping[str, Tensor], copy: int, copies: int) -> dict[str, Tensor]:
    """The state dict of one copy out of the state dict of a network of ``copies``."""
    return {
        name: value.clone() if value.dim() == 0 else value.chunk(copies, dim=0)[copy].clone()
        for name, value in state.items()
    }


@torch.no_grad()
def initialise(network: nn.Module, seeds: Sequence[int]) -> None:
    """He initialisation (fan-out, as in the authors' code); copy ``s`` starts as a lone network of ``seeds[s]`` would.

    Gate biases (any bias of a convolution) keep the value that their unit gave them.
    """
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    for module in network.modules():
        if not isinstance(module, CopiesConv2d | CopiesLinear):
            continue
        if module.copies != len(seeds):
            raise ValueError(f"{len(seeds)} seeds for a network of {module.copies} copies")
        parts = module.weight.unflatten(0, (len(seeds), -1))
        for part, generator in zip(parts, generators, strict=True):
            if isinstance(module, CopiesConv2d):
                deviation = math.sqrt(2.0 / (part.shape[0] * part.shape[2] * part.shape[3]))
                part.copy_(torch.randn(part.shape, generator=generator) * deviation)
            else:
                bound = 1.0 / math.sqrt(part.shape[1])
                part.copy_(torch.empty(part.shape).uniform_(-bound, bound, generator=generator))
