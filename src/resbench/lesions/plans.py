"""What lesions are: for every position of a network which of its units stand there.

Nothing here knows of tensors.  Positions and units count from 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np

__all__ = [
    "Plan",
    "deleted",
    "duplicated",
    "pairs",
    "random_orders",
    "random_subsets",
    "reordered",
    "whole",
]

Plan = tuple[tuple[int, ...], ...]
"""What stands at each position: its unit ``(i,)``, nothing ``()``, its unit twice ``(i, i)``, another unit ``(j,)``."""


def whole(count: int) -> Plan:
    """The network of ``count`` units as it is."""
    return tuple((i,) for i in range(count))


def deleted(count: int, units: Iterable[int]) -> Plan:
    """Without ``units`` (Veit 2016, sections 4.1 and 4.2): their shortcuts stay."""
    gone = set(units)
    return tuple(() if i in gone else (i,) for i in range(count))


def duplicated(count: int, units: Iterable[int]) -> Plan:
    """With ``units`` applied twice."""
    twice = set(units)
    return tuple((i, i) if i in twice else (i,) for i in range(count))


def reordered(order: Sequence[int]) -> Plan:
    """With unit ``order[i]`` at position ``i`` (Veit 2016, section 4.3)."""
    return tuple((j,) for j in order)


def pairs(units: Sequence[int]) -> list[tuple[int, int]]:
    """Every two of ``units``, in order."""
    return list(combinations(sorted(units), 2))


def random_subsets(
    units: Sequence[int], sizes: Sequence[int], draws: int, generator: np.random.Generator
) -> list[tuple[int, ...]]:
    """``draws`` random subsets of every size that ``units`` can give, without replacement, each in order."""
    pool = list(units)
    return [
        tuple(sorted(generator.choice(pool, size=k, replace=False).tolist()))
        for k in sizes
        if k <= len(pool)
        for _ in range(draws)
    ]


def random_orders(
    count: int,
    exchangeable: Sequence[tuple[int, int]],
    swaps: Sequence[int],
    draws: int,
    generator: np.random.Generator,
) -> list[tuple[int, tuple[int, ...]]]:
    """``draws`` orders for every number of ``swaps``, each of random ``exchangeable`` pairs, one after the other.

    Returns ``(swaps, order)`` pairs; a pair of positions may be drawn more than once (Veit 2016, section 4.3).
    """
    found = []
    for k in swaps:
        for _ in range(draws):
            order = list(range(count))
            for choice in generator.integers(len(exchangeable), size=k):
                a, b = exchangeable[int(choice)]
                order[a], order[b] = order[b], order[a]
            found.append((k, tuple(order)))
    return found
