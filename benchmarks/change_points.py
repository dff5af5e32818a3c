"""How often a change of level is found, and how often one is found that is none: ours against asv's, simulated.

Run as ``python -m benchmarks.change_points``.  Series of commits whose runs differ by some noise, every twentieth 30 %
too slow; half of them become 15 % slower in the middle.  asv's detection runs on the medians, without and with the
weights that it gives them by their confidence intervals; a point that differs from equal neighbours is not counted as a
change of either.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

SERIES = 200
STEP = 0.15
BAD_MOMENT, BAD_SHARE = 1.3, 0.05
PROCESSES = 3
SETTINGS = ((6, 0.01), (12, 0.02), (40, 0.02), (40, 0.05))
MARGIN = 0.05


class Simulated(NamedTuple):
    seconds: list[float]
    weights: list[float]


Found = list[tuple[int, float]]
"""Changes: the point at which a level begins, and its ratio to the level before."""


def simulated(points: int, noise: float, at: int | None, generator: random.Random) -> Simulated:
    """Medians of three processes a commit; from point ``at`` on everything takes 15 % longer."""
    seconds, weights = [], []
    for index in range(points):
        common = generator.gauss(0, noise)
        level = 0.01 * (1 + STEP if at is not None and index >= at else 1.0)
        times = [level * math.exp(common + generator.gauss(0, noise / 2)) for _ in range(PROCESSES)]
        if generator.random() < BAD_SHARE:
            times = [BAD_MOMENT * time for time in times]
        seconds.append(statistics.median(times))
        # asv weighs by the half width of the 99 % interval: Student's factor for three values is 9.92.
        weights.append(math.sqrt(PROCESSES) / (9.92 * statistics.stdev(map(math.log, times))))
    return Simulated(seconds, weights)


def by_ruptures(series: Simulated) -> Found:
    from resbench.timing.changepoints import levels

    return _changes([(one.start, one.end, one.seconds) for one in levels(series.seconds)])


def by_asv(series: Simulated, *, weighted: bool) -> Found:
    from asv.step_detect import detect_steps

    steps = detect_steps(series.seconds, series.weights if weighted else None)
    return _changes([(start, end, value) for start, end, value, *_ in steps])


def _changes(segments: list[tuple[int, int, float]]) -> Found:
    pruned = list(segments)
    index = 1
    while index < len(pruned) - 1:
        (a, _, before), (start, end, _), (_, b, after) = pruned[index - 1 : index + 2]
        if end - start == 1 and abs(math.log(after / before)) < math.log1p(MARGIN):
            pruned[index - 1 : index + 2] = [(a, b, before)]
        else:
            index += 1
    pairs = pairwise(pruned)
    return [(b[0], b[2] / a[2]) for a, b in pairs if abs(math.log(b[2] / a[2])) > math.log1p(MARGIN)]


METHODS: dict[str, Callable[[Simulated], Found]] = {
    "ruptures, as set": by_ruptures,
    "asv": lambda series: by_asv(series, weighted=False),
    "asv, weighted": lambda series: by_asv(series, weighted=True),
}


def rates(find: Callable[[Simulated], Found], points: int, noise: float) -> tuple[float, float]:
    """The share of series without a change in which one is found, and of those with one where it is found within 1."""
    generator = random.Random(5)
    false = found = 0
    for _ in range(SERIES):
        false += bool(find(simulated(points, noise, None, generator)))
        at = points // 2
        changes = find(simulated(points, noise, at, generator))
        found += any(abs(place - at) <= 1 and ratio > 1 for place, ratio in changes)
    return false / SERIES, found / SERIES


def table(rows: Sequence[Sequence[str]]) -> str:
    from tabulate import tabulate

    return tabulate(rows, ["commits", "noise", "method", "false changes", "15 % found"], disable_numparse=True)


def main() -> None:
    rows = []
    for points, noise in SETTINGS:
        for name, find in METHODS.items():
            false, found = rates(find, points, noise)
            rows.append([str(points), f"{noise:.0%}", name, f"{false:.1%}", f"{found:.1%}"])
    print(table(rows))


if __name__ == "__main__":
    main()
