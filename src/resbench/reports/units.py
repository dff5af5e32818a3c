"""What `adapt` found in a model, for a terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from resbench.reports.words import MIN_WIDTH, clean, cut

if TYPE_CHECKING:
    from resbench.adapters import ResidualUnit

__all__ = ["units_json", "units_table"]


def units_table(units: Sequence[ResidualUnit], *, width: int = 80) -> str:
    """One line a unit: number (from 1, as the papers count), name, shapes, shortcut, after, stage."""
    width = max(width, MIN_WIDTH)
    rows = [_row(unit) for unit in units]
    head = ("unit", "name", "output", "shortcut", "after", "stage", "")
    columns = [max(len(row[i]) for row in [head, *rows]) for i in range(6)]
    columns[1] = max(12, min(columns[1], width - sum(columns) + columns[1] - 24))
    lines = []
    for row in (head, *rows):
        cells = [cut(cell, size).ljust(size) for cell, size in zip(row[:6], columns, strict=True)]
        lines.append(cut("  ".join([*cells, row[6]]).rstrip(), width))
    deletable = sum(unit.deletable for unit in units)
    exchangeable = sum(unit.group is not None for unit in units)
    changing = sum(unit.changes_shape for unit in units)
    counts = f"{deletable} deletable, {exchangeable} exchangeable (within a group), {changing} change the shape"
    lines += ["", f"{len(units)} units: {counts}"]
    return "\n".join(lines)


def _row(unit: ResidualUnit) -> tuple[str, ...]:
    shape = _size(unit.output_shape)
    if unit.changes_shape:
        shape = f"{_size(unit.input_shape)} > {shape}"
    said = unit.reason if unit.reason else "" if unit.group is None else f"group {unit.group}"
    cells = (str(unit.index + 1), unit.name, shape, unit.shortcut_kind, unit.after_kind, str(unit.stage), said)
    return tuple(map(clean, cells))


def _size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def units_json(units: Sequence[ResidualUnit]) -> list[dict[str, Any]]:
    """The same as plain values; shapes are without the batch dimension."""
    return [
        {
            "index": unit.index,
            "name": unit.name,
            "input_shape": list(unit.input_shape),
            "output_shape": list(unit.output_shape),
            "shortcut": unit.shortcut_kind,
            "after": unit.after_kind,
            "stage": unit.stage,
            "group": unit.group,
            "downsampling": unit.downsampling,
            "deletable": unit.deletable,
            "reason": unit.reason,
        }
        for unit in units
    ]
