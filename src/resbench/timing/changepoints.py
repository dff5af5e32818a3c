"""Where a series of times changes its level, upwards or downwards.

Exact penalised segmentation (PELT, Killick 2012) by :mod:`ruptures` with the absolute error, so that single bad moments
do not count, on the logarithms of the times.  The penalty of a change is ``PENALTY * log(n)`` times the noise, which is
estimated from the differences of neighbours.

Chosen over asv's ``step_detect`` by trial (``python -m benchmarks.change_points``): 200 simulated series each of 6 to
40 commits with 1 to 5 % of noise and every twentieth run 30 % too slow.  False changes in 0 to 1 % of the series (asv:
0 to 8 %); a slowdown of 15 % in the middle found in 75 to 93 % (asv: 23 to 93 %; of 12 commits with 2 % of noise 90 %,
asv 48 %).  The penalty was set on such series, asv has its defaults.  A change at the very last commit is never found,
as it cannot be told from a bad moment: that is for a comparison in lock step.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from resbench.errors import UserError
from resbench.timing.change import MARGIN

__all__ = ["LEAST_NOISE", "PENALTY", "Level", "levels"]

PENALTY = 4.0
LEAST_NOISE = 0.005
"""Share of the time: what a quiet machine differs by from run to run, and where a series has hardly any differences."""

_MAD_TO_SIGMA = 1.4826
_FEWEST = 4
"""Points: two before and two after."""


@dataclass(frozen=True)
class Level:
    """Points ``start`` to ``end`` (exclusive) lie around ``seconds``, their median."""

    start: int
    end: int
    seconds: float


def levels(seconds: Sequence[float], margin: float = MARGIN) -> list[Level]:
    """The levels of a series, in order; neighbours differ by more than ``margin``.

    Raises:
        UserError: ruptures is not installed.
    """
    try:
        ruptures = importlib.import_module("ruptures")  # It has no annotations.
    except ImportError:
        raise UserError("ruptures is not installed: pip install 'resbench[bench]'") from None
    if len(seconds) < _FEWEST:
        return [_level(seconds, 0, len(seconds))] if seconds else []
    logs = np.log(np.asarray(seconds, float))
    penalty = PENALTY * math.log(len(logs)) * noise(seconds)
    ends = ruptures.Pelt(model="l1", min_size=1, jump=1).fit(logs.reshape(-1, 1)).predict(pen=penalty)
    bounds = [0, *ends]
    found = [_level(seconds, start, end) for start, end in pairwise(bounds)]
    return _merged(seconds, found, margin)


def noise(seconds: Sequence[float]) -> float:
    """Standard deviation of one point's logarithm, from the median absolute difference of neighbours."""
    differences = np.diff(np.log(np.asarray(seconds, float)))
    spread = float(np.median(np.abs(differences - np.median(differences))))
    return max(LEAST_NOISE, _MAD_TO_SIGMA * spread / math.sqrt(2))


def _level(seconds: Sequence[float], start: int, end: int) -> Level:
    return Level(start, end, float(np.median(np.asarray(seconds[start:end], float))))


def _merged(seconds: Sequence[float], found: list[Level], margin: float) -> list[Level]:
    """Join neighbours within ``margin`` of each other, the nearest first."""
    while len(found) > 1:
        gaps = [abs(math.log(b.seconds / a.seconds)) for a, b in pairwise(found)]
        nearest = gaps.index(min(gaps))
        if gaps[nearest] >= math.log1p(margin):
            break
        found[nearest : nearest + 2] = [_level(seconds, found[nearest].start, found[nearest + 1].end)]
    return found
