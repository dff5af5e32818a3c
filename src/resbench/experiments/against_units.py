"""Two networks unit by unit: their structure, what the deletion of each unit does, and where they first differ."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from resbench.experiments.against_compare import (
    Comparison,
    Inputs,
    Mode,
    Pair,
    Side,
    in_mode,
    passed,
    relative_difference,
)

if TYPE_CHECKING:
    from resbench.adapters import ResidualUnit, Seen

__all__ = ["first_difference", "first_gradient_difference", "lesions", "renamed", "structure", "unit_name"]

_FIELDS = ("input_shape", "output_shape", "shortcut_kind", "after_kind", "deletable")
_PARTS = ("shortcut", "branch")


def unit_name(new: ResidualUnit, old: ResidualUnit) -> str:
    """``unit 5 'layer3.0'``, counted from 1, and its old name where that is another."""
    was = "" if new.name == old.name else f" (was '{old.name}')"
    return f"unit {new.index + 1} '{new.name}'{was}"


def structure(new: Sequence[ResidualUnit], old: Sequence[ResidualUnit]) -> list[str]:
    """In what the units differ, one sentence each; names may differ, the order of the same names may not."""
    if len(new) != len(old):
        return [f"{len(new)} units, were {len(old)}: {_first_apart(new, old)}"]
    found = []
    names = [unit.name for unit in new], [unit.name for unit in old]
    if names[0] != names[1] and set(names[0]) == set(names[1]):
        at = next(index for index, pair in enumerate(zip(*names, strict=True)) if pair[0] != pair[1])
        found.append(f"unit {at + 1} is '{names[0][at]}', was '{names[1][at]}': the units run in another order")
    stages = _partition([unit.stage for unit in new]), _partition([unit.stage for unit in old])
    groups = _partition([unit.group for unit in new]), _partition([unit.group for unit in old])
    for index, (mine, theirs) in enumerate(zip(new, old, strict=True)):
        for field in _FIELDS:
            now, before = getattr(mine, field), getattr(theirs, field)
            if now != before:
                why = mine.reason or theirs.reason if field == "deletable" else ""
                rest = f" ({why})" if why else ""
                found.append(f"{unit_name(mine, theirs)}: {field.replace('_', ' ')} is {now}, was {before}{rest}")
        for words, (now, before) in (("stage", stages), ("exchangeable group", groups)):
            if now[index] != before[index]:
                found.append(f"{unit_name(mine, theirs)}: {words} is {now[index]}, was {before[index]}")
    return found


def renamed(new: Sequence[ResidualUnit], old: Sequence[ResidualUnit]) -> str:
    """The first units of other names, '' where there are none."""
    pairs = [f"{a.name} <- {b.name}" for a, b in zip(new, old, strict=False) if a.name != b.name]
    return f"{len(pairs)} units renamed: {', '.join(pairs[:3])}{', ...' if len(pairs) > 3 else ''}" if pairs else ""


def _first_apart(new: Sequence[ResidualUnit], old: Sequence[ResidualUnit]) -> str:
    for index, (mine, theirs) in enumerate(zip(new, old, strict=False)):
        now, before = ((unit.input_shape, unit.output_shape) for unit in (mine, theirs))
        if now != before:
            return f"the first that differs is unit {index + 1}, {_shapes(mine)}, was {_shapes(theirs)}"
    longer, word = (new, "new") if len(new) > len(old) else (old, "old")
    extra = longer[min(len(new), len(old))]
    return f"only the {word} network has unit {extra.index + 1} '{extra.name}'"


def _shapes(unit: ResidualUnit) -> str:
    return f"'{unit.name}' {unit.input_shape} -> {unit.output_shape}"


def _partition(labels: Sequence[Hashable]) -> list[int | None]:
    """Labels by their order of appearance, so that only who is with whom counts."""
    order: dict[Hashable, int] = {}
    return [None if label is None else order.setdefault(label, len(order)) for label in labels]


def lesions(pair: Pair, inputs: Inputs) -> tuple[Comparison, dict[str, list[float]]]:
    """Outputs in eval mode with each unit deleted in turn; with labels the errors of both as well, percent.

    Units that cannot be deleted in both are left out.  The errors' first entry is the whole network's.
    """
    from resbench.adapters import deleted

    chosen = [unit.index for unit in pair.new.units if unit.deletable and pair.old.units[unit.index].deletable]
    worst, where = 0.0, ""
    errors: dict[str, list[float]] = {"new": [], "old": []} if inputs.labels is not None else {}
    for index in [None, *chosen]:
        found = []
        for side, word in zip(pair.sides, ("new", "old"), strict=True):
            with nullcontext() if index is None else deleted(side.units, [index]):
                found.append(passed(pair, side, inputs.images, "eval"))
            if inputs.labels is not None:
                errors[word].append(_error(found[-1], inputs.labels))
        difference = relative_difference(found[0], found[1])
        if not difference <= pair.tolerance and not where:
            what = "no unit" if index is None else unit_name(pair.new.units[index], pair.old.units[index])
            where = f"first with {what} deleted, by {difference:.2g}"
            if errors:
                where += f" (errors {errors['new'][-1]:.2f} % and {errors['old'][-1]:.2f} %)"
        worst = difference if math.isnan(difference) or math.isnan(worst) else max(worst, difference)
    reason = "" if chosen else "no unit can be deleted in both networks"
    name = f"outputs with each of {len(chosen)} units deleted, {inputs.words}"
    return Comparison(name, worst, pair.tolerance, where, reason), errors


def _error(output: Tensor, labels: Tensor) -> float:
    if output.ndim != 2:
        return math.nan
    return 100.0 * float((output.argmax(1) != labels).double().mean())


def first_difference(pair: Pair, inputs: Inputs, mode: Mode) -> str:
    """Where the forward passes first differ: stem, between units, a unit's shortcut, branch or end, or head."""
    found = _before_the_head(pair, inputs, mode)
    if not found and len(pair.new.units) != len(pair.old.units):
        return "the units cannot be paired: their numbers differ"
    return found or "in the head: the outputs of all units agree"


def _before_the_head(pair: Pair, inputs: Inputs, mode: Mode) -> str:
    seen = [_observed(pair, side, inputs, mode) for side in pair.sides]
    for mine, theirs, one, other in zip(pair.new.units, pair.old.units, *seen, strict=False):
        name = unit_name(mine, theirs)
        if one is None or other is None:
            if (one is None) != (other is None):
                return f"{name} is called in the {'old' if one is None else 'new'} network only"
            continue
        # An input that is not visible counts as equal: a difference shows in the output.
        entered = 0.0 if one.x is None or other.x is None else relative_difference(one.x, other.x)
        if not entered <= pair.tolerance:
            place = "in the stem" if mine.index == 0 else f"between unit {mine.index} and {name}"
            return f"first {place}: the input of {name} differs by {entered:.2g}"
        left = relative_difference(one.output, other.output)
        if not left <= pair.tolerance:
            return f"first in {name}: {_part(one, other, left, pair.tolerance)}"
    return ""


def _observed(pair: Pair, side: Side, inputs: Inputs, mode: Mode) -> list[Seen | None]:
    from resbench.adapters import observe

    with in_mode(side, mode, pair.seed) as network, torch.no_grad():
        return observe(network, side.units, inputs.images.to(pair.dtype, copy=True))


def _part(new: Seen, old: Seen, output: float, tolerance: float) -> str:
    """Which part of a unit differs whose input agrees."""
    found = []
    for part in _PARTS:
        mine, theirs = getattr(new, part), getattr(old, part)
        if (mine is None) != (theirs is None):
            found.append(f"{part} is computed in the {'old' if mine is None else 'new'} network only")
        elif mine is not None:
            difference = relative_difference(mine, theirs)
            if not difference <= tolerance:
                found.append(f"{part} differs by {difference:.2g}")
    if not found:
        return f"shortcut and branch agree, what follows the addition differs by {output:.2g}"
    return f"{' and '.join(found)}, output by {output:.2g}"


def first_gradient_difference(pair: Pair, inputs: Inputs, mode: Mode) -> str:
    """Where the gradients first differ: forward, or else in a unit's vector-Jacobian product at the same signal."""
    forward = _before_the_head(pair, inputs, mode)
    if forward:
        return forward
    for mine, theirs, seen in zip(
        pair.new.units, pair.old.units, _observed(pair, pair.old, inputs, mode), strict=False
    ):
        if seen is None or seen.x is None:
            continue
        difference = _gradient_through("run", pair, (mine, theirs), seen.x, mode)
        if difference <= pair.tolerance:
            continue
        parts = [] if mine.opaque or theirs.opaque else [(part, seen.x) for part in _PARTS]
        if parts and seen.shortcut is not None and seen.branch is not None:
            parts.append(("after", seen.shortcut + seen.branch))
        apart = [(part, _gradient_through(part, pair, (mine, theirs), x, mode)) for part, x in parts]
        named = ", ".join(f"{part} by {far:.2g}" for part, far in apart if not far <= pair.tolerance)
        rest = f": {named}" if named else ""
        return f"first in {unit_name(mine, theirs)}: the gradient through it differs by {difference:.2g}{rest}"
    return "in stem or head: the gradients through all units agree"


def _gradient_through(part: str, pair: Pair, units: Sequence[ResidualUnit], x: Tensor, mode: Mode) -> float:
    """Relative difference of what one part of both units makes of the same gradient."""
    found = []
    for side, unit in zip(pair.sides, units, strict=True):
        with in_mode(side, mode, pair.seed), torch.enable_grad():
            leaf = x.detach().clone().requires_grad_()
            output: Tensor = getattr(unit, part)(leaf)
            vector = torch.randn(output.shape, generator=torch.Generator().manual_seed(41), dtype=torch.float64)
            gradient = None
            if output.requires_grad:
                (gradient,) = torch.autograd.grad(output, leaf, vector.to(output), allow_unused=True)
        found.append(torch.zeros_like(x) if gradient is None else gradient)
    return relative_difference(found[0], found[1])
