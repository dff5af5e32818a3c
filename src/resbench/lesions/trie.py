"""Lesions that begin alike share their beginning: the plans of a sweep as one tree of steps.

The value after a step depends only on the steps before it, so it is computed once for all plans that begin with them.
The tree is walked depth first, and of a node's branches the one that keeps the most values is walked last, when the
node's own value is no longer needed.  At most ``log2(plans) + 1`` values are then alive (Ershov 1958: the register
number of a tree), and never more than one for each position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeVar

from resbench.lesions.plans import Plan

__all__ = ["Node", "Step", "build", "steps_of", "walk"]

Value = TypeVar("Value")


class Step(NamedTuple):
    """``apply`` unit ``at``; what is left of it (``without``); or what stands ``between`` it and the next."""

    kind: Literal["apply", "without", "between"]
    at: int


def steps_of(plan: Plan, between: frozenset[int] = frozenset()) -> list[Step]:
    """A plan as steps.  ``between``: the positions after which something stands that is no unit."""
    steps = []
    for position, units in enumerate(plan):
        steps += [Step("apply", unit) for unit in units] or [Step("without", position)]
        if position in between:
            steps.append(Step("between", position))
    return steps


@dataclass
class Node:
    """What follows a value: steps in a row, then plans that end here and further nodes.

    ``need``: how many values are alive at most while the node is walked, the one that it starts from included.
    """

    steps: list[Step] = field(default_factory=list)
    plans: list[int] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)
    need: int = 1

    def __iter__(self) -> Iterator[Node]:
        """Every node, in the order in which they are walked."""
        yield self
        for child in self.children:
            yield from child

    def cost(self, of: Mapping[Step, float]) -> float:
        """That of all steps, each once."""
        return sum(of[step] for node in self for step in node.steps)


def build(programs: Sequence[Sequence[Step]]) -> Node:
    """The tree of ``programs``; ``plans`` are their positions.

    Raises:
        ValueError: there is none.
    """
    if not programs:
        raise ValueError("a sweep of no plans")
    order = sorted(range(len(programs)), key=lambda i: tuple(programs[i]))
    return _node(programs, order, 0)


def _node(programs: Sequence[Sequence[Step]], members: list[int], depth: int) -> Node:
    """The node of ``members``, sorted, which agree in their first ``depth`` steps."""
    first, last = programs[members[0]], programs[members[-1]]
    end = depth
    while end < min(len(first), len(last)) and first[end] == last[end]:
        end += 1
    ended = [i for i in members if len(programs[i]) == end]
    groups: dict[Step, list[int]] = {}
    for i in members:
        if len(programs[i]) > end:
            groups.setdefault(programs[i][end], []).append(i)
    children = sorted((_node(programs, group, end) for group in groups.values()), key=lambda child: child.need)
    others = [child.need + 1 for child in children[:-1]]
    need = max([1, *others, *(child.need for child in children[-1:])])
    return Node(list(first[depth:end]), ended, children, need)


def walk(
    root: Node,
    value: Value,
    take: Callable[[Step, Value], Value],
    leaf: Callable[[Sequence[int], Value], None],
) -> None:
    """Compute the plans of ``root`` from ``value``: ``take`` does a step, ``leaf`` gets plans and what they come to.

    No value is held longer than a branch still needs it.
    """
    node = root
    while True:
        for step in node.steps:
            value = take(step, value)
        if node.plans:
            leaf(node.plans, value)
        if not node.children:
            return
        for child in node.children[:-1]:
            walk(child, value, take, leaf)
        node = node.children[-1]
