"""Path gradients of a user's network: possible where its units follow each other, and nothing leads past them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resbench.adapters import ResidualUnit, Seen, observe, output_of
from resbench.errors import NotMeasured
from resbench.experiments.linearised import Chain, Linearised, LinearUnit, Map, linear_units
from resbench.targets.target import UserTarget

__all__ = ["linearised_target"]

_TOLERANCE = 1e-3
"""Relative, of norms.  In the sum over all paths rounding alone gave 0 for torchvision's resnet18, resnet50 and
resnet152, 1.0e-6 for timm's resnetv2_50, 1.4e-6 for its resnetv2_152 and 1.5e-6 for resnet1001-preact (333 units):
float32 on a CPU, one thread, initial weights, 4 random images of 64 (the last: 32) pixels a side, the largest of three
seeds.  A tanh between two units of a small network, or a gate around them, gave 0.17 and more.  GPUs, which may round
products to TF32, were not measured."""


def linearised_target(target: UserTarget, images: Tensor, labels: Tensor, *, between: bool = False) -> Linearised:
    """One pass of the live model in its present mode, cut into its units' shortcuts and branches.

    The cut is checked: the units one after the other give what the model gave, and the sum over all paths is the
    gradient that autograd finds.  The gradient can be read at the input of the first unit only.

    ``between``: what stands between two units (a layer without a shortcut, a change of resolution) is passed by every
    path, and belongs to what follows the addition.  Otherwise such a network is refused, as the papers know none.

    Raises:
        NotMeasured: a unit's inside is not known, something stands between two units, or a check fails.
    """
    for unit in target.units:
        if unit.opaque:
            raise NotMeasured(f"no paths: the inside of {unit.name} is not known")
    with torch.enable_grad():
        seen, logits = _observed(target.model, target.units, images.detach().clone().requires_grad_())
        gaps = _gaps(seen)
        if gaps and not between:
            names = [target.units[gaps[0] + step].name for step in (0, 1)]
            raise NotMeasured(f"no paths: between {names[0]} and {names[1]} stands something that is no unit")
        first, last = seen[0].x, seen[-1].output
        assert first is not None
        loss = F.cross_entropy(logits, labels)
        gradient, expected = torch.autograd.grad(loss, [last, first], allow_unused=True, retain_graph=bool(gaps))
        if gradient is None or expected is None:  # seen as a copy, which the model went on without
            raise NotMeasured(f"no paths: the input of {target.units[0].name} lies within a module")
        try:
            units, output = _linear(target.units, seen, gaps)
            full = Linearised(Map(first.detach(), first.detach()), units, gradient, expected)
            total = _summed(full)
        except RuntimeError as error:  # vmap meets an operator that it cannot batch
            raise NotMeasured(f"no paths: {str(error).splitlines()[0]}") from error
    if _apart(output, last) > _TOLERANCE:
        raise NotMeasured("no paths: the units one after the other do not give what the model gives")
    if _apart(total, expected) > _TOLERANCE:
        raise NotMeasured("no paths: the gradient reaches the first unit on other ways than through the units")
    return full


def _observed(model: nn.Module, units: Sequence[ResidualUnit], images: Tensor) -> tuple[list[Seen], Tensor]:
    outputs: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
        outputs.append(output_of(output))

    handle = model.register_forward_hook(keep)
    try:
        seen = observe(model, units, images)
    finally:
        handle.remove()
    for unit, one in zip(units, seen, strict=True):
        if one is None or one.x is None:
            raise NotMeasured(f"no paths: the input of {unit.name} is not visible")
    return [one for one in seen if one is not None], outputs[-1]


def _gaps(seen: Sequence[Seen]) -> list[int]:
    """The units whose output is not the input of the next."""
    found = []
    for index, (one, other) in enumerate(pairwise(seen)):
        assert other.x is not None
        if one.output.shape != other.x.shape or _apart(one.output, other.x) > _TOLERANCE:
            found.append(index)
    return found


def _linear(
    units: Sequence[ResidualUnit], seen: Sequence[Seen], gaps: Sequence[int]
) -> tuple[tuple[LinearUnit, ...], Tensor]:
    """All units at their activations, and the output of the last; over a gap leads the live model's own graph."""
    found: list[LinearUnit] = []
    for index in gaps:
        start, following = seen[len(found)].x, seen[index + 1].x
        assert start is not None
        assert following is not None
        run, output = linear_units(units[len(found) : index + 1], start)
        names = f"between {units[index].name} and {units[index + 1].name}"
        if _apart(output, seen[index].output) > _TOLERANCE:
            raise NotMeasured("no paths: the units one after the other do not give what the model gives")
        gap = Map(seen[index].output, following)
        if not _connected(gap):
            raise NotMeasured(f"no paths: {names} no gradient passes")
        last = run[-1]
        assert isinstance(last.after, Map)
        found += [*run[:-1], LinearUnit(last.shortcut, last.branch, Chain(last.after, gap))]
    start = seen[len(found)].x
    assert start is not None
    run, output = linear_units(units[len(found) :], start)
    return (*found, *run), output


def _connected(gap: Map) -> bool:
    if not (gap.source.requires_grad and gap.target.requires_grad):
        return False
    cotangent = torch.zeros_like(gap.target)
    (found,) = torch.autograd.grad(gap.target, gap.source, cotangent, retain_graph=True, allow_unused=True)
    return found is not None


def _summed(full: Linearised) -> Tensor:
    """The gradient at the first unit's input, all paths together."""
    rows = full.gradient.unsqueeze(0)
    for unit in reversed(full.units):
        arrived = unit.after.vjp(rows)
        rows = unit.shortcut.vjp(arrived) + unit.branch.vjp(arrived)
    return rows[0]


def _apart(one: Tensor, other: Tensor) -> float:
    """Relative distance of two tensors of one shape."""
    scale = float(other.detach().norm())
    return float((one - other).detach().norm()) / (scale or 1.0)
