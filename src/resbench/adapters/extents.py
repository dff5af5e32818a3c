"""How far units reach in a recorded pass: each a whole module call, or the stretch within one around its addition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from resbench.adapters.errors import CannotAdapt
from resbench.adapters.graph import Addition, Graph
from resbench.adapters.values import Call, Recording, Ref, refs_in

__all__ = ["Extent", "extents_of"]


@dataclass(frozen=True)
class Extent:
    """A unit from its input to its output, both values, in the module call ``call``.

    ``addition``: None where none could be made out.  ``argument``: where the input stands among the call's arguments,
    if the unit is the whole call; else None.
    """

    call: Call
    entry: int
    output: int
    addition: Addition | None
    argument: int | str | None

    @property
    def whole(self) -> bool:
        return self.argument is not None


def extents_of(model: nn.Module, graph: Graph, modules: Sequence[nn.Module] = ()) -> list[Extent]:
    """The extents of the residual additions of a pass, or of ``modules`` where given, in order of their outputs.

    Raises:
        CannotAdapt: one of ``modules`` is not called, or does not take one tensor and return one.
    """
    additions = graph.additions()
    extents = (
        [_chosen(graph, call, additions) for call in _calls_of(model, graph.recording, modules)]
        if modules
        else [_extent(graph, addition, additions) for addition in additions]
    )
    return sorted(extents, key=lambda extent: extent.output)


def _calls_of(model: nn.Module, recording: Recording, modules: Sequence[nn.Module]) -> list[Call]:
    wanted = {id(module) for module in modules}
    first: dict[int, Call] = {}
    for call in recording.calls:
        if id(call.module) in wanted:
            first.setdefault(id(call.module), call)
    for module in modules:
        if id(module) not in first:
            name = next(name for name, other in model.named_modules() if other is module)
            raise CannotAdapt(f"{name} is not called in the forward pass; choose its parts, or another module")
    return list(first.values())


def _within(graph: Graph, call: Call, values: Iterable[int]) -> bool:
    return all(call.start <= op.index < call.end for op in graph.operations(values))


def _owner(graph: Graph, addition: Addition) -> Call:
    """The innermost module call in which the whole addition happens."""
    recording = graph.recording
    for index in reversed(recording.op_of(addition.total).calls):
        if _within(graph, recording.calls[index], addition.region):
            return recording.calls[index]
    return recording.calls[0]


def _extent(graph: Graph, addition: Addition, additions: Sequence[Addition]) -> Extent:
    """The whole module where it is just this unit, else the addition and the activations that directly follow it."""
    owner = _owner(graph, addition)
    others = [a for a in additions if a is not addition]
    whole = _whole(graph, owner, addition, others)
    if whole is not None:
        return whole
    return Extent(owner, addition.entry, _after(graph, owner, addition.total), addition, None)


def _whole(graph: Graph, call: Call, addition: Addition, others: Sequence[Addition]) -> Extent | None:
    """The module call as a unit: one tensor in, one out, and besides the addition only activations and the like."""
    recording = graph.recording
    entry, argument = _single_input(recording, call)
    if call.parent is None or argument is None or not isinstance(call.result, Ref):
        return None
    if sum(c.module is call.module for c in recording.calls) > 1:
        return None
    if any(_within(graph, call, [other.total]) for other in others):
        return None
    before, after = graph.between(entry, addition.entry), graph.between(addition.total, call.result.value)
    reaches = addition.entry == entry or entry in _chain(graph, addition.entry)
    returns = call.result.value == addition.total or addition.total in _chain(graph, call.result.value)
    if not (reaches and returns and _within(graph, call, before | after)) or graph.weights(before | after):
        return None
    return Extent(call, entry, call.result.value, addition, argument)


def _single_input(recording: Recording, call: Call) -> tuple[int, int | str | None]:
    """The one value among the arguments that depends on the model's input, and where it stands; else None."""
    given: list[tuple[int, int | str]] = []
    arguments: list[tuple[int | str, Any]] = [*enumerate(call.args), *call.kwargs.items()]
    for position, argument in arguments:
        if isinstance(argument, Ref):
            given.append((argument.value, position))
        elif any(True for _ in refs_in(argument)):
            return -1, None
    given = [(v, position) for v, position in given if recording.values[v].from_input]
    return given[0] if len(given) == 1 else (-1, None)


def _chain(graph: Graph, value: int) -> set[int]:
    """The values that every way from the model's input to ``value`` passes."""
    found = set()
    while value != graph.recording.input and value in graph.dominators:
        value = graph.dominators[value]
        found.add(value)
    return found


def _after(graph: Graph, owner: Call, total: int) -> int:
    """The last of the activations and normalisations that follow the addition in the same module, one after another."""
    value = total
    while len(graph.users[value]) == 1 and value not in graph.recording.output:
        (user,) = graph.users[value]
        op = graph.recording.op_of(user)
        same = graph.recording.values[user].shape == graph.recording.values[value].shape
        alone = len(graph.predecessors(user)) == 1 and owner.start <= op.index < owner.end
        if not (same and alone and graph.follows(op)):
            break
        value = user
    return value


def _chosen(graph: Graph, call: Call, additions: Sequence[Addition]) -> Extent:
    """The unit that a module is by explicit choice; opaque where no addition in it can be made out."""
    inside = [a for a in additions if _within(graph, call, [*a.region, a.total])]
    for addition in inside if len(inside) == 1 else ():
        whole = _whole(graph, call, addition, ())
        if whole is not None:
            return whole
    entry, argument = _single_input(graph.recording, call)
    if argument is None or not isinstance(call.result, Ref):
        raise CannotAdapt(f"{call.name} cannot be a unit: it does not take one tensor and return one; choose its parts")
    return Extent(call, entry, call.result.value, None, argument)
