"""A user's network in test mode: what its output depends on, and where its gradient gets to.

The output depends on the image alone (Ioffe & Szegedy 2015, section 3.1), so two passes agree, another image of the
batch changes nothing, and no statistic moves.  And the gradient reaches every parameter that asks for one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from resbench.adapters import observe, output_of
from resbench.experiments.probes import noise
from resbench.experiments.unit_probes import enliven, forget, per_image, precise_copy
from resbench.targets.target import UserMember, UserTarget

__all__ = ["unit_modes"]

_INPUTS = 3
"""Random inputs tried until the gradient has reached every parameter: one of them alone may leave ReLUs silent."""


def unit_modes(member: UserMember) -> dict[str, Any]:
    """Everything of this module, as lists of the names at fault and errors by unit.

    Returns ``names`` of the units and, one entry a unit and a last one for the model's output (NaN where it could not
    be seen): ``repeat``, relative difference of two passes over the same images; ``others``, of two passes over batches
    that share the first image only.  Lists of names: ``still_training`` after ``eval()``, ``moved`` (buffers that a
    pass changed), ``unreached`` (parameters without gradient).  Counts: ``parameters``, ``modules``.  Also ``dtype``.
    """
    target = member.target
    result: dict[str, Any] = {"names": [unit.name for unit in target.units]}
    with precise_copy(target) as dtype:
        enliven(target.model)
        images = target.example[:2].to(dtype)
        target.model.eval()
        result["still_training"] = [n or "the model" for n, m in target.model.named_modules() if m.training]
        result["moved"] = _moved_buffers(target.model, images)
        result["repeat"], result["others"] = _differences(target, images)
        result["unreached"], result["parameters"] = _unreached(target, images)
    result["modules"] = sum(1 for _ in target.model.modules())
    result["dtype"] = str(dtype)[6:]
    return {key: np.array(value, dtype=str if value == [] else None) for key, value in result.items()}


@torch.no_grad()
def _moved_buffers(model: nn.Module, images: Tensor) -> list[str]:
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model(images)
    after = dict(model.named_buffers())
    return [name for name, old in before.items() if name not in after or not _same(old, after[name])]


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


@torch.no_grad()
def _outputs(target: UserTarget, images: Tensor) -> list[Tensor | None]:
    """The output of every unit and of the model; None for a unit that was not called or keeps no rows for images."""
    kept: list[Tensor] = []
    handle = target.model.register_forward_hook(lambda _, __, output: kept.append(output_of(output)))
    try:
        seen = observe(target.model, target.units, images)
    finally:
        handle.remove()
    outputs = [None if one is None else one.output for one in seen]
    return [None if o is None or len(o) != len(images) else o.clone() for o in [*outputs, kept[-1]]]


def _differences(target: UserTarget, images: Tensor) -> tuple[list[float], list[float]]:
    """Between two passes over ``images``; and in the first image, between two passes with other images beside it."""
    first, second = _outputs(target, images), _outputs(target, images)
    replaced = torch.cat([images[:1], 3.0 * noise(images[1:], target.seed + 1) + 1.0])
    third = _outputs(target, replaced)
    repeat = [_difference(a, b) for a, b in zip(first, second, strict=True)]
    others = [_difference(a, b, only=0) for a, b in zip(second, third, strict=True)]
    return repeat, others


def _difference(a: Tensor | None, b: Tensor | None, only: int | None = None) -> float:
    if a is None or b is None or a.shape != b.shape:
        return float("nan")
    distance, scale = per_image(a - b), per_image(a)
    if only is not None:
        distance, scale = distance[only], scale[only]
    return float(distance.max() / scale.max()) if distance.any() else 0.0


def _unreached(target: UserTarget, images: Tensor) -> tuple[list[str], int]:
    """Parameters that no gradient reaches, of how many that require one.

    The gradient is that of a random linear functional of the output, in test mode, on random images.
    """
    wanted = {name: p for name, p in target.model.named_parameters() if p.requires_grad}
    missing = dict(wanted)
    for attempt in range(_INPUTS):
        if not missing:
            break
        forget(target.model)  # what was computed without gradient passes none on
        output = output_of(target.model(noise(images, target.seed + attempt)))
        if not output.requires_grad:
            break
        vector = noise(output, target.seed + _INPUTS + attempt)
        gradients = torch.autograd.grad(output, list(missing.values()), vector, allow_unused=True)
        reached = [gradient is not None and bool(gradient.any()) for gradient in gradients]
        missing = {name: p for (name, p), there in zip(missing.items(), reached, strict=True) if not there}
    return list(missing), len(wanted)
