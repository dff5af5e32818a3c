"""A measurement: a value, the uncertainty of that value, and the raw samples it was computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

__all__ = ["Measurement", "Scalar", "Value"]

Scalar = int | float | Fraction | str | bool
Value = Scalar | Sequence[Any] | Mapping[str, float]
"""A number, a list (also of ``[x, y]`` pairs), or a table name -> number."""


@dataclass(frozen=True)
class Measurement:
    """What one quantity was measured to be.

    ``interval``: confidence interval of a scalar ``value``.  ``intervals``: of a list or table ``[low, high]`` for each
    entry, which hold together.  ``replicates``: the value under resampling, each of the shape of ``value`` (lists and
    tables), from which the judge derives the interval of whatever it compares (a rank correlation, a ratio, a
    difference).  ``confidence``: of all of these.  None is needed where ``method`` is ``exact``: formulas, counts, and
    equalities of floating-point computations, whose tolerance is the comparator's.

    ``method``: how the uncertainty was computed, in words.  ``samples``: the raw values, ready for JSON.
    ``n``: how many independent samples (images, draws, seeds) there were.  ``detail``: one sentence for people.
    """

    value: Value
    interval: tuple[float, float] | None = None
    replicates: Sequence[Value] | None = None
    method: str = "exact"
    samples: Mapping[str, Any] = field(default_factory=dict)
    n: int | None = None
    detail: str = ""
    intervals: Sequence[tuple[float, float]] | Mapping[str, tuple[float, float]] | None = None
    confidence: float = 0.95

    @property
    def exact(self) -> bool:
        return self.method == "exact"
