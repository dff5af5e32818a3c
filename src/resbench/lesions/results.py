"""From predictions to what a study of lesions says: errors, what they cost, how two of them interact."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resbench.lesions.listing import Lesion
from resbench.statistics import CONFIDENCE, wilson

if TYPE_CHECKING:
    from resbench.adapters import ResidualUnit

__all__ = ["paired_mean", "records_of", "unit_records"]

Bools = NDArray[np.bool_]


def records_of(lesions: Sequence[Lesion], wrong: Bools) -> dict[str, Any]:
    """The records of every mode, of the contract; errors in percent, changes in percentage points, 95 % intervals.

    Args:
        lesions: the whole network first.
        wrong: ``(lesions, images)``.
    """
    n = wrong.shape[1]
    found: dict[str, Any] = {
        "baseline_error": _percent(wrong[0]),
        "baseline_interval": _interval(wrong[0]),
        "n_images": n,
    }
    single = {lesion.known["index"]: row for lesion, row in zip(lesions, wrong, strict=True) if lesion.mode == "single"}
    for lesion, row in zip(lesions[1:], wrong[1:], strict=True):
        record = {**lesion.known, "error": _percent(row), "interval": _interval(row)}
        if lesion.mode in ("single", "pairs"):
            record["delta"] = record["error"] - found["baseline_error"]
        if lesion.mode == "single":
            record["delta_interval"] = paired_mean(row.astype(float) - wrong[0])
        if lesion.mode == "pairs":
            record |= _interaction(row, [single[unit] for unit in lesion.known["units"]], wrong[0])
        found.setdefault(lesion.mode, []).append(record)
    return found


def _interaction(both: Bools, each: Sequence[Bools], whole: Bools) -> dict[str, Any]:
    """``d(i, j) - d(i) - d(j)`` of the increases ``d``, points: 0 where two units matter independently.

    Image by image that is ``w(i, j) - w(i) - w(j) + w``, so that all four errors are compared on the same images.
    """
    values = both.astype(float) - each[0] - each[1] + whole
    return {"interaction": 100.0 * float(values.mean()), "interaction_interval": paired_mean(values)}


def paired_mean(values: NDArray[np.float64]) -> list[float]:
    """95 % interval of the mean of differences of indicators, in points.

    Agresti and Min 2005 (Statistics in Medicine 24, p. 729, for differences of paired proportions): half an
    observation is added to each cell of the 2x2 table, two in all, with a sum of 0 and a sum of squares of 1.
    """
    from scipy.stats import norm

    n = len(values) + 2
    total, squares = float(values.sum()), float((values * values).sum()) + 1.0
    error = math.sqrt(max(squares - total * total / n, 0.0)) / n
    half = float(norm.ppf(0.5 + CONFIDENCE / 2)) * error
    return [100.0 * (total / n - half), 100.0 * (total / n + half)]


def unit_records(units: Sequence[ResidualUnit]) -> list[dict[str, Any]]:
    """What the units are, lesioned or not."""
    return [
        {
            "index": unit.index,
            "name": unit.name,
            "deletable": unit.deletable,
            "reason": unit.reason,
            "downsampling": unit.downsampling,
            "stage": unit.stage,
            "first_of_stage": unit.index == 0 or unit.stage != units[unit.index - 1].stage,
        }
        for unit in units
    ]


def _percent(wrong: Bools) -> float:
    return 100.0 * float(wrong.mean())


def _interval(wrong: Bools) -> list[float]:
    return [100.0 * end for end in wilson(int(wrong.sum()), len(wrong))]
