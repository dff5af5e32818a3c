"""Where the residual units are in a recorded pass: additions that join a shortcut with a branch.

Let ``s`` be a sum of values, and ``x`` the nearest value that *every* way from the model's input to ``s`` passes (the
immediate dominator of ``s``).  What lies between ``x`` and ``s`` has one entry and one exit, and ``s`` is a residual
addition if one of its terms is ``x`` itself, or is reached from ``x`` with less (fewer weight layers, or none of the
branch's non-linearities) than the others.  Sums whose terms are equally complex (parallel convolutions, streams that
are fused) are none.  Veit 2016, section 3; He 2016, equation 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from resbench.adapters.values import Op, Recording, Ref

__all__ = ["Addition", "Graph"]

_SPLITS = frozenset(("chunk", "split", "tensor_split", "unbind", "split_with_sizes", "unsafe_chunk", "unsafe_split"))
_NONLINEAR = frozenset(
    """
    relu relu_ relu6 leaky_relu leaky_relu_ prelu elu elu_ celu selu gelu silu silu_ mish mish_ softplus
    hardswish hardswish_ hardtanh hardtanh_ hardsigmoid sigmoid sigmoid_ tanh clamp clamp_ softmax log_softmax
    scaled_dot_product_attention multi_head_attention_forward
    """.split()
)
_ELEMENTWISE = frozenset("add add_ __add__ __iadd__ __radd__ mul mul_ __mul__ __imul__ __rmul__ sub div".split())
_NORMALISING = frozenset(("batch_norm", "layer_norm", "group_norm", "rms_norm", "instance_norm"))


@dataclass(frozen=True)
class Addition:
    """A residual addition found in a pass; all fields are values, but ``operations``.

    ``entry``: the unit's input ``x``; ``total``: the sum; ``shortcut``: the term taken as the shortcut; ``branches``:
    the other terms; ``operations``: the additions that make up the sum, in order; ``region``: all strictly between.
    """

    entry: int
    total: int
    shortcut: int
    branches: tuple[int, ...]
    operations: tuple[int, ...]
    region: frozenset[int]

    @property
    def identity(self) -> bool:
        return self.shortcut == self.entry


class Graph:
    """The data flow of a recording, restricted to what depends on the model's input."""

    def __init__(self, recording: Recording):
        self.recording = recording
        self._values = [v.index for v in recording.values if v.from_input]

    def predecessors(self, value: int) -> list[int]:
        values = self.recording.values
        return [v for v in dict.fromkeys(self.recording.inputs_of(value)) if values[v].from_input]

    @cached_property
    def users(self) -> dict[int, set[int]]:
        """For each value those computed from it directly, as far as the model's output depends on them."""
        live: set[int] = set()
        waiting = [v for v in self.recording.output if self.recording.values[v].from_input]
        while waiting:
            value = waiting.pop()
            if value not in live:
                live.add(value)
                waiting += self.predecessors(value)
        users: dict[int, set[int]] = {value: set() for value in self._values}
        for value in live:
            for used in self.predecessors(value):
                users[used].add(value)
        return users

    @cached_property
    def dominators(self) -> dict[int, int]:
        """The immediate dominator of each value; the model's input is its own."""
        root = self.recording.input
        idom, depth = {root: root}, {root: 0}
        for value in self._values:
            if value == root:
                continue
            known = [v for v in self.predecessors(value) if v in idom]
            if not known:
                continue
            common = known[0]
            for other in known[1:]:
                while common != other:
                    if depth[common] >= depth[other]:
                        common = idom[common]
                    else:
                        other = idom[other]
            idom[value], depth[value] = common, depth[common] + 1
        return idom

    def between(self, start: int, end: int) -> frozenset[int]:
        """The values on the ways from ``start`` to ``end``, without ``start``; none if they are the same."""
        found: set[int] = set()
        waiting = [end] if end != start else []
        while waiting:
            value = waiting.pop()
            if value not in found:
                found.add(value)
                waiting += [v for v in self.predecessors(value) if v != start and v > start]
        return frozenset(found)

    def operations(self, values: Iterable[int]) -> list[Op]:
        """The operations that compute ``values``, in order."""
        indices = {op for value in values if (op := self.recording.values[value].op) is not None}
        return [self.recording.ops[index] for index in sorted(indices)]

    def weights(self, values: Iterable[int]) -> int:
        """How many of the operations behind ``values`` have a weight of two or more dimensions.

        A parameter that is multiplied or added entry by entry is none, however it is shaped to fit (layer scale).
        """
        layers = [op for op in self.operations(values) if self._name(op) not in _ELEMENTWISE]
        return sum(any(p.ndim >= 2 for p in op.parameters) for op in layers)

    def dominates_on(self, start: int, end: int) -> list[int]:
        """The values that every way from ``start`` to ``end`` passes, from ``end`` back; without ``start``."""
        found = []
        value = end
        while value != start and value in self.dominators and value != self.recording.input:
            found.append(value)
            value = self.dominators[value]
        return found if value == start else []

    def additions(self) -> list[Addition]:
        """The residual additions of the pass, disjoint, in order."""
        return _innermost(self, [found for total in self._sums() if (found := self._addition(total)) is not None])

    def _is_sum(self, value: int) -> bool:
        op = self.recording.values[value].op
        if op is None:
            return False
        operands = self.operands(value)
        return self.recording.ops[op].ordinal >= 0 and len(operands) == 2

    def operands(self, value: int) -> list[int]:
        """The values that the addition behind ``value`` adds (its tensor arguments, in order)."""
        op = self.recording.op_of(value)
        operands = [argument.value for argument in (*op.args, *op.kwargs.values()) if isinstance(argument, Ref)]
        return [v for v in operands if self.recording.values[v].from_input]

    def _sums(self) -> list[int]:
        """Sums that are not merely a part of a longer sum."""
        sums = [v for v in self._values if self.users[v] or v in self.recording.output]
        sums = [v for v in sums if self._is_sum(v) and v in self.dominators]
        return [v for v in sums if not self._absorbed(v)]

    def _absorbed(self, value: int) -> bool:
        """Whether a sum is a term of just one other sum with the same dominator: ``(x + a) + b``."""
        users = self.users[value]
        if len(users) != 1 or value in self.recording.output:
            return False
        (user,) = users
        return self._is_sum(user) and self.dominators[user] == self.dominators[value] and value in self.operands(user)

    def _terms(self, total: int) -> tuple[list[int], list[int]]:
        """The terms of a sum, and the values of the additions that make it up, innermost first."""
        terms: list[int] = []
        partial: list[int] = []
        for operand in self.operands(total):
            if self._is_sum(operand) and self._absorbed(operand) and self.dominators[operand] == self.dominators[total]:
                inner_terms, inner = self._terms(operand)
                terms += inner_terms
                partial += inner
            else:
                terms.append(operand)
        return terms, [*partial, total]

    def _addition(self, total: int) -> Addition | None:
        entry = self.dominators[total]
        terms, sums = self._terms(total)
        ways = {term: self.between(entry, term) for term in terms}
        region = frozenset().union(*ways.values(), sums) - {total}
        shortcut = self._shortcut(entry, terms, ways)
        if shortcut is None:
            return None
        branches = tuple(term for term in terms if term != shortcut)
        if not branches or not any(
            op.parameters for op in self.operations(frozenset().union(*(ways[b] for b in branches)))
        ):
            return None
        operations = tuple(self.recording.op_of(value).index for value in sums)
        return Addition(entry, total, shortcut, branches, operations, region)

    def _shortcut(self, entry: int, terms: Sequence[int], ways: dict[int, frozenset[int]]) -> int | None:
        """Which term is the shortcut; None where none is simpler than the others."""
        if terms.count(entry) == 1:
            return entry
        if len(set(terms)) != len(terms):
            return None
        cost = {term: self._cost(ways[term]) for term in terms}
        first, second, *_ = sorted(terms, key=lambda term: (cost[term], len(ways[term])))
        if cost[first] >= cost[second]:
            return None
        if any(self._name(op) in _SPLITS for op in self.operations(ways[first])):
            return None
        values = self.recording.values
        if values[first].shape == values[entry].shape and any(
            "pool" in self._name(op) for op in self.operations(ways[first])
        ):
            return None  # a pooling branch beside another (NASNet's cells)
        return first

    def _cost(self, way: frozenset[int]) -> tuple[int, bool, bool]:
        """How much a term goes through: weight layers, then any non-linearity, then any normalisation."""
        names = {self._name(op) for op in self.operations(way)}
        return self.weights(way), self.nonlinear(way), bool(names & _NORMALISING)

    def follows(self, op: Op) -> bool:
        """Whether an operation may follow an addition within a unit: an activation or a normalisation."""
        return self._name(op) in _NONLINEAR or self._name(op) in _NORMALISING

    def nonlinear(self, values: Iterable[int]) -> bool:
        """Whether an activation is among the operations behind ``values``."""
        return any(self._name(op) in _NONLINEAR for op in self.operations(values))

    @staticmethod
    def _name(op: Op) -> str:
        return op.name.rsplit(".", 1)[-1]


def _innermost(graph: Graph, found: Sequence[Addition]) -> list[Addition]:
    """Of nested additions the units proper.

    A residual addition is a unit, whatever sums its branch has inside (hierarchical branches, relative positions).  One
    whose branch passes several with identity shortcuts, each as a whole, is a long skip over a group of units; one
    whose shortcut itself passes residual additions fuses streams.
    """
    chosen: list[Addition] = []
    for addition in sorted(found, key=lambda a: (-len(a.region), a.total)):
        if any(addition.total in other.region for other in chosen):
            continue
        inner = [other for other in found if other.total in addition.region]
        way = graph.between(addition.entry, addition.shortcut)
        passed = {value for branch in addition.branches for value in graph.dominates_on(addition.entry, branch)}
        group = sum(other.identity and other.total in passed for other in inner) >= 2
        if any(other.total in way for other in inner) or group:
            continue
        chosen.append(addition)
    return sorted(chosen, key=lambda a: a.total)
