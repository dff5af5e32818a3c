"""What lesions do to a network, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resbench.reports.lesion_summary import Spread, by_number, by_tau, costliest, pairs_summary
from resbench.reports.words import MIN_WIDTH, cut, figure, wrap

__all__ = ["lesion_table"]

_NAME = 24
"""Longest name of a unit that is shown in full, on 80 columns."""

_MOST_LISTED = 12
"""Units named in one sentence."""


def lesion_table(found: Mapping[str, Any], *, width: int = 80) -> str:
    """The baseline and what was measured; then each mode that ``found`` has.

    ``found``: what ``resbench lesion --format json`` prints.  Errors are percent, changes percentage points against the
    whole network, intervals 95 %; units have their number, from 1, and their name.
    """
    width = max(width, MIN_WIDTH)
    lines = _head(found, width)
    if "single" in found:
        lines += ["", *_single(found, width)]
    if found.get("multi"):
        lines += ["", *_spreads("units deleted", by_number(found["multi"]), width)]
    if found.get("duplicate"):
        lines += ["", *_spreads("units applied twice", by_number(found["duplicate"]), width)]
    if found.get("reorder"):
        lines += ["", *_spreads("Kendall's tau of the order", by_tau(found["reorder"]), width)]
    if found.get("pairs"):
        lines += ["", *_pairs(found, width)]
    return "\n".join(lines)


def _head(found: Mapping[str, Any], width: int) -> list[str]:
    low, high = found["baseline_interval"]
    units = found["units"]
    fixed = sum(not unit["deletable"] for unit in units)
    lines = wrap(
        f"{found['target']['name']}: error {found['baseline_error']:.2f} % (95 %: {low:.2f} to {high:.2f}),"
        f" {found['n_images']} images, {len(units)} units{f', {fixed} not deletable' if fixed else ''}",
        width,
        rest="  ",
    )
    counts = [f"{len(found[mode])} {what}" for mode, what in _COUNTED if mode in found]
    if counts:
        lines += wrap(f"measured: {', '.join(counts)}", width, rest="  ")
    engine = _engine(found.get("engine") or {})
    if engine:
        lines += wrap(f"how: {engine}", width, rest="  ")
    if found["excluded"] and any(mode in found for mode in ("multi", "duplicate", "reorder")):
        lines += wrap(f"never drawn: {_numbered(found, found['excluded'])}", width, rest="  ")
    return [cut(line, width) for line in lines]


_COUNTED = (
    ("single", "single deletions"),
    ("multi", "random deletions"),
    ("duplicate", "duplications"),
    ("reorder", "orders"),
    ("pairs", "pairs"),
)


def _engine(engine: Mapping[str, Any]) -> str:
    parts = [figure(engine[key]) for key in ("how", "device", "precision") if engine.get(key)]
    if engine.get("threads"):
        parts.append(f"{engine['threads']} thread{'' if engine['threads'] == 1 else 's'}")
    if engine.get("seconds") is not None:
        parts.append(f"{figure(engine['seconds'], 3)} s")
    return ", ".join(parts)


def _numbered(found: Mapping[str, Any], indices: Sequence[int]) -> str:
    """``units 1, 19 and 37``; of many the first ones."""
    numbers = [str(index + 1) for index in indices]
    if len(numbers) > _MOST_LISTED:
        return f"units {', '.join(numbers[:_MOST_LISTED])} and {len(numbers) - _MOST_LISTED} more"
    last = numbers.pop()
    return f"units {', '.join(numbers)} and {last}" if numbers else f"unit {last}"


def _single(found: Mapping[str, Any], width: int) -> list[str]:
    measured = {one["index"]: one for one in found["single"]}
    name = min(max([4, *(len(figure(unit["name"])) for unit in found["units"])]), max(8, _NAME + (width - 80) // 2))
    rows = [(unit, measured.get(unit["index"])) for unit in found["units"]]
    changes = {index: _change(one) for index, one in measured.items()}
    change = max([6, *map(len, changes.values())])
    most = max((abs(one["delta"]) for one in measured.values()), default=0.0)
    bar = max(width - (4 + 2 + name + 2 + 2 + 2 + 6 + 2 + change + 2), 0)
    lines = [f"unit  {'name':<{name}}       error  {'change':>{change}}"]
    for unit, one in rows:
        marks = ("F" if unit["first_of_stage"] else "") + ("D" if unit["downsampling"] else "")
        start = f"{unit['index'] + 1:>4}  {cut(figure(unit['name']), name):<{name}}  {marks:<2}"
        if one is None:
            lines.append(f"{start}  {'not deletable: ' + figure(unit['reason']) if not unit['deletable'] else '-'}")
            continue
        drawn = ("#" if one["delta"] > 0 else "-") * (round(bar * abs(one["delta"]) / most) if most else 0)
        lines.append(f"{start}  {one['error']:6.2f}  {changes[unit['index']]:>{change}}  {drawn}".rstrip())
    lines = [cut(line, width) for line in lines]
    lines += wrap("F: first of its stage; D: downsampling; error in %, change in points (95 %)", width, rest="  ")
    if measured:
        worst = costliest(found["single"])
        said = f"unit {worst['index'] + 1} {worst['name']} costs most ({_signed(worst['delta'])} points)"
        deltas = [one["delta"] for index, one in measured.items() if not _special(found["units"][index])]
        if deltas:
            said += f"; median of the {len(deltas)} units without a mark: {_signed(_median(deltas))} points"
        lines += wrap(said, width, rest="  ")
    return lines


def _special(unit: Mapping[str, Any]) -> bool:
    return bool(unit["first_of_stage"] or unit["downsampling"])


def _median(values: Sequence[float]) -> float:
    import statistics

    return statistics.median(values)


def _change(one: Mapping[str, Any]) -> str:
    ends = one["delta_interval"]
    return _signed(one["delta"]) + ("" if ends is None else f" ({_signed(ends[0])} to {_signed(ends[1])})")


def _signed(points: float) -> str:
    """``+0.00`` also of what is a hair below."""
    return f"{round(points, 2) + 0.0:+.2f}"


def _spreads(what: str, spreads: Sequence[Spread], width: int) -> list[str]:
    """A line for each k or bin: how many draws, median, quartiles, the worst, and a bar as long as the median."""
    keys = [figure(one.high) if one.low == one.high else f"{one.low:.3g} to {one.high:.3g}" for one in spreads]
    head = ("", "draws", "median", "quartiles", "worst")
    rows = [
        (
            key,
            str(one.count),
            f"{one.median:.2f}",
            f"{one.first_quartile:.2f} to {one.third_quartile:.2f}",
            f"{one.worst:.2f}",
        )
        for key, one in zip(keys, spreads, strict=True)
    ]
    columns = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    room = max(width - sum(columns) - 2 * len(columns), 0)
    most = max((one.median for one in spreads), default=0.0)
    lines = [f"error in % by {what}", _aligned(head, columns)]
    for row, one in zip(rows, spreads, strict=True):
        drawn = "#" * (round(room * one.median / most) if most else 0)
        lines.append(f"{_aligned(row, columns)}  {drawn}".rstrip())
    return [cut(line, width) for line in lines]


def _aligned(row: Sequence[str], columns: Sequence[int]) -> str:
    return "  ".join(cell.rjust(size) for cell, size in zip(row, columns, strict=True))


def _pairs(found: Mapping[str, Any], width: int) -> list[str]:
    names = [figure(unit["name"]) for unit in found["units"]]
    pairs = pairs_summary(found["pairs"])
    lines = wrap("interaction of two deletions: what both cost, less what each costs alone (points)", width, rest="  ")
    for one in pairs.strongest:
        ends = one["interaction_interval"]
        interval = "" if ends is None else f" (95 %: {_signed(ends[0])} to {_signed(ends[1])})"
        start = f"  units {' and '.join(str(index + 1) for index in one['units'])}"
        value = f"  {_signed(one['interaction'])}{interval}"
        named = f"  {', '.join(names[index] for index in one['units'])}"
        lines.append(cut(f"{start:<20}{value}{named}", width))
    said = [f"{pairs.differing} of {pairs.count} pairs differ from 0 (at 5 % for all together, Holm's correction)"]
    mean = f"mean size {figure(pairs.mean_size, 3)} points; a pair costs {pairs.mean_increase:+.3g} points on average"
    if found.get("single"):
        mean += f", one unit {_mean_increase(found['single']):+.3g}"
    for sentence in [*said, mean]:
        lines += wrap(sentence, width, rest="  ")
    return lines


def _mean_increase(single: Sequence[Mapping[str, Any]]) -> float:
    return sum(float(one["delta"]) for one in single) / len(single)
