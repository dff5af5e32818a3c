"""Recording: values, versions, modules."""

from __future__ import annotations

import pytest
import torch
from small_models import Function, conv, images
from torch import Tensor, nn

from resbench.adapters.graph import Graph
from resbench.adapters.pieces import NotSelfContained, piece
from resbench.adapters.recording import record


def names(function: object, **parts: nn.Module) -> list[str]:
    return [op.name.rsplit(".", 1)[-1] for op in record(Function(function, **parts), images()).ops]  # type: ignore[arg-type]


def test_only_what_depends_on_the_input_is_recorded() -> None:
    assert names(lambda self, x: (x + torch.ones(8) * 2).relu()) == ["add", "relu"]


def test_a_function_that_changes_nothing_is_no_operation() -> None:
    drop = nn.Dropout(0.5).eval()
    assert names(lambda self, x: self.drop(x).contiguous() * 2, drop=drop) == ["mul"]


def test_in_place_changes_make_new_values() -> None:
    recording = record(Function(lambda self, x: (x.relu_(), x + 1)[1]), images())
    relu, add = recording.ops
    assert relu.in_place
    assert add.inputs == relu.outputs
    assert Graph(recording).dominators[add.outputs[0]] == relu.outputs[0]


def test_changes_through_a_view_reach_the_base() -> None:
    def forward(self: nn.Module, x: Tensor) -> Tensor:
        y = x * 1
        y[:, :1].mul_(0)
        return y + 1

    model = Function(forward)
    recording = record(model, images())
    add = next(op for op in recording.ops if op.name.endswith("add"))
    changed = next(op for op in recording.ops if op.in_place)
    assert set(add.inputs) <= set(changed.outputs)
    again = piece(recording, recording.input, recording.output[0], None)(images())
    assert torch.equal(again, model(images()))


def test_modules_are_called_whole_with_live_weights() -> None:
    model = Function(lambda self, x: self.a(x) * 2, a=conv(3, 3))
    recording = record(model, images())
    part = piece(recording, recording.input, recording.output[0], 0)
    with torch.no_grad():
        model.a.weight.add_(1)
    torch.testing.assert_close(part(images(5)), model(images(5)))


def test_a_piece_needs_its_start() -> None:
    model = Function(lambda self, x: self.a(x) + x, a=conv(3, 3))
    recording = record(model, images())
    inner = recording.ops[0].outputs[0]
    with pytest.raises(NotSelfContained, match="model's input"):
        piece(recording, inner, recording.output[0], 0)


def test_dominators_against_their_definition() -> None:
    """``d`` dominates ``v`` if no way from the input reaches ``v`` once ``d`` is taken out."""

    def forward(self: nn.Module, x: Tensor) -> Tensor:
        a = x * 2
        b, c = a + 1, a.tanh()
        d = b * c
        e = d.relu() + x
        return (e * d).sum() + e.exp()

    recording = record(Function(forward), images())
    graph = Graph(recording)
    root = recording.input
    values = sorted(graph.dominators)

    def reachable(without: int) -> set[int]:
        found = {root} - {without}
        for value in values:
            if value != without and any(p in found for p in graph.predecessors(value)):
                found.add(value)
        return found

    for value in values[1:]:
        strict = {d for d in values if d != value and value not in reachable(d)}
        chain = set()
        at = value
        while at != root:
            at = graph.dominators[at]
            chain.add(at)
        assert chain == strict
