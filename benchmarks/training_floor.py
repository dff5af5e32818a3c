"""The least time of a training step on this machine: its multiply-adds and its bytes over measured rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from benchmarks.floor import PASSES, Convolution, convolution_rate, convolutions, machine_rates
from resbench.timing.roofline import copy_rate

__all__ = ["Floor", "StepWork", "floor_of", "work_of"]

_TRAFFIC = 5
"""Times that each value which a convolution makes goes through memory, however operators are fused: batch normalisation
needs statistics of all of them before what follows may begin.  Forwards it is written and read; backwards it is read
again, and its gradient is written and read, for the same reason."""

_PARAMETER_TRAFFIC = 5
"""A parameter and its momentum are read and written, its gradient is read (and made where it is used)."""


@dataclass(frozen=True)
class StepWork:
    """Of one image: ``macs``, and the ``values`` that its convolutions make.  Of a step: the ``parameters``."""

    macs: int
    values: int
    parameters: int
    layers: Mapping[Convolution, int]


def work_of(network: nn.Module, side: int) -> StepWork:
    """Counted in one forward pass; a training step takes three times its multiply-adds.

    The classifier's are left out, and the gradient of the images, which nobody needs, is not: both are below 1 %.
    """
    device = next(network.parameters()).device
    was = network.training
    layers = convolutions(network.eval(), torch.zeros(1, 3, side, side, device=device))
    network.train(was)
    macs = PASSES * sum(layer.macs * count for layer, count in layers.items())
    values = sum(layer.macs * count // _per_output(layer) for layer, count in layers.items())
    return StepWork(macs, values, sum(parameter.numel() for parameter in network.parameters()), layers)


def _per_output(layer: Convolution) -> int:
    """Multiply-adds for each value that the layer makes."""
    _, inputs, *kernel = layer.weight
    count = inputs
    for size in kernel:
        count *= size
    return count


@dataclass(frozen=True)
class Floor:
    """Seconds of a step at least.

    ``matrix``: its multiply-adds at the rate of the best matrix product; ``convolutions``: at that of its own
    convolutions, each alone, forwards and backwards; ``memory``: its bytes at the rate of a copy of as many.
    """

    matrix: float
    convolutions: float
    memory: float

    @property
    def least(self) -> float:
        """What no implementation can beat that multiplies as ``torch.mm`` does."""
        return max(self.matrix, self.memory)


def floor_of(work: StepWork, batch: int, device: str, threads: int, precision: str) -> Floor:
    """``precision``: float32, tf32 or bf16; measures the rates, some seconds."""
    format = {"bf16": "bfloat16"}.get(precision, precision)
    macs, width = work.macs * batch, 2 if precision == "bf16" else 4
    rates = machine_rates(device, threads, format)
    kept = work.values * batch * width
    moved = _TRAFFIC * kept + _PARAMETER_TRAFFIC * work.parameters * 4
    own = convolution_rate(work.layers, device, threads, format, training=True)
    return Floor(macs / rates.macs, macs / own, moved / copy_rate(kept, rates.copies))
