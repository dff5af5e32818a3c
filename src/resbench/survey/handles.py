"""Whether the handles that ``adapt`` gives do what they promise on one network, in numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resbench.adapters import ResidualUnit, deleted, duplicated, exchanged, observe, output_of

__all__ = ["check_handles"]

_TOLERANCE = 1e-4
"""Relative to the largest entry, in float32: the parts are computed by the same operations in another order."""


def check_handles(model: nn.Module, units: list[ResidualUnit], example: Tensor) -> str:
    """The first broken promise in a few words; empty if there is none.

    Each unit is ``after(shortcut(x) + branch(x))``; what is observed in a real pass is what the parts compute; after
    deleting, exchanging and duplicating, also one unit at a time, the network computes exactly what it did before.

    Args:
        model: in eval mode.
        units: all of the model's.
        example: the input that the units were found with.
    """
    with torch.no_grad():
        before = output_of(model(example.clone()))
        found = _parts(units) or _observed(model, units, example) or _lesions(model, units, example)
        after = output_of(model(example.clone()))
    if not found and not _same(before, after):
        found = "the network is not restored"
    return found


def _parts(units: list[ResidualUnit]) -> str:
    for unit in units:
        if unit.opaque:
            continue
        x = unit.example
        whole, parts = unit.run(x), unit.after(unit.shortcut(x) + unit.branch(x))
        if not _close(whole, parts):
            return f"{unit.name}: not after(shortcut + branch)"
        if tuple(whole.shape[1:]) != unit.output_shape:
            return f"{unit.name}: another output shape"
    return ""


def _observed(model: nn.Module, units: list[ResidualUnit], example: Tensor) -> str:
    for unit, seen in zip(units, observe(model, units, example.clone()), strict=True):
        if unit.opaque or not unit.deletable:  # its module may be called several times: seen only once
            continue
        if seen is None:
            return f"{unit.name}: not seen in a pass"
        if seen.branch is None or seen.shortcut is None:
            return f"{unit.name}: its addition is not seen in a pass"
        if not _close(seen.branch, unit.branch(unit.example)):
            return f"{unit.name}: another branch in a pass"
        if not _close(seen.shortcut, unit.shortcut(unit.example)):
            return f"{unit.name}: another shortcut in a pass"
    return ""


def _lesions(model: nn.Module, units: list[ResidualUnit], example: Tensor) -> str:
    deletable = [unit.index for unit in units if unit.deletable]
    for chosen in ([deletable] if deletable else []) + [[index] for index in deletable[:1] + deletable[-1:]]:
        with deleted(units, chosen):
            lesioned = output_of(model(example.clone()))
        if len(lesioned) != len(example):
            return "deletion changes the output's shape"
    for group in sorted({unit.group for unit in units if unit.group is not None}):
        first, second, *_ = [unit.index for unit in units if unit.group == group]
        order = list(range(len(units)))
        order[first], order[second] = second, first
        with exchanged(units, order):
            model(example.clone())
        with duplicated(units, [first]):
            model(example.clone())
    return ""


def _close(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    if not (bool(a.isfinite().all()) and bool(b.isfinite().all())):
        return _same(a, b)
    return bool((a - b).abs().max() <= _TOLERANCE * a.abs().max())


def _same(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a.nan_to_num(), b.nan_to_num())
