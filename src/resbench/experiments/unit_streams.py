"""Additivity of signal and gradient along the units of a user's network (He 2016, equations 4 and 5).

Both equations speak of units with nothing after the addition.  A *stretch* is a maximal series of such units, of one
shape, each fed with the output of the one before.  Units with an altered shortcut belong to it: they break the
equations, which is what is to be found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resbench.adapters import ResidualUnit, Seen, observe
from resbench.experiments.probes import noise
from resbench.experiments.unit_probes import enliven, precise_copy, relative
from resbench.experiments.unit_shortcuts import difference_in_words
from resbench.targets.target import UserMember

__all__ = ["unit_streams"]


def unit_streams(member: UserMember) -> dict[str, Any]:
    """How far each unit, and each stretch up to it, is from the equations.

    Returns one entry a unit: ``names``; ``forward``, ``backward``: relative error of the equation for the unit alone
    (NaN where it does not speak of it), with ``forward_words`` and ``backward_words``; ``forward_sum``,
    ``backward_sum``: for all units of its stretch from the first to this one, and from this one to the last.  Also
    ``dtype``, ``reason`` (why there is no stretch) and ``longest`` (units in the longest stretch).
    """
    target = member.target
    names = np.array([unit.name for unit in target.units])
    found: dict[int, dict[str, Any]] = {}
    with precise_copy(target) as dtype:
        enliven(target.model)
        with torch.no_grad():
            seen = observe(target.model, target.units, target.example[:2].to(dtype))
        stretches = _stretches(target.units, seen)
        for stretch in stretches:
            passes = [s for unit in stretch if (s := seen[unit.index]) is not None]
            for unit, row in zip(stretch, _forward(passes), strict=True):
                found[unit.index] = row
            assert passes[0].x is not None
            for unit, row in zip(stretch, _backward(stretch, passes[0].x, target.seed), strict=True):
                found[unit.index] |= row
    empty = dict.fromkeys(("forward", "forward_sum", "backward", "backward_sum"), np.nan)
    rows = [found.get(i, empty | {"forward_words": "", "backward_words": ""}) for i in range(len(target.units))]
    result = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    longest = max((len(stretch) for stretch in stretches), default=0)
    reason = np.array("" if stretches else _reason(target.units))
    return {"names": names, **result, "dtype": np.array(str(dtype)[6:]), "reason": reason, "longest": np.array(longest)}


def _stretches(units: Sequence[ResidualUnit], seen: Sequence[Seen | None]) -> list[list[ResidualUnit]]:
    stretches: list[list[ResidualUnit]] = []
    current: list[ResidualUnit] = []
    for unit in units:
        here = seen[unit.index]
        suits = (
            not unit.changes_shape and unit.after_kind == "identity" and unit.shortcut_kind in ("identity", "altered")
        )
        if not suits or here is None or here.branch is None or here.x is None or here.x.shape != here.branch.shape:
            current = []
            continue
        before = seen[current[-1].index] if current else None
        if before is None or not torch.equal(before.output, here.x):
            current = []
            stretches.append(current)
        current.append(unit)
    return stretches


def _reason(units: Sequence[ResidualUnit]) -> str:
    kept = [unit for unit in units if not unit.changes_shape]
    if kept and all(unit.after_kind == "relu" for unit in kept):
        return "equation 4 speaks of units with nothing after the addition; in this target a ReLU follows the additions"
    if kept and any(unit.after_kind != "identity" for unit in kept):
        return "equation 4 speaks of units with nothing after the addition; in this target something follows them"
    return "the target has no unit with an identity shortcut and nothing after the addition"


def _forward(passes: Sequence[Seen]) -> list[dict[str, Any]]:
    """``x_L = x_l + sum F(x_i)``: of each unit alone, and from the stretch's first unit on."""
    rows = []
    total = passes[0].x
    for one in passes:
        assert one.x is not None
        assert one.branch is not None
        assert total is not None
        total = total + one.branch
        error = relative(one.x + one.branch, one.output)
        words = difference_in_words("output minus branch is", one.output - one.branch, one.x, "its input")
        rows.append(
            {
                "forward": error,
                "forward_sum": relative(total, one.output),
                "forward_words": words if error else "",
            }
        )
    return rows


def _backward(stretch: Sequence[ResidualUnit], x: Tensor, seed: int) -> list[dict[str, Any]]:
    """``dE/dx_l = dE/dx_L + dE/dx_L d(sum F)/dx_l`` of each unit alone, and up to the stretch's last unit.

    The gradients are those of the units' own code, one after the other, with the weights they have; the last term is
    the vector-Jacobian product of each unit's branch on its own.  ``E`` is a random linear functional of ``x_L``.
    """
    signals = [x.detach().requires_grad_()]
    for unit in stretch:
        signals.append(unit.run(signals[-1]))
    vector = noise(signals[-1], seed)
    reached = torch.autograd.grad(signals[-1], signals, vector, allow_unused=True, materialize_grads=True)
    rows: list[dict[str, Any]] = []
    through = torch.zeros_like(vector)
    for index, unit in reversed(list(enumerate(stretch))):
        before, after = reached[index], reached[index + 1]
        product = _through_branch(unit, signals[index], after)
        through = through + product
        error = relative(after + product, before)
        words = difference_in_words("the direct term of its gradient is", before - product, after, "the gradient")
        rows.insert(
            0,
            {
                "backward": error,
                "backward_sum": relative(vector + through, before),
                "backward_words": words if error else "",
            },
        )
    return rows


def _through_branch(unit: ResidualUnit, signal: Tensor, vector: Tensor) -> Tensor:
    leaf = signal.detach().requires_grad_()
    branch = unit.branch(leaf)
    (product,) = torch.autograd.grad(branch, leaf, vector, allow_unused=True) if branch.requires_grad else (None,)
    return torch.zeros_like(vector) if product is None else product
