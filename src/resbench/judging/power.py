"""How small a change a claim can see: its power, from what it measured over fresh seeds.

A seed's *margin* is how far what the judge compares lies inside its bound: the nearer of the point and the end of its
interval.  A change that shifts the measured quantity by more than its margin makes that seed's verdict something else
than HOLDS; so over seeds the probability that a shift is seen is the share of margins below it.  The smallest effect
seen with probability p is therefore a quantile of the margins.  Of n seeds the k-th smallest margin is exceeded by a
fresh seed's with probability 1 - k / (n + 1), whatever the distribution, so that quantile is the k-th smallest with
k / (n + 1) >= p.  Where n is too small for p (95 % needs 19 seeds) it is the largest margin, and its own probability
n / (n + 1) is said.

The change is taken to shift the value and its interval alike.  A *fall of a ratio* shrinks its interval with it, and is
counted as a factor: margin and effect are then quotients.  Of a list, what is nearest to its bound counts; of an order
or a monotone list the steps do, and the effect is what the smallest of them loses.  A seed that is not HOLDS has no
margin to lose: 0, or the factor 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from resbench.claims.model import Comparator, Rank, Ratio
from resbench.judging.statistic import Region, numbers_of, regions, statistics
from resbench.judging.values import Unjudgeable, number, plain

__all__ = ["LIKELY", "MOSTLY", "Effect", "Power", "powers"]

LIKELY, MOSTLY = 0.5, 0.95
"""The probabilities for which the smallest effect is said."""

Way = Literal["fall", "rise"]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Effect:
    """A change of this ``size`` or more is seen with at least this ``probability``."""

    size: float
    probability: float


@dataclass(frozen=True)
class Power:
    """What one expectation sees of a ``fall`` or a ``rise`` of what it measures; a ``factor``, or in its unit.

    ``margins``: of each seed, in the order of the seeds, not below ``floor``: what no change at all is.
    """

    way: Way
    factor: bool
    margins: tuple[float, ...]

    @property
    def floor(self) -> float:
        return 1.0 if self.factor else 0.0

    def effect(self, probability: float) -> Effect:
        """The smallest effect that is seen with ``probability``, or with the greatest that so few seeds allow."""
        n = len(self.margins)
        k = min(n, math.ceil(probability * (n + 1) - 1e-9))  # 0.95 * 20 is 19 and not a little more
        return Effect(sorted(self.margins)[k - 1], k / (n + 1))

    def to_json(self) -> dict[str, Any]:
        """``effects``: for 50 % and 95 %, each with the probability that it has."""
        effects = [
            {"wanted": wanted, "size": found.size, "probability": found.probability}
            for wanted, found in ((wanted, self.effect(wanted)) for wanted in (LIKELY, MOSTLY))
        ]
        kind = "factor" if self.factor else "shift"
        return {"way": self.way, "kind": kind, "effects": effects, "margins": list(self.margins)}


def powers(comparator: Comparator, seeds: Iterable[tuple[Any, Sequence[float] | None]]) -> list[Power]:
    """The power towards each bound of a comparator, from the recorded value and interval of every seed.

    Nothing where there is no seed, for words, and for lists that are bounded on both sides: the record has the interval
    of the entry nearest to a bound, and not towards which.
    """
    rooms = [_rooms(comparator, measured, interval) for measured, interval in seeds]
    ways = next((list(each) for each in rooms if each), [])
    found = []
    for way in ways:
        factor = way == "fall" and _by_factor(comparator)
        floor = 1.0 if factor else 0.0
        found.append(Power(way, factor, tuple(max(floor, each.get(way, floor)) for each in rooms)))
    return found


def _rooms(comparator: Comparator, measured: Any, interval: Sequence[float] | None) -> Mapping[Way, float]:
    """The margins of one seed; none where nothing was measured."""
    try:
        points = _points(comparator, plain(measured))
        wanted = regions(comparator, len(points))
    except Unjudgeable:
        return {}
    region = wanted[0]
    if any(other != region for other in wanted) or (len(points) > 1 and None not in (region.low, region.high)):
        return {}
    ends = [number(float(end)) for end in interval or ()]
    return _towards(comparator, region, min([*points, *ends]), max([*points, *ends]))


def _points(comparator: Comparator, measured: Any) -> list[Fraction]:
    """What is compared; of a rank correlation and a ratio the record has just that."""
    if isinstance(comparator, Rank | Ratio):
        return [number(measured)]
    return [number(point) for point in statistics(comparator, numbers_of(comparator, measured))]


def _towards(comparator: Comparator, region: Region, low: Fraction, high: Fraction) -> Mapping[Way, float]:
    found: dict[Way, float] = {}
    if region.low is not None:
        found["fall"] = float(low / region.low if _by_factor(comparator) else low - region.low)
    if region.high is not None:
        found["rise"] = float(region.high - high)
    return found


def _by_factor(comparator: Comparator) -> bool:
    """Whether a fall is counted as a factor."""
    return isinstance(comparator, Ratio) and comparator.at_least is not None and comparator.at_least > 0
