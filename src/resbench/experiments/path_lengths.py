"""How long the paths of a list of units are, which lengths a distribution lies in, and what deletions leave of it.

For any survival probabilities, one a unit (Huang 2016: the unit's branch is there in a training pass with probability
``p_l``).  Probabilities are text, fractions or numbers, which stand for their shortest decimal form; results are exact
fractions.  A length is the number of units that a path passes through the branch (Veit 2016, section 3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from resbench.experiments.combinatorics import remaining_fractions
from resbench.experiments.schedules import Probability, poisson_binomial

__all__ = ["central_range", "drawn_lengths", "expected_counts", "left_after", "length_distribution"]


def length_distribution(through: Sequence[Probability]) -> list[Fraction]:
    """``P(length = 0), ..., P(length = n)`` where unit ``l`` is passed through its branch with ``through[l]``.

    The Poisson-binomial law; with one half everywhere, the lengths of all ``2^n`` paths.

    Raises:
        ValueError: a value outside [0, 1].
    """
    return poisson_binomial(through)


def drawn_lengths(survival: Sequence[Probability]) -> list[Fraction]:
    """The length of a random path of the network that one training pass draws: unit ``l`` is on it with ``p_l / 2``.

    First the network is drawn, then one of *its* paths, all alike.  Averaging path counts over the draws instead gives
    large networks more weight: :func:`expected_counts`.
    """
    return poisson_binomial([Fraction(str(p)) / 2 for p in survival])


def expected_counts(survival: Sequence[Probability]) -> list[Fraction]:
    """The mean number of paths of each length in the network that a training pass draws: ``prod (1 + p_l z)``."""
    exact = [Fraction(str(p)) for p in survival]
    # prod (1 + p z) = prod (1 + p) times a Poisson-binomial law with p / (1 + p).
    law = poisson_binomial([p / (1 + p) for p in exact])
    total = math.prod((1 + p for p in exact), start=Fraction(1))
    return [total * share for share in law]


def central_range(weights: Sequence[float | Fraction], mass: float | Fraction = Fraction(19, 20)) -> tuple[int, int]:
    """The lengths between the ``(1 - mass) / 2`` and the ``(1 + mass) / 2`` point of ``weights``: ``(low, high)``.

    Each is the first length up to which at least that much of the weights lies (Veit 2016, section 5.2, at 95 %).

    Raises:
        ValueError: ``mass`` is not between 0 and 1, or the weights are not a distribution.
    """
    if not 0 < mass < 1:
        raise ValueError(f"a mass lies between 0 and 1, not {mass}")
    total = math.fsum(weights)
    if not (math.isfinite(total) and total > 0) or min(weights) < 0:
        raise ValueError("the weights of the lengths are no distribution: they are negative, all zero, or not finite")
    tail = (1 - float(mass)) / 2
    found = []
    for point in (tail, 1 - tail):
        below, length = 0.0, 0
        for length, weight in enumerate(weights):  # noqa: B007
            below += float(weight) / total
            if below >= point:
                break
        found.append(length)
    return found[0], found[1]


def left_after(shares: Sequence[float], n: int, deleted: int) -> float:
    """What ``deleted`` deletions, drawn at random among ``n`` units, leave on average of what the lengths carry.

    ``shares``: what the paths of length 0, 1, ... carry together (paths, or gradient); of each length the part
    ``C(n - d, k) / C(n, k)`` survives (Veit 2016, section 6).  In gradient this counts norms, path by path.

    Raises:
        ValueError: more deletions than units.
    """
    left = remaining_fractions(n, deleted, range(len(shares)))
    return math.fsum(float(part) * share for part, share in zip(left, shares, strict=True)) / math.fsum(shares)
