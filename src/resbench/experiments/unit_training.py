"""A user's network in training mode: every module learns of it, and running statistics move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from resbench.experiments.unit_probes import seeded, working_copy
from resbench.targets.target import UserMember

__all__ = ["unit_training"]

_PASSES = 30
"""Training passes after which a statistic that never moved counts as one that does not: units may be dropped."""


def unit_training(member: UserMember) -> dict[str, Any]:
    """What follows ``train()``, and which statistics training passes leave as they are.

    Returns names: ``not_training`` (modules still in test mode after ``train()``) and ``frozen`` (normalisation layers
    that were used and whose running mean did not move); and ``normalisations``, the number of those that were used.
    """
    target = member.target
    with working_copy(target.model, torch.float32), seeded(target), torch.no_grad():
        target.model.train()
        still = [name or "the model" for name, module in target.model.named_modules() if not module.training]
        used, frozen = _statistics(target.model, target.example)
    return {
        "not_training": np.array(still, dtype=str),
        "normalisations": np.array(len(used)),
        "frozen": np.array(frozen, dtype=str),
    }


def _statistics(model: nn.Module, images: Tensor) -> tuple[set[str], list[str]]:
    """The normalisation layers that training passes use, and those whose running statistics stay as they are."""
    before = {
        name: (module.running_mean.clone(), module.running_var.clone())
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm) and module.running_mean is not None and module.running_var is not None
    }
    used: set[str] = set()

    def using(name: str) -> Callable[..., None]:
        return lambda *_: used.add(name)

    handles = [model.get_submodule(name).register_forward_hook(using(name)) for name in before]
    unmoved = list(before)
    try:
        for _ in range(_PASSES if before else 0):
            model(images)
            unmoved = [name for name in unmoved if _at(model.get_submodule(name), *before[name])]
            if not unmoved:
                break
    finally:
        for handle in handles:
            handle.remove()
    return used, [name for name in unmoved if name in used]


def _at(norm: nn.Module, mean: Tensor, variance: Tensor) -> bool:
    """Whether the running statistics are these.  Both count: the mean of two images at 1x1 is that of +1 and -1."""
    return torch.equal(norm.get_buffer("running_mean"), mean) and torch.equal(norm.get_buffer("running_var"), variance)
