"""By what a user's network with stochastic depth multiplies its branches, in both modes (Huang 2016, equation 5).

Normalisation uses its running statistics and dropout rests, so that a branch is the same function in both modes but for
the factor that is to be found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resbench.adapters import ResidualUnit, observe
from resbench.experiments.unit_draws import last_layers, need_survival
from resbench.experiments.unit_probes import enliven, freeze_layers, per_image, precise_copy, relative
from resbench.targets.target import UserMember, UserTarget

__all__ = ["unit_scaling"]

_PASSES = 200
"""Training passes at most until every unit has been kept once."""

_CLOSE = 1e-5
"""How well one factor must explain a contribution to be called its factor; float32 rounding is below."""


def unit_scaling(member: UserMember) -> dict[str, Any]:
    """The factors of every unit's branch.

    Returns one entry a unit: ``names``, ``p``; ``ratio``: its contribution in test mode over that of a training pass in
    which it was kept, for the same input; ``test`` and ``training``: each contribution over the output of the branch's
    last weight layer.  NaN where there is no one factor: a unit that was never kept, something random in the branch, or
    more than a factor (an activation) between that layer and the addition.
    """
    target = member.target
    p = need_survival(target)
    rows = [dict.fromkeys(("ratio", "test", "training"), np.nan) for _ in target.units]
    with precise_copy(target) as dtype, torch.no_grad():
        enliven(target.model)
        images = target.example[:2].to(dtype)
        kept = _kept(target, images)
        target.model.eval()
        for unit in target.units:
            if unit.index in kept and not unit.opaque:
                rows[unit.index] = _factors(target, unit, *kept[unit.index])
    columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    return {
        "names": np.array([unit.name for unit in target.units]),
        "p": np.array(p),
        **columns,
        "dtype": np.array(str(dtype)[6:]),
    }


_Kept = tuple[Tensor, Tensor, Tensor, Tensor | None]


def _kept(target: UserTarget, images: Tensor) -> dict[int, _Kept]:
    """For each unit one training pass that kept it: input, which images, contribution, output of its last layer."""
    target.model.train()
    freeze_layers(target.model)
    found: dict[int, _Kept] = {}
    with last_layers(target.model, target.units) as ran:
        for _ in range(_PASSES):
            ran.clear()
            seen = observe(target.model, target.units, images)
            for unit, one in zip(target.units, seen, strict=True):
                if unit.index in found or one is None or one.branch is None or one.x is None:
                    continue
                rows = per_image(one.branch) > 0
                if rows.any():
                    found[unit.index] = (one.x, rows, one.branch, _output(ran, unit))
            if len(found) == len(target.units):
                break
    return found


def _output(ran: Sequence[tuple[int, Tensor]], unit: ResidualUnit) -> Tensor | None:
    outputs = [output for index, output in ran if index == unit.index]
    return outputs[-1] if outputs else None


def _factors(
    target: UserTarget, unit: ResidualUnit, x: Tensor, rows: Tensor, contribution: Tensor, output: Tensor | None
) -> dict[str, float]:
    """``x``, ``contribution`` and ``output`` are those of a training pass, ``rows`` the images that it kept."""
    with last_layers(target.model, [unit]) as ran:
        tested = unit.branch(x)
        test_output = _output(ran, unit)
    return {
        "ratio": _factor(tested, contribution, rows),
        "test": _factor(tested, test_output, rows),
        "training": _factor(contribution, output, rows),
    }


def _factor(measured: Tensor, reference: Tensor | None, rows: Tensor) -> float:
    """The number that ``reference`` must be multiplied by; NaN where there is none."""
    if reference is None or measured.shape != reference.shape:
        return float("nan")
    a, b = measured[rows], reference[rows]
    if not b.any():
        return float("nan")
    factor = (a * b).sum() / (b * b).sum()
    return float(factor) if relative(a, factor * b) < _CLOSE or not a.any() else float("nan")
