"""A sweep shared out among processes by cost, not by count.

Sorted, programs are in the order of the tree (:mod:`resbench.lesions.trie`): what a stretch of them computes is its
first program and, of each further one, what it does not share with the one before.  A stretch within another costs no
more, so that for a given bound it is best to make every stretch as long as the bound allows, and the least bound that
gives few enough is found by bisection.  Costs are whole numbers: every process finds the same shards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from resbench.lesions.trie import Step

__all__ = ["shards", "shared_steps"]


def shards(programs: Sequence[Sequence[Step]], of: Mapping[Step, int], parts: int) -> list[list[int]]:
    """Cut ``programs`` into ``parts`` stretches of which the dearest is as cheap as can be.

    Args:
        of: the cost of every step.

    Returns:
        The positions of the programs of each part, in the order of the tree; empty ones at the end where there are
        more parts than are of use.

    Raises:
        ValueError: no parts, or a negative cost.
    """
    if parts < 1 or min(of.values(), default=0) < 0:
        raise ValueError(f"{parts} parts, costs from {min(of.values(), default=0)}")
    order = sorted(range(len(programs)), key=lambda i: tuple(programs[i]))
    whole = [sum(of[step] for step in programs[i]) for i in order]
    added = [
        sum(of[step] for step in programs[i][shared_steps(programs[before], programs[i]) :])
        for before, i in pairwise(order)
    ]
    low, high = max(whole, default=0), sum(whole[:1]) + sum(added)
    while low < high:
        middle = (low + high) // 2
        if len(_starts(whole, added, middle)) <= parts:
            high = middle
        else:
            low = middle + 1
    starts = _starts(whole, added, low)
    found = [order[start:stop] for start, stop in pairwise([*starts, len(order)])]
    return found + [[] for _ in range(parts - len(found))]


def shared_steps(one: Sequence[Step], other: Sequence[Step]) -> int:
    """How many steps two programs begin with alike."""
    for count, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return count
    return min(len(one), len(other))


def _starts(whole: Sequence[int], added: Sequence[int], bound: int) -> list[int]:
    """Where stretches begin that are as long as ``bound`` allows, which is at least the largest of ``whole``."""
    starts: list[int] = []
    cost = 0
    for position, alone in enumerate(whole):
        if starts and cost + added[position - 1] <= bound:
            cost += added[position - 1]
        else:
            starts.append(position)
            cost = alone
    return starts
