"""From the extents of residual units in a recorded pass to the units: their parts, what may be done with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from resbench.adapters.extents import Extent, extents_of
from resbench.adapters.graph import Graph
from resbench.adapters.pieces import NotSelfContained, Piece, piece
from resbench.adapters.recording import record
from resbench.adapters.stages import set_stages
from resbench.adapters.unit import AfterKind, Place, ResidualUnit, ShortcutKind
from resbench.adapters.values import Op

__all__ = ["Found", "find_units"]

_ZEROED_BY_ITS_WEIGHTS = frozenset(
    """
    conv1d conv2d conv3d linear matmul __matmul__ einsum mul mul_ __mul__ __imul__ __rmul__ multi_head_attention_forward
    batch_norm layer_norm group_norm rms_norm instance_norm
    """.split()
)
"""Functions whose result is zero where all their parameters are."""


@dataclass(frozen=True)
class Found:
    """The units of a recorded pass, each with its extent in ``graph``."""

    units: list[ResidualUnit]
    extents: list[Extent]
    graph: Graph


def find_units(model: nn.Module, example_input: Tensor, modules: Sequence[nn.Module] = ()) -> Found:
    """The residual units that one pass of ``model`` (in eval mode) shows; those of ``modules`` where given."""
    with torch.no_grad():
        model(example_input.clone())  # a first pass may fill caches (LeViT's biases), and then differs from the others
    graph = Graph(record(model, example_input))
    extents = extents_of(model, graph, modules)
    kept = record(model, example_input, {extent.entry for extent in extents}).kept
    names = {id(p): name for name, p in model.named_parameters()}
    builder = _Builder(model, graph, names)
    units = [builder.unit(index, extent, kept[extent.entry]) for index, extent in enumerate(extents)]
    _name_apart(units)
    set_stages(units)
    return Found(units, extents, graph)


class _Builder:
    def __init__(self, model: nn.Module, graph: Graph, names: dict[int, str]):
        self.model, self.graph, self.names = model, graph, names
        self.recording = graph.recording
        self._called = Counter(id(call.module) for call in self.recording.calls)

    def unit(self, index: int, extent: Extent, example: Tensor) -> ResidualUnit:
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

    def _pieces(self, extent: Extent) -> tuple[dict[str, Piece], str]:
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

    def _kinds(self, extent: Extent, pieces: dict[str, Piece], example: Tensor) -> tuple[ShortcutKind, AfterKind]:
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

    def _not_editable(self, extent: Extent) -> str:
        modules = [extent.call.module] + [self._caller(op) for op in self._operations(extent)]
        times = max(self._called[id(module)] for module in modules)
        return f"its module is called {times} times in one pass" if times > 1 else ""

    def _operations(self, extent: Extent) -> list[Op]:
        return [] if extent.addition is None else [self.recording.ops[index] for index in extent.addition.operations]

    def _caller(self, op: Op) -> nn.Module:
        return self.recording.calls[op.calls[-1]].module

    def _additions(self, extent: Extent) -> tuple[tuple[nn.Module, int, int], ...]:
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
        self, extent: Extent
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

    def _name(self, extent: Extent) -> str:
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
