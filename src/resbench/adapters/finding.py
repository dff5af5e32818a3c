"""From the residual additions of a recorded pass to units: their extent, their parts, what may be done with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from resbench.adapters.errors import CannotAdapt
from resbench.adapters.graph import Addition, Graph
from resbench.adapters.pieces import NotSelfContained, Piece, piece
from resbench.adapters.recording import Call, Op, Recording, Ref, record, refs_in
from resbench.adapters.stages import set_stages
from resbench.adapters.unit import AfterKind, Place, ResidualUnit, ShortcutKind

__all__ = ["find_units"]

_ZEROED_BY_ITS_WEIGHTS = frozenset(
    """
    conv1d conv2d conv3d linear matmul __matmul__ einsum mul mul_ __mul__ __imul__ __rmul__ multi_head_attention_forward
    batch_norm layer_norm group_norm rms_norm instance_norm
    """.split()
)
"""Functions whose result is zero where all their parameters are."""


class _Extent:
    """A unit from its input to its output: a whole module call, or a stretch within one."""

    def __init__(self, call: Call, entry: int, output: int, addition: Addition | None, argument: int | str | None):
        self.call, self.entry, self.output, self.addition, self.argument = call, entry, output, addition, argument

    @property
    def whole(self) -> bool:
        return self.argument is not None


def find_units(model: nn.Module, example_input: Tensor, modules: Sequence[nn.Module] = ()) -> list[ResidualUnit]:
    """The residual units that one pass of ``model`` (in eval mode) shows; those of ``modules`` where given."""
    with torch.no_grad():
        model(example_input.clone())  # a first pass may fill caches (LeViT's biases), and then differs from the others
    recording = record(model, example_input)
    graph = Graph(recording)
    additions = graph.additions()
    extents = (
        [_chosen(graph, call, additions) for call in _calls_of(model, recording, modules)]
        if modules
        else [_extent(graph, addition, additions) for addition in additions]
    )
    extents.sort(key=lambda extent: extent.output)
    kept = record(model, example_input, {extent.entry for extent in extents}).kept
    names = {id(p): name for name, p in model.named_parameters()}
    builder = _Builder(model, graph, names)
    units = [builder.unit(index, extent, kept[extent.entry]) for index, extent in enumerate(extents)]
    _name_apart(units)
    set_stages(units)
    return units


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


def _extent(graph: Graph, addition: Addition, additions: Sequence[Addition]) -> _Extent:
    """The whole module where it is just this unit, else the addition and the activations that directly follow it."""
    owner = _owner(graph, addition)
    others = [a for a in additions if a is not addition]
    whole = _whole(graph, owner, addition, others)
    if whole is not None:
        return whole
    return _Extent(owner, addition.entry, _after(graph, owner, addition.total), addition, None)


def _whole(graph: Graph, call: Call, addition: Addition, others: Sequence[Addition]) -> _Extent | None:
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
    return _Extent(call, entry, call.result.value, addition, argument)


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


def _chosen(graph: Graph, call: Call, additions: Sequence[Addition]) -> _Extent:
    """The unit that a module is by explicit choice; opaque where no addition in it can be made out."""
    inside = [a for a in additions if _within(graph, call, [*a.region, a.total])]
    for addition in inside if len(inside) == 1 else ():
        whole = _whole(graph, call, addition, ())
        if whole is not None:
            return whole
    entry, argument = _single_input(graph.recording, call)
    if argument is None or not isinstance(call.result, Ref):
        raise CannotAdapt(f"{call.name} cannot be a unit: it does not take one tensor and return one; choose its parts")
    return _Extent(call, entry, call.result.value, None, argument)


class _Builder:
    def __init__(self, model: nn.Module, graph: Graph, names: dict[int, str]):
        self.model, self.graph, self.names = model, graph, names
        self.recording = graph.recording
        self._called = Counter(id(call.module) for call in self.recording.calls)

    def unit(self, index: int, extent: _Extent, example: Tensor) -> ResidualUnit:
        output_shape = self.recording.values[extent.output].shape[1:]
        pieces, reason = self._pieces(extent)
        shortcut_kind, after_kind = self._kinds(extent, pieces, example)
        reason = reason or self._not_editable(extent)
        if "branch" not in pieces and tuple(example.shape[1:]) != output_shape:
            sizes = f"{_size(example.shape[1:])} to {_size(output_shape)}"
            reason = reason or f"changes {sizes}, and no shortcut that does so was found in it"
        return ResidualUnit(
            index,
            self._name(extent),
            Place(self.model, extent.call.module, extent.whole, extent.argument or 0, self._additions(extent)),
            example,
            tuple(output_shape),
            shortcut_kind,
            after_kind,
            pieces,
            *self._parameters(extent),
            deletable=not reason,
            reason=reason,
        )

    def _pieces(self, extent: _Extent) -> tuple[dict[str, Piece], str]:
        scope, addition = extent.call.index, extent.addition
        around = extent.call.parent if extent.whole else scope
        found = {}
        try:
            found["run"] = piece(self.recording, extent.entry, extent.output, around)
            if addition is not None:
                ends = {"shortcut": addition.shortcut, "branch": addition.branches[0]}
                ends |= {f"branch+{number}": b for number, b in enumerate(addition.branches[1:], start=1)}
                parts = {name: piece(self.recording, extent.entry, end, scope) for name, end in ends.items()}
                found |= parts | {"after": piece(self.recording, addition.total, extent.output, scope)}
        except NotSelfContained as error:
            return found, f"it {error}, besides its input"
        return found, ""

    def _kinds(self, extent: _Extent, pieces: dict[str, Piece], example: Tensor) -> tuple[ShortcutKind, AfterKind]:
        """What shortcut and after do, by trying them on random numbers: negative ones show an activation."""
        if "after" not in pieces:
            return "opaque", "other"
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(example.shape, generator=generator).to(example)
        with torch.no_grad():
            kept = pieces["shortcut"](x)
            left = pieces["after"](kept)
            after = self._after_kind(pieces["after"], kept)
        learnt = extent.addition is not None and self._learnt(extent.entry, extent.addition.shortcut)
        if torch.equal(kept, x):
            return ("altered" if learnt else "identity"), after
        if torch.equal(left, x) and not learnt:  # a change of layout that is undone after the addition
            return "identity", "identity"
        way = self.graph.between(extent.entry, extent.addition.shortcut) if extent.addition else frozenset()
        gated = left.shape == x.shape and self.graph.nonlinear(way)
        if self.graph.weights(way) and not gated:
            return "projection", after
        return ("padding" if left.shape != x.shape else "altered"), after

    def _learnt(self, start: int, end: int) -> bool:
        """Whether parameters act on the way: a scale on the shortcut is one, although it may begin as 1."""
        return any(op.parameters for op in self.graph.operations(self.graph.between(start, end)))

    @staticmethod
    def _after_kind(after: Piece, like: Tensor) -> AfterKind:
        if after.trivial:
            return "identity"
        x = torch.randn(like.shape, generator=torch.Generator().manual_seed(1)).to(like)
        y = after(x)
        return "identity" if torch.equal(y, x) else "relu" if torch.equal(y, x.relu()) else "other"

    def _not_editable(self, extent: _Extent) -> str:
        modules = [extent.call.module] + [self._caller(op) for op in self._operations(extent)]
        times = max(self._called[id(module)] for module in modules)
        return f"its module is called {times} times in one pass" if times > 1 else ""

    def _operations(self, extent: _Extent) -> list[Op]:
        return [] if extent.addition is None else [self.recording.ops[index] for index in extent.addition.operations]

    def _caller(self, op: Op) -> nn.Module:
        return self.recording.calls[op.calls[-1]].module

    def _additions(self, extent: _Extent) -> tuple[tuple[nn.Module, int, int], ...]:
        """Where the additions happen, and which operand of each holds the shortcut."""
        holding = {extent.addition.shortcut} if extent.addition else set()
        places = []
        for op in self._operations(extent):
            operands = self.graph.operands(op.outputs[0])
            position = next((i for i, operand in enumerate(operands) if operand in holding), -1)
            if position >= 0:
                holding.add(op.outputs[0])
            places.append((self._caller(op), op.ordinal, position))
        return tuple(places)

    def _parameters(
        self, extent: _Extent
    ) -> tuple[tuple[tuple[str, nn.Parameter], ...], tuple[tuple[str, nn.Parameter], ...]]:
        """The parameters of the last weight layer of the branch, and all of the branch's."""
        if extent.addition is None:
            return (), ()
        addition, graph = extent.addition, self.graph
        shared = {
            id(p) for op in graph.operations(graph.between(extent.entry, addition.shortcut)) for p in op.parameters
        }
        last: dict[int, nn.Parameter] = {}
        every: dict[int, nn.Parameter] = {}
        for branch in addition.branches:
            ways = graph.operations(graph.between(addition.entry, branch))
            every |= {id(p): p for op in ways for p in op.parameters if id(p) not in shared}
            ends = [graph.recording.op_of(value) for value in graph.dominates_on(addition.entry, branch)]
            end = next((op for op in ends if self._zeroed(op)), None)
            if end is None:
                last = {}
                break
            last |= {id(p): p for p in end.parameters}
        if any(key in shared for key in last):
            last = {}
        return self._named(last), self._named(every)

    @staticmethod
    def _zeroed(op: Op) -> bool:
        scripted = isinstance(op.function, nn.Module)
        return bool(op.parameters) and (scripted or op.name.rsplit(".", 1)[-1] in _ZEROED_BY_ITS_WEIGHTS)

    def _named(self, parameters: dict[int, nn.Parameter]) -> tuple[tuple[str, nn.Parameter], ...]:
        return tuple((self.names.get(key, "?"), parameter) for key, parameter in parameters.items())

    def _name(self, extent: _Extent) -> str:
        """The module's name; within a module that of the child with most of the branch's parameters."""
        owner = extent.call.name
        if extent.whole or extent.addition is None:
            return owner
        sizes: Counter[str] = Counter()
        for name, parameter in self._parameters(extent)[1]:
            if not owner or name.startswith(f"{owner}."):
                sizes[name[len(owner) + 1 if owner else 0 :].split(".")[0]] += parameter.numel()
        part = sizes.most_common(1)[0][0] if sizes else "addition"
        return f"{owner}.{part}" if owner else part


def _size(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape))


def _name_apart(units: Sequence[ResidualUnit]) -> None:
    """Number the units that would have one name."""
    times = Counter(unit.name for unit in units)
    seen: Counter[str] = Counter()
    for unit in units:
        if times[unit.name] > 1:
            seen[unit.name] += 1
            unit.name = f"{unit.name}#{seen[unit.name]}"
