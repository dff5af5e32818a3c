"""Training on a GPU as CUDA graphs: a thin network's kernels take less time than their launches one by one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from resbench.networks.residual import ResidualNetwork

__all__ = ["GraphedStep", "graph_units"]

Step = Callable[[Tensor, Tensor], None]

_EAGER_STEPS = 3
"""Steps before the capture: what is allocated or chosen once (momentum, cuDNN's algorithms) must not be captured."""


class GraphedStep:
    """A whole training step: the first few are real steps, run as they are; then one is captured, and replayed.

    Batches of another shape run as they are.
    """

    def __init__(self, step: Step):
        self._step, self._done = step, 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: tuple[Tensor, Tensor] | None = None

    def __call__(self, images: Tensor, labels: Tensor) -> None:
        if self._inputs is None:
            self._inputs = images.clone(memory_format=torch.preserve_format), labels.clone()
        if images.shape != self._inputs[0].shape or self._done < _EAGER_STEPS:
            self._aside(images, labels)
            return
        for ours, theirs in zip(self._inputs, (images, labels), strict=True):
            ours.copy_(theirs)
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._step(*self._inputs)
        self._graph.replay()

    def _aside(self, images: Tensor, labels: Tensor) -> None:
        """Not captured, and on a stream of its own, as a capture's warm-up has to be."""
        side, current = torch.cuda.Stream(images.device), torch.cuda.current_stream(images.device)
        side.wait_stream(current)
        with torch.cuda.stream(side):
            self._step(images, labels)
        current.wait_stream(side)
        self._done += 1


def graph_units(network: ResidualNetwork, images: Tensor, autocast: Callable[[], AbstractContextManager[Any]]) -> None:
    """Make every unit's residual branch a pair of graphs, forwards and backwards, for batches like ``images``.

    Units that are drawn anew for every batch cannot be in one graph: there would be ``2^units``.  The branches keep the
    order in which they were captured, whichever of them are left out, so that they may share memory.  In eval mode a
    branch runs as it is.  Parameters, gradients and BN statistics are as before.
    """
    branches = [unit.residual for unit in network.residual_units()]
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    sampler, network.sampler = network.sampler, None
    try:
        inputs: list[Tensor] = []

        def keep(_module: nn.Module, given: tuple[Tensor, ...]) -> None:
            inputs.append(given[0].detach().clone().requires_grad_(given[0].requires_grad))

        handles = [branch.register_forward_pre_hook(keep) for branch in branches]
        with autocast():
            network(images)
        for handle in handles:
            handle.remove()
        with autocast():
            torch.cuda.make_graphed_callables(tuple(branches), tuple((given,) for given in inputs))
    finally:
        network.sampler = sampler
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
