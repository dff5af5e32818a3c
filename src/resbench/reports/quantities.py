"""Cases, times and sizes in few characters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from resbench.timing.summary import FOREIGN
from resbench.timing.worker.case import Case

__all__ = ["Labels", "labels", "megabytes", "percent", "ratio_range", "relative", "time_text"]

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


@dataclass(frozen=True)
class Labels:
    """Names of cases for a table.

    ``shared``: the conditions that all of them have, as a phrase.  ``sections``: those that differ, with the positions
    of the cases that have them.  ``short``: a case within its section; ``full``: within the table.
    """

    shared: str
    sections: tuple[tuple[str, tuple[int, ...]], ...]
    short: tuple[str, ...]
    full: tuple[str, ...]


def labels(cases: Sequence[Case]) -> Labels:
    """Name the cases: ``shared``, section and ``short`` together say all of a case's name."""
    own = [_conditions(case) for case in cases if case.kind not in FOREIGN]
    same = {index for index in range(len(own[0]) if own else 0) if len({one[index] for one in own}) == 1}
    shared = [own[0][index] for index in sorted(same) if own[0][index]]
    sections: dict[str, list[int]] = {}
    full: list[str] = []
    for position, case in enumerate(cases):
        parts = () if case.kind in FOREIGN else _conditions(case)
        section = " ".join(one for index, one in enumerate(parts) if one and index not in same)
        sections.setdefault(section, []).append(position)
        full.append(f"{_short(case)} {section}".rstrip())
    return Labels(
        ", ".join(shared),
        tuple((section, tuple(positions)) for section, positions in sections.items()),
        tuple(map(_short, cases)),
        tuple(full),
    )


def _short(case: Case) -> str:
    """Units and other libraries' blocks stand beside each other: their names differ, and need no prefix."""
    name = case.name if case.kind in ("unit", "peer", *FOREIGN) else case.subject
    return name if case.shape == "-" else f"{name} {case.shape}"


def _conditions(case: Case) -> tuple[str, ...]:
    cache = "" if case.cache == "warm" else case.cache
    return (case.passing, case.dtype, case.format, case.mode, f"batch {case.batch}", case.device, cache)


def time_text(seconds: float | None) -> str:
    """``12.34 ms``: four digits and the unit that suits."""
    if seconds is None:
        return "-"
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= 0.99995 * size), _UNITS[-1])
    value = seconds / size
    digits = max(0, 3 - math.floor(math.log10(value) + 1e-4)) if value > 0 else 3
    return f"{value:.{min(digits, 3)}f} {unit}"


def percent(share: float | None) -> str:
    """``43 %`` of 0.43; two digits below 10 %."""
    if share is None:
        return "-"
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"


def relative(interval: tuple[float, float] | None) -> str:
    """How far an interval of positive values reaches to either side of its middle: ``4.2 %``."""
    return "-" if interval is None else percent(math.sqrt(interval[1] / interval[0]) - 1)


def ratio_range(interval: tuple[float, float] | None) -> str:
    """``0.98-1.05``."""
    return "-" if interval is None else f"{interval[0]:.3f}-{interval[1]:.3f}"


def megabytes(size: float | None) -> str:
    """Millions of bytes, without the unit."""
    return "-" if size is None else f"{size / 1e6:.1f}" if size < 1e8 else f"{size / 1e6:.0f}"
