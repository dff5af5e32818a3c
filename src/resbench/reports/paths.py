"""The gradient by path length, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resbench.reports.words import MIN_WIDTH, cut, figure, wrap

__all__ = ["paths_table"]

_SHOWN = 0.0005
"""Lengths with less of the gradient are not listed."""

_MOST_UNITS = 5
"""How many units are named."""

_HEAD = ("length", "paths", "of a path", "together", "share", "s.e.", "")


def paths_table(found: Mapping[str, Any], *, width: int = 80) -> str:
    """One line for each length that carries some of the gradient; then what they come to, in sentences.

    ``of a path``: the gradient's norm for one path; ``together``: for all paths of that length; ``s.e.``: of the share.
    """
    width = max(width, MIN_WIDTH)
    lines = [cut(_title(found), width), "", *_lengths(found, width), ""]
    for sentence in _sentences(found):
        lines += wrap(sentence, width, rest="  ")
    lines += [cut(line, width) for line in _participation(found)]
    return "\n".join(lines)


def _title(found: Mapping[str, Any]) -> str:
    how = "every path, multiplied out" if found["method"] == "exact" else f"{sum(found['paths'])} paths sampled"
    data = "" if found["data"] == "given" else " of noise"
    return f"{found['target']['name']}: {found['n_units']} units, {found['images']} images{data}; {how}"


def _lengths(found: Mapping[str, Any], width: int) -> list[str]:
    shares: Sequence[float] = found["share"]
    errors = found["standard_error"]["share"]
    shown = [k for k, share in enumerate(shares) if share >= _SHOWN]
    rows = [
        (
            str(found["length"][k]),
            figure(found["path_count"][k]),
            figure(found["gradient_norm_per_path"][k], 3),
            figure(found["gradient_norm_of_length"][k], 3),
            f"{100 * shares[k]:.1f} %",
            "-" if errors[k] is None else f"{100 * errors[k]:.1f}",
        )
        for k in shown
    ]
    if found.get("longer"):
        longer = found["longer"]
        norm, share = figure(longer["gradient_norm"], 3), f"{100 * longer['share']:.1f} %"
        rows.append((f"> {found['length'][-1]}", "", "", norm, share, ""))
    columns = [max(len(row[i]) for row in [_HEAD[:6], *rows]) for i in range(6)]
    used = sum(columns) + 2 * 6
    most = max((shares[k] for k in shown), default=0.0)
    lines = ["  ".join(cell.rjust(size) for cell, size in zip(_HEAD[:6], columns, strict=True))]
    for row, k in zip(rows, [*shown, *[None] * (len(rows) - len(shown))], strict=True):
        bar = "" if k is None else "#" * round(max(width - used, 0) * shares[k] / most)
        cells = "  ".join(cell.rjust(size) for cell, size in zip(row, columns, strict=True))
        lines.append(cut(f"{cells}  {bar}".rstrip(), width))
    hidden = len(shares) - len(shown)
    if hidden:
        lines.append(f"({hidden} lengths with less than {100 * _SHOWN:g} % each are left out)")
    return lines


def _sentences(found: Mapping[str, Any]) -> list[str]:
    low, high = (figure(end) if end is not None else f"more than {found['length'][-1]}" for end in
                 found["effective_range"])  # fmt: skip
    lines = [f"effective range: {low} to {high} of {found['n_units']} units hold {100 * found['mass']:g} %"]
    ends = found["effective_range_interval"]
    if ends is not None:
        lines[0] += f" (95 %: {_span(ends[0])} to {_span(ends[1])})"
    mean = found["mean_length"]
    if mean is not None:
        lines.append(f"mean length: {figure(mean['value'])} units{_interval(mean['interval'])}")
    r = found["r"]
    if r["value"] is not None:
        fit = "" if r["r_squared"] is None else f", R^2 {r['r_squared']:.3f}"
        lines.append(f"r: {figure(r['value'])} a unit{_interval(r['interval'])}{fit}")
    if found["left_after_deletions"]["gradient"] is not None:
        deleted = min(10, (found["n_units"] + 1) // 2)
        left = found["left_after_deletions"]
        parts = [f"{figure(100 * left[what][deleted], 3)} % of the {name}" for what, name in _LEFT]
        lines.append(f"after {deleted} random deletions: {parts[0]} and {parts[1]} are left")
    if "gradient" in found:
        gap = figure(found["gradient"]["disagreement"], 2)
        lines.append(f"the lengths sum to autograd's gradient, but for {gap} of its norm")
    if found["survival"] is not None:
        law = found["survival"]
        low, high = map(figure, law["range"])
        lines.append(f"paths in training: {figure(law['mean_length'])} units on average, mostly {low} to {high}")
    return lines


_LEFT = (("paths", "paths"), ("gradient", "gradient's norms"))


def _span(ends: Sequence[int]) -> str:
    return figure(ends[0]) if ends[0] == ends[1] else f"{ends[0]}-{ends[1]}"


def _interval(ends: Sequence[float] | None) -> str:
    return "" if ends is None else f" (95 %: {figure(ends[0])} to {figure(ends[1])})"


def _participation(found: Mapping[str, Any]) -> list[str]:
    if "participation" not in found:
        return []
    parts = found["participation"]
    lines = ["", "gradient through a branch of         share   branches passed"]
    for stage in parts["stages"]:
        name = f"stage {stage['stage']} ({stage['units']} units)"
        lines.append(f"  {name:<32}{100 * stage['share']:7.1f} %   {figure(stage['mean_branches'], 3)}")
    most = sorted(parts["units"], key=lambda unit: -abs(unit["share"]))[:_MOST_UNITS]
    for unit in most:
        name = cut(f"unit {unit['index'] + 1} {unit['name']}", 32)
        lines.append(f"  {name:<32}{100 * unit['share']:7.1f} %")
    return lines
