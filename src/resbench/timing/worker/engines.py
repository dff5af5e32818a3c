"""The lesion and path engines as cases: one step is one whole, small sweep."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

__all__ = ["ENGINES", "Engine"]

Engine = Callable[[int], tuple[nn.Module, Tensor, Callable[[], object]]]
"""Batch to network, images and the sweep."""

Plan = tuple[tuple[int, ...], ...]
"""Which units stand at each position (as :mod:`resbench.experiments.lesion` has it)."""

_NETWORK = "resnet20-preact"
_DELETIONS = 20


def _network(batch: int) -> tuple[nn.Module, Tensor, Tensor]:
    from resbench.networks import zoo

    images = torch.randn(batch, 3, 32, 32)
    return zoo.create(_NETWORK).eval(), images, torch.arange(batch) % 10


def _lesion(batch: int, plans: Callable[[int], list[Plan]]) -> tuple[nn.Module, Tensor, Callable[[], object]]:
    from resbench.experiments.lesion import body
    from resbench.targets.images import Images

    network, images, labels = _network(batch)
    parts = body(network)  # type: ignore[arg-type]
    chosen = plans(parts.count)
    given = Images.of_tensors(images, labels)
    return network, images, lambda: parts.wrong(chosen, given)


def _without(count: int, deleted: set[int]) -> Plan:
    return tuple(() if index in deleted else (index,) for index in range(count))


def _singles(count: int) -> list[Plan]:
    return [_without(count, {index}) for index in range(count)]


def _multiples(count: int) -> list[Plan]:
    generator = random.Random(0)
    return [_without(count, set(generator.sample(range(count), 1 + index % count))) for index in range(_DELETIONS)]


def _paths(batch: int) -> tuple[nn.Module, Tensor, Callable[[], object]]:
    from resbench.experiments.path_gradients import gradient_by_length_exact

    network, images, labels = _network(batch)
    return network, images, lambda: gradient_by_length_exact(network, images, labels)  # type: ignore[arg-type]


ENGINES: Mapping[str, Engine] = {
    "lesion-single": lambda batch: _lesion(batch, _singles),
    "lesion-multi": lambda batch: _lesion(batch, _multiples),
    "paths-exact": _paths,
}
"""On a pre-activation ResNet-20: every single deletion; 20 random deletions; the gradient by path length."""
