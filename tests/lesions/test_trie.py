"""What lesions share is computed once; every plan gets what it would get alone."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resbench.lesions.plans import Plan, deleted, duplicated, random_orders, random_subsets, reordered, whole
from resbench.lesions.trie import Node, Step, build, steps_of, walk

plans = st.integers(1, 7).flatmap(
    lambda n: st.lists(
        st.tuples(*([st.lists(st.integers(0, n - 1), max_size=2).map(tuple)] * n)), min_size=1, max_size=40
    )
)


def walked(root: Node) -> tuple[dict[int, tuple[Step, ...]], int, int]:
    """What each plan was given (the steps that led there), how many steps were taken, and the most values alive."""
    reached: dict[int, tuple[Step, ...]] = {}
    taken = 0

    class Value:
        alive = 0
        most = 0

        def __init__(self, steps: tuple[Step, ...]):
            self.steps = steps
            Value.alive += 1
            Value.most = max(Value.most, Value.alive)

        def __del__(self) -> None:
            Value.alive -= 1

    def take(step: Step, value: Value) -> Value:
        nonlocal taken
        taken += 1
        return Value((*value.steps, step))

    def leaf(ended: list[int], value: Value) -> None:
        for plan in ended:
            assert plan not in reached
            reached[plan] = value.steps

    walk(root, Value(()), take, leaf)  # type: ignore[arg-type]
    return reached, taken, Value.most


@given(plans)
def test_every_plan_is_walked_once_along_its_own_steps(given_plans: list[Plan]) -> None:
    programs = [steps_of(plan) for plan in given_plans]
    root = build(programs)
    reached, taken, _ = walked(root)
    assert reached == {i: tuple(program) for i, program in enumerate(programs)}
    prefixes = {tuple(program[:end]) for program in programs for end in range(1, len(program) + 1)}
    assert taken == len(prefixes)
    assert root.cost(dict.fromkeys({s for p in programs for s in p}, 1.0)) == len(prefixes)


@given(plans)
def test_few_values_are_alive(given_plans: list[Plan]) -> None:
    programs = [steps_of(plan) for plan in given_plans]
    root = build(programs)
    most = walked(root)[2]
    # While a step is taken both what it reads and what it makes are alive; the caller may hold the start.
    assert most <= root.need + 2
    assert root.need <= math.log2(len(programs)) + 1


def test_steps_by_hand() -> None:
    assert steps_of(deleted(3, [1])) == [("apply", 0), ("without", 1), ("apply", 2)]
    assert steps_of(duplicated(2, [0]), frozenset([0])) == [("apply", 0), ("apply", 0), ("between", 0), ("apply", 1)]
    assert steps_of(reordered([1, 0])) == [("apply", 1), ("apply", 0)]


def test_a_sweep_of_single_deletions_costs_half() -> None:
    """27 units: 27 for the whole network, and of the deletion of unit i what comes after it; one at a time: 27 * 26."""
    n = 27
    root = build([steps_of(p) for p in (whole(n), *(deleted(n, [i]) for i in range(n)))])
    applied = sum(step.kind == "apply" for node in root for step in node.steps)
    assert applied == n + sum(n - 1 - i for i in range(n)) == 378
    assert root.need == 2


def test_a_sweep_of_pairs_costs_a_third() -> None:
    n = 9
    both = list(combinations(range(n), 2))
    root = build([steps_of(deleted(n, pair)) for pair in both])
    applied = sum(step.kind == "apply" for node in root for step in node.steps)
    # After the pair (i, j): n - 1 - j units; before it the row of i: from i + 1 to n - 2; before that the trunk.
    assert applied == sum(n - 1 - j for _, j in both) + sum(n - 2 - i for i in range(n - 1)) + n - 2
    assert applied < len(both) * (n - 2) / 2
    assert root.need <= 3


def test_no_plans() -> None:
    with pytest.raises(ValueError, match="no plans"):
        build([])


def test_random_subsets_and_orders_are_the_seed_s() -> None:
    def drawn(seed: int) -> tuple[object, object]:
        generator = np.random.default_rng(seed)
        return (
            random_subsets([1, 2, 4, 5], [1, 3, 9], 5, generator),
            random_orders(6, [(1, 2), (4, 5)], [1, 2], 4, generator),
        )

    subsets, orders = drawn(3)
    assert drawn(3) == (subsets, orders) != drawn(4)
    assert [len(s) for s in subsets] == [1] * 5 + [3] * 5  # nine of four there are not
    assert all(set(s) <= {1, 2, 4, 5} and list(s) == sorted(set(s)) for s in subsets)
    for swaps, order in orders:
        assert sorted(order) == list(range(6))
        assert {order[0], order[3]} == {0, 3}
        assert swaps in (1, 2)
    assert all(order != tuple(range(6)) for swaps, order in orders if swaps == 1)
