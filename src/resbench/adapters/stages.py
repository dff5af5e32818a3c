"""Stages and exchangeable units, from the shapes alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import prod

from resbench.adapters.unit import ResidualUnit

__all__ = ["set_stages"]

Shape = tuple[int, ...]


def set_stages(units: Sequence[ResidualUnit]) -> None:
    """Give each unit its ``stage`` and ``group``; ``units`` in the order of execution.

    A stage begins with a unit that changes the shape, or where another shape arrives; a change of layout (image to
    sequence and back) is none.  Units of one stage that keep one and the same shape are exchangeable.
    """
    stage = 0
    for before, unit in zip([None, *units], units, strict=False):
        if before is not None and (unit.changes_shape or not _one_layout(before.output_shape, unit.input_shape)):
            stage += 1
        unit.stage = stage
    members: dict[tuple[int, Shape], list[ResidualUnit]] = defaultdict(list)
    for unit in units:
        if _exchangeable(unit):
            members[unit.stage, unit.input_shape].append(unit)
    for number, group in enumerate(group for group in members.values() if len(group) > 1):
        for unit in group:
            unit.group = number


def _exchangeable(unit: ResidualUnit) -> bool:
    if not unit.deletable or unit.changes_shape:
        return False
    return unit.place.whole or unit.shortcut_kind == "identity"


def _one_layout(a: Shape, b: Shape) -> bool:
    """Whether the shapes are equal, or hold as many channels at as many positions, whichever dimension comes first."""
    return a == b or bool(_splits(a) & _splits(b))


def _splits(shape: Shape) -> set[frozenset[int]]:
    """The pairs (channels, positions) that a shape can be read as: the first or the last dimension is the channels'."""
    if len(shape) < 2:
        return set()
    return {frozenset((shape[0], prod(shape[1:]))), frozenset((shape[-1], prod(shape[:-1])))}
