"""The gradient by path length, exactly: all ``2^n`` paths at once, multiplied out as a polynomial.

Between two units the gradient is the polynomial ``sum of v_k z^k``, ``v_k`` summed over all paths that have passed
``k`` branches.  A unit with shortcut Jacobian S and branch Jacobian J makes ``v_k <- S^T v_k + J^T v_(k-1)`` of it.
After the first unit the coefficients sum to the ordinary gradient.  The ``v_k`` are stacked and go through a unit in
batched vector-Jacobian products, some rows at a time (the temporary memory is theirs).

A row carries a power of two beside its values: a gradient through many branches would be lost in single precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from resbench.experiments.linearised import Chain, Linearised, LinearUnit, Map

__all__ = ["Stack", "Through", "block_rows", "coefficients", "signal_by_length", "through_units"]

_BLOCK_BYTES = {"cpu": 2**20}
"""Of cotangents in one batched product.  On a CPU a block should stay in the core's own cache: 54 units at 32x32 took
1.3 s in blocks of 1 MiB, 1.5 s of 4 MiB and 1.9 s of 16 MiB (4 images, one core)."""
_BLOCK_BYTES_ELSEWHERE = 2**28

_LARGE, _SMALL = 2.0**30, 2.0**-30
"""Rows whose largest entry leaves this range are brought back to about one: squares stay far inside of float32."""


_NOTHING = -(10**6)
"""The exponent of a row of zeros: it never sets the scale of a sum."""


@dataclass(frozen=True)
class Stack:
    """Rows ``values[k] * 2 ** exponents[k]``; values ``(rows, *shape)``, exponents int64 on the CPU."""

    values: Tensor
    exponents: Tensor

    def balanced(self) -> Stack:
        """The same rows, with values of a size that float32 holds; multiplication by powers of two rounds nothing."""
        largest = self.values.abs().flatten(1).amax(1).double().cpu()
        outside = ((largest > _LARGE) | (largest < _SMALL)) & (largest > 0) & largest.isfinite()
        exponents = self.exponents
        if bool(outside.any()):
            shift = torch.where(outside, torch.frexp(largest).exponent.long(), 0)
            _scale(self.values, -shift)
            exponents = exponents + shift
        return Stack(self.values, torch.where(largest == 0, _NOTHING, exponents))

    def plain(self) -> Tensor:
        """The rows themselves; what their type cannot hold is zero or infinite."""
        return _scale(self.values.clone(), self.exponents)

    def total(self) -> Tensor:
        """The sum of all rows."""
        factors = torch.exp2(self.exponents.double())
        total: Tensor = torch.tensordot(factors.to(self.values), self.values, dims=1)
        return total

    def log_norms(self) -> Tensor:
        """Natural logarithms of the norms for each image, float64 ``(rows, images)``; minus infinity for zero."""
        size = self.values.flatten(2).norm(dim=2).double() if self.values.dim() > 2 else self.values.abs().double()
        return size.log() + math.log(2.0) * self.exponents.to(size.device)[:, None]


def block_rows(unit: LinearUnit, block_bytes: int | None = None) -> int:
    """How many rows go through ``unit`` in one product."""
    source, target = unit.shortcut.source, unit.after.target
    limit = block_bytes or _BLOCK_BYTES.get(source.device.type, _BLOCK_BYTES_ELSEWHERE)
    return max(1, limit // (max(source.numel(), target.numel()) * source.element_size()))


def coefficients(full: Linearised, *, longest: int | None = None, block_bytes: int | None = None) -> Stack:
    """The gradient at the first unit's input, carried by all paths of each length together.

    Args:
        longest: lengths 0 to ``longest`` are told apart; one more row holds all longer paths together.  By default
            every length has its row.
        block_bytes: of cotangents in one batched product; its intermediate values are a few times that.

    Returns:
        ``1 + units`` rows, or ``2 + longest`` where that is less; they sum to the ordinary gradient.
    """
    last = len(full.units) if longest is None else longest
    if last < 0:
        raise ValueError(f"a path has a length of 0 or more, not {last}")
    rows = Stack(full.gradient.unsqueeze(0), torch.zeros(1, dtype=torch.long))
    for unit in reversed(full.units):
        step = _Step(unit.after.vjp, unit.shortcut.vjp, unit.branch.vjp, unit.shortcut.source)
        rows = _longer(step, rows, last, block_rows(unit, block_bytes))
    return rows


class _Step(NamedTuple):
    """A unit as a linear step: what enters it is ``enter``ed and goes both ways; ``like``: a result."""

    enter: Callable[[Tensor], Tensor]
    shortcut: Callable[[Tensor], Tensor]
    branch: Callable[[Tensor], Tensor]
    like: Tensor


def _longer(step: _Step, rows: Stack, last: int, block: int) -> Stack:
    """One unit further; row ``last + 1``, once there is one, gathers every longer path."""
    before = len(rows.values)
    count = min(before + 1, last + 2)
    # Row k stays in its place by the shortcut and moves on by the branch; a result has the largest scale it is made of.
    onward = torch.arange(1, before + 1).clamp(max=last + 1)
    exponents = torch.full((count,), _NOTHING)
    exponents[:before] = rows.exponents
    exponents.scatter_reduce_(0, onward, rows.exponents, "amax")
    grown = step.like.new_zeros(count, *step.like.shape)
    for start in range(0, before, block):
        here = torch.arange(start, min(start + block, before))
        entered = step.enter(rows.values[start : start + block])
        for places, way in ((here, step.shortcut), (onward[here], step.branch)):
            _add(grown, places, way(entered), rows.exponents[here] - exponents[places])
    return Stack(grown, exponents).balanced()


def _add(rows: Tensor, places: Tensor, values: Tensor, shift: Tensor) -> None:
    """Add ``values * 2 ** shift`` to the rows at ``places``, which are consecutive but that the last may repeat."""
    if bool(shift.any()):
        values = _scale(values.clone(), shift)
    first, distinct = int(places[0]), int(places[-1] - places[0]) + 1
    rows[first : first + distinct] += values[:distinct]
    for place, value in zip(places[distinct:].tolist(), values[distinct:], strict=True):
        rows[place] += value


def _scale(values: Tensor, shift: Tensor) -> Tensor:
    """Multiply each row by a power of two, in place; in two steps, since one power may not be a number of its type."""
    half = torch.div(shift, 2, rounding_mode="floor")
    for part in (half, shift - half):
        factor = torch.exp2(part.clamp(-1000, 1000).double()).to(values)
        values *= factor.view(-1, *(1,) * (values.dim() - 1))
    return values


@dataclass(frozen=True)
class Through:
    """Gradients at the first unit's input: ``units[l]`` of all paths through the branch of unit ``l``, whatever else
    they pass; ``without[s]`` of those through no branch of stage ``s``; ``total`` of all paths."""

    total: Tensor
    units: Tensor
    without: Tensor


def through_units(full: Linearised, stages: Sequence[int], *, block_bytes: int | None = None) -> Through:
    """Which units the gradient passes: one row for every unit, and one for every stage.

    ``stages``: the stage of every unit, numbers that do not fall.  The rows of the units sum to the first derivative of
    the polynomial at one, ``sum of k v_k``: each path is counted once for every branch on it.
    """
    if len(stages) != len(full.units):
        raise ValueError(f"{len(stages)} stages for {len(full.units)} units")
    names = sorted(set(stages), reverse=True)
    # Row 0: all paths; then a row for each stage; then the units, the last unit first.
    rows = full.gradient.expand(1 + len(names), *full.gradient.shape)
    for unit, stage in zip(reversed(full.units), reversed(stages), strict=True):
        shortcuts, branches = _both(unit, rows, block_rows(unit, block_bytes))
        own = 1 + names.index(stage)
        entered = branches[:1].clone()
        branches[own] = 0
        rows = torch.cat([shortcuts + branches, entered])
    stage_rows = rows[1 : 1 + len(names)]
    return Through(rows[0], rows[1 + len(names) :].flip(0), stage_rows.flip(0))


def _both(unit: LinearUnit, rows: Tensor, block: int) -> tuple[Tensor, Tensor]:
    parts = [
        (unit.shortcut.vjp(arrived), unit.branch.vjp(arrived)) for arrived in map(unit.after.vjp, rows.split(block))
    ]
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def signal_by_length(units: Sequence[LinearUnit], tangent: Tensor, *, longest: int | None = None) -> Stack:
    """Forwards: what a small change ``tangent`` of the first unit's input becomes at the last unit's output, by length.

    Only the linearised signal is a sum over paths; through the units themselves the terms are nested (Veit 2016,
    equation 6).  The rows sum to the derivative of the units, one after the other, in the direction ``tangent``.
    """
    rows = Stack(tangent.unsqueeze(0), torch.zeros(1, dtype=torch.long))
    for unit in units:
        step = _Step(_unchanged, _then(unit.shortcut, unit.after), _then(unit.branch, unit.after), unit.after.target)
        rows = _longer(step, rows, len(units) if longest is None else longest, block_rows(unit, None))
    return rows


def _unchanged(rows: Tensor) -> Tensor:
    return rows


def _then(first: Map, second: Map | Chain) -> Callable[[Tensor], Tensor]:
    return lambda rows: second.jvp(first.jvp(rows))
