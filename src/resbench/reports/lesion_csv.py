"""Lesions as a tidy table: one row a lesion."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

__all__ = ["COLUMNS", "lesion_csv"]

COLUMNS = (
    "mode", "k", "draw", "indices", "names", "order", "kendall_tau", "error", "error_low", "error_high",
    "delta", "delta_low", "delta_high", "interaction", "interaction_low", "interaction_high",
)  # fmt: skip

_CHANGED = {"multi": "deleted", "duplicate": "duplicated", "pairs": "units"}


def lesion_csv(found: Mapping[str, Any]) -> str:
    """``found`` (what ``resbench lesion --format json`` prints) as CSV; what a mode does not have is empty.

    ``mode``: ``whole`` (nothing is changed: the first row), ``single``, ``multi``, ``duplicate``, ``reorder`` or
    ``pairs``.  ``k``: units deleted or applied twice, or exchanges made.  ``indices``: the units that are changed,
    counted from 0 as in the JSON, with spaces between them; ``names``: theirs, with ``;`` between them.  ``order``: of
    a reordering, the unit at each position.  Errors are percent, the others points; low and high are the ends of 95 %
    intervals.  ``delta``: against the whole network.

    Read it with ``pandas.read_csv(file, dtype={"indices": str})``: a single index would be taken for a number.
    """
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    base = found["baseline_error"]
    writer.writerow({"mode": "whole", "k": 0, "delta": 0.0, **_ends("error", base, found["baseline_interval"])})
    for mode in ("single", "multi", "duplicate", "reorder", "pairs"):
        for one in found.get(mode, ()):
            writer.writerow({"mode": mode, **_row(mode, one, found)})
    return file.getvalue()


def _row(mode: str, one: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = _ends("error", one["error"], one["interval"])
    delta = one["delta"] if "delta" in one else one["error"] - found["baseline_error"]
    row |= _ends("delta", delta, one.get("delta_interval"))
    if "draw" in one:
        row["draw"] = one["draw"]
    if mode == "reorder":
        changed = [position for position, index in enumerate(one["order"]) if position != index]
        row |= {"k": one["swaps"], "kendall_tau": one["kendall_tau"], "order": _joined(one["order"])}
    else:
        changed = [one["index"]] if mode == "single" else list(one[_CHANGED[mode]])
        row["k"] = len(changed)
    if mode == "pairs":
        row |= _ends("interaction", one["interaction"], one["interaction_interval"])
    names = [found["units"][index]["name"] for index in changed]
    return {**row, "indices": _joined(changed), "names": ";".join(names)}


def _joined(indices: list[int]) -> str:
    return " ".join(map(str, indices))


def _ends(what: str, value: float, interval: list[float] | None) -> dict[str, Any]:
    low, high = ("", "") if interval is None else interval
    return {what: value, f"{what}_low": low, f"{what}_high": high}
