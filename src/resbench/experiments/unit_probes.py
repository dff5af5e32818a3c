"""What every check of a user's network needs: a working copy of its weights, seeded chance, names of what is at fault.

The network that is measured is the user's own object.  Inside :func:`working_copy` and :func:`seeded` its weights,
buffers, modes and the process's random numbers may change; afterwards all of them are what they were, bit by bit.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from resbench.adapters import output_of
from resbench.experiments.probes import copied, modes_kept, noise
from resbench.targets.target import UserTarget

__all__ = [
    "enliven",
    "forget",
    "freeze_layers",
    "per_image",
    "precise_copy",
    "relative",
    "seeded",
    "working_copy",
]


@contextmanager
def working_copy(model: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Inside, the floating-point weights and buffers are copies in ``dtype``; modes and flags may be changed as well.

    See :func:`resbench.experiments.probes.copied`.
    """
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    with modes_kept(model):
        try:
            with copied(model, dtype=dtype):
                forget(model)
                yield
        finally:
            for parameter, flag in flags:
                parameter.requires_grad_(flag)
            forget(model)


def forget(model: nn.Module) -> None:
    """Let modules forget what they computed of their weights in test mode: many keep it until training begins anew.

    Ends in test mode.
    """
    model.train()
    model.eval()


@contextmanager
def precise_copy(target: UserTarget) -> Iterator[torch.dtype]:
    """A working copy in eval mode, in float64 where the model's code runs in it and else in float32; yields which."""
    dtype = torch.float64 if _runs_in(target, torch.float64) else torch.float32
    with working_copy(target.model, dtype), seeded(target):
        target.model.eval()
        yield dtype


def _runs_in(target: UserTarget, dtype: torch.dtype) -> bool:
    """Whether the model takes and gives numbers of ``dtype`` (some have float32 written into their code)."""
    try:
        with working_copy(target.model, dtype), seeded(target), torch.no_grad():
            return output_of(target.model.eval()(target.example[:2].to(dtype))).dtype == dtype
    except Exception:  # whatever the user's code raises there: float32 is what it was written for
        return False


@contextmanager
def seeded(target: UserTarget) -> Iterator[None]:
    """Random numbers of torch, numpy and Python from the target's seed; the process's own state is put back."""
    device = target.example.device
    python, arrays = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            random.seed(target.seed)
            np.random.seed(target.seed % 2**32)
            torch.manual_seed(target.seed)
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)


def enliven(model: nn.Module) -> None:
    """Give weights that are all zero random values, in a working copy.

    Branches, and heads, are often silent at first (BN's last weight, layer scale or a gain initialised with zero): what
    the code does with a branch would not show.  Biases may stay zero.
    """
    for position, (name, parameter) in enumerate(model.named_parameters()):
        if name.endswith("bias") or parameter.data.any():
            continue
        drawn = noise(parameter.data, position)
        fan_in = parameter.data[0].numel() if parameter.ndim > 1 else 1
        parameter.data.copy_(drawn / fan_in**0.5 if parameter.ndim > 1 else 0.5 + drawn.abs())


def freeze_layers(model: nn.Module) -> None:
    """Let normalisation use its running statistics and let dropout rest while the model is in training mode."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm | nn.modules.dropout._DropoutNd):
            module.eval()


def relative(measured: Tensor, expected: Tensor) -> float:
    """Largest absolute difference over the largest absolute entry of ``expected``; infinite where it is undefined."""
    if measured.shape != expected.shape:
        return float("inf")
    difference, scale = (measured - expected).abs().max(), expected.abs().max()
    if not bool(difference):
        return 0.0
    error = float(difference / scale)
    return error if error == error else float("inf")


def per_image(values: Tensor) -> Tensor:
    """The largest absolute entry of each image, ``(N, ...)`` to ``(N,)``."""
    return values.detach().reshape(len(values), -1).abs().amax(1)
