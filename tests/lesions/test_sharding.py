"""Sweeps cut into shards of like cost."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resbench.lesions.plans import Plan, deleted, whole
from resbench.lesions.sharding import shards, shared_steps
from resbench.lesions.trie import Step, build, steps_of

N = 6
COSTS = {Step("apply", i): 10 + i for i in range(N)} | {Step("without", i): 1 for i in range(N)}


def programs(plans: list[Plan]) -> list[list[Step]]:
    return [steps_of(plan) for plan in plans]


def tree_cost(chosen: list[list[Step]], of: dict[Step, int] = COSTS) -> float:
    return build(chosen).cost(of) if chosen else 0


def dearest(found: list[list[int]], given: list[list[Step]], of: dict[Step, int] = COSTS) -> float:
    return max(tree_cost([given[i] for i in shard], of) for shard in found)


def test_hand_case() -> None:
    """Of four programs without anything in common, the dearest is alone."""
    steps = [Step("apply", i) for i in range(4)]
    of = dict(zip(steps, [1, 2, 3, 6], strict=True))
    assert shards([[step] for step in steps], of, 2) == [[0, 1, 2], [3]]
    assert shards([[step] for step in steps], of, 3) == [[0, 1, 2], [3], []]


def test_what_is_shared_counts_once() -> None:
    """Three programs that share all but their last step go with each other, not three and three."""
    a, b, c, d = (Step("apply", i) for i in range(4))
    without = [Step("without", i) for i in range(3)]
    given = [[a, b, each] for each in without] + [[c, each] for each in without]
    of = {a: 50, b: 50, c: 100, d: 1} | dict.fromkeys(without, 1)
    assert shards(given, of, 2) == [[0, 1, 2], [3, 4, 5]]
    assert shards(given[:4], of, 2) == [[0, 1, 2], [3]]


def test_single_deletions_are_not_cut_in_halves() -> None:
    """The later a unit is deleted the less is computed anew: the shard of the late ones has more of them."""
    plans = [whole(N), *(deleted(N, [i]) for i in range(N))]
    late, early = shards(programs(plans), COSTS, 2)
    assert 0 in late
    assert len(late) > len(early)
    assert dearest([late, early], programs(plans)) < tree_cost(programs(plans))


def test_more_parts_than_programs_are_empty() -> None:
    found = shards(programs([whole(N), deleted(N, [0])]), COSTS, 5)
    assert len(found) == 5
    assert sorted(found) == [[], [], [], [0], [1]]
    assert shards([], COSTS, 2) == [[], []]


def test_one_part_is_everything() -> None:
    given = programs([deleted(N, pair) for pair in combinations(range(N), 2)])
    assert sorted(shards(given, COSTS, 1)[0]) == list(range(len(given)))


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="0 parts"):
        shards([], COSTS, 0)
    with pytest.raises(ValueError, match="costs from -1"):
        shards([], {Step("apply", 0): -1}, 1)


def test_shared_steps() -> None:
    a, b, c = (Step("apply", i) for i in range(3))
    assert shared_steps([a, b], [a, c]) == 1
    assert shared_steps([a, b], [a, b, c]) == shared_steps([a, b, c], [a, b]) == 2
    assert shared_steps([], [a]) == 0


some_plans = st.lists(st.lists(st.lists(st.integers(0, 3), max_size=2).map(tuple), min_size=4, max_size=4).map(tuple),
                      min_size=1, max_size=12)  # fmt: skip
some_costs = st.fixed_dictionaries(
    {Step(kind, i): st.integers(0, 50) for kind in ("apply", "without") for i in range(4)}
)


@given(some_plans, some_costs, st.integers(1, 5))
def test_a_partition_that_is_as_good_as_any_of_stretches(plans: list[Plan], of: dict[Step, int], parts: int) -> None:
    given_programs = programs(plans)
    found = shards(given_programs, of, parts)
    assert len(found) == parts
    assert sorted(i for shard in found for i in shard) == list(range(len(plans)))
    order = sorted(range(len(plans)), key=lambda i: tuple(given_programs[i]))
    assert [i for shard in found for i in shard] == order
    worst = dearest(found, given_programs, of)
    stretches = (
        [order[start:stop] for start, stop in zip((0, *cuts), (*cuts, len(order)), strict=True)]
        for cuts in combinations(range(1, len(order)), min(parts, len(order)) - 1)
    )
    assert worst == min(dearest(each, given_programs, of) for each in stretches)


@given(some_plans, some_costs, st.integers(1, 4))
def test_never_worse_than_equal_counts(plans: list[Plan], of: dict[Step, int], parts: int) -> None:
    given_programs = programs(plans)
    order = sorted(range(len(plans)), key=lambda i: tuple(given_programs[i]))
    ends = [round(k * len(order) / parts) for k in range(parts + 1)]
    equal = [order[start:stop] for start, stop in pairwise(ends)]
    assert dearest(shards(given_programs, of, parts), given_programs, of) <= dearest(equal, given_programs, of)
