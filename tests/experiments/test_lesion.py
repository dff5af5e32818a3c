"""The lesion sweeps against a plain loop that edits the network, and their protocol against its definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from conftest import make_member
from resbench.data.digits import Dataset
from resbench.experiments import lesion
from resbench.networks.residual import NetworkSpec, PlainNetwork, PlainSpec, ResidualNetwork
from resbench.networks.units import ComposedUnit, Order, UnitSpec
from resbench.training.target import Member


class Deleted(torch.nn.Module):
    """A unit without its branch, written independently of the engine."""

    def __init__(self, unit: ComposedUnit):
        super().__init__()
        self.unit = unit

    def forward(self, x: torch.Tensor, active: object = None) -> torch.Tensor:
        return self.unit.post(self.unit.skip(self.unit.entry(x)))


def errors(network: torch.nn.Module, member: Member) -> np.ndarray[Any, Any]:
    images, labels = member.test.take(range(len(member.test)))
    with torch.no_grad():
        return (network(images).argmax(1) != labels).numpy()


def third(wrong: np.ndarray[Any, Any], run: int) -> np.ndarray[Any, Any]:
    """The images that run ``run`` is tested on."""
    size = len(wrong) // lesion.THIRDS
    return wrong[run % lesion.THIRDS * size :][:size]


@pytest.fixture(params=["preact", "original"])
def member(request: pytest.FixtureRequest, data: Dataset) -> Member:
    order: Order = request.param
    return make_member(NetworkSpec(units=(2, 3, 2), widths=(4, 8, 16), unit=UnitSpec(order=order), inputs=1), data)


def test_single_deletion_equals_editing_the_network(member: Member) -> None:
    network = member.network
    assert isinstance(network, ResidualNetwork)
    result = lesion.single_deletion(member)
    assert result["wrong"].shape == (8, 60)
    np.testing.assert_array_equal(result["wrong"][0], errors(network, member))
    for index, unit in enumerate(network.residual_units()):
        network.units[index] = Deleted(unit)
        np.testing.assert_array_equal(result["wrong"][index + 1], errors(network, member))
        network.units[index] = unit
    assert result["ordinary"].tolist() == [False, True, False, True, True, False, True]
    assert result["changes_shape"].tolist() == [False, False, True, False, False, True, False]


def test_pair_deletion_equals_editing_the_network_twice(member: Member) -> None:
    network = member.network
    assert isinstance(network, ResidualNetwork)
    result = lesion.pair_deletion(member)
    pairs = [(i, j) for i in range(7) for j in range(7) if i < j]
    assert result["pairs"].tolist() == [list(pair) for pair in pairs]
    np.testing.assert_array_equal(result["wrong"][:8], lesion.single_deletion(member)["wrong"])
    units = list(network.residual_units())
    for row, chosen in enumerate(pairs, start=8):
        for index in chosen:
            network.units[index] = Deleted(units[index])
        np.testing.assert_array_equal(result["wrong"][row], errors(network, member))
        for index in chosen:
            network.units[index] = units[index]


def test_a_deletion_changes_the_logits(member: Member) -> None:
    """The lesion is one: on images where the whole network is sure, removing a unit moves the output."""
    parts = lesion.body(member.network)
    images, _ = member.test.take(range(len(member.test)))
    with torch.no_grad():
        inputs = parts.inputs(images)
        for index, step in enumerate(parts.steps):
            assert not torch.equal(step.without(inputs[index]), step.apply(inputs[index]))


def test_multiple_deletion_equals_editing_the_network(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesion, "DRAWS", 2)
    network = member.network
    assert isinstance(network, ResidualNetwork)
    drawn: list[frozenset[int]] = []
    sweep = lesion._sweep

    def spy(parts: lesion.Body, plans: Any, data: Any) -> Any:
        drawn.extend(frozenset(i for i, chosen in enumerate(plan) if not chosen) for plan in plans)
        return sweep(parts, plans, data)

    monkeypatch.setattr(lesion, "_sweep", spy)
    result = lesion.multiple_deletion(member)
    assert result["k"].tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    units = network.residual_units()
    for row, (deleted, k) in enumerate(zip(drawn, result["k"], strict=True)):
        assert len(deleted) == k
        assert deleted <= {1, 3, 4, 6}, "the first unit of a stage is never deleted"
        for index in deleted:
            network.units[index] = Deleted(units[index])
        np.testing.assert_array_equal(result["wrong"][row], third(errors(network, member), row))
        for index in deleted:
            network.units[index] = units[index]


def test_reordering_equals_reordering_the_modules(data: Dataset) -> None:
    member = make_member(NetworkSpec(units=(4, 4, 4), widths=(4, 8, 16), inputs=1), data)
    network = member.network
    assert isinstance(network, ResidualNetwork)
    captured: list[list[Any]] = []
    sweep = lesion._sweep
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lesion, "ORDERS", 2)
        patch.setattr(lesion, "_sweep", lambda p, plans, *rest: captured.extend(plans) or sweep(p, plans, *rest))
        result = lesion.reordering(member)
    units = network.residual_units()
    for row, plan in enumerate(captured):
        order = [unit for (unit,) in plan]
        assert sorted(order) == list(range(12))
        assert [order[i] for i in (0, 4, 8)] == [0, 4, 8], "the first unit of a stage stays"
        assert [unit // 4 for unit in order] == [i // 4 for i in range(12)], "no unit leaves its stage"
        assert result["tau"][row] == pytest.approx(kendalltau(range(12), order).statistic)
        network.units = torch.nn.ModuleList([units[unit] for unit in order])
        np.testing.assert_array_equal(result["wrong"][row], third(errors(network, member), row))
    one_swap = result["tau"][result["swaps"] == 1]
    assert (one_swap < 1).all()


def test_duplication_applies_a_unit_twice(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesion, "DUPLICATION_DRAWS", 3)
    monkeypatch.setattr(lesion, "DUPLICATIONS", (1,))
    network = member.network
    assert isinstance(network, ResidualNetwork)
    result = lesion.duplication(member)
    doubled = []
    for index in (1, 3, 4, 6):
        units = network.residual_units()
        network.units = torch.nn.ModuleList([*units[: index + 1], units[index], *units[index + 1 :]])
        doubled.append(errors(network, member))
        network.units = torch.nn.ModuleList(units)
    for index, row in enumerate(result["wrong"]):
        assert any(np.array_equal(row, third(candidate, index)) for candidate in doubled)


def test_plain_deletion_removes_one_layer_and_keeps_its_pooling(data: Dataset) -> None:
    member = make_member(PlainSpec(layers=5, width=8, pools=(2, 4), inputs=1), data)
    network = member.network
    assert isinstance(network, PlainNetwork)
    result = lesion.single_deletion(member)
    assert result["deletable"].tolist() == [False, True, True, True, True]
    for index in range(1, 5):
        layer = network.layers[index]
        network.layers[index] = torch.nn.Identity()
        np.testing.assert_array_equal(result["wrong"][index + 1], errors(network, member))
        network.layers[index] = layer


def test_an_image_without_finite_logits_is_wrong(member: Member) -> None:
    with torch.no_grad():
        member.network.classifier.bias[0] = float("nan")
    assert lesion.single_deletion(member)["wrong"].all()


@settings(deadline=None, max_examples=5)
@given(st.tuples(*[st.integers(1, 4)] * 3))
def test_stage_firsts_are_the_first_unit_and_the_dimension_changes(units: tuple[int, int, int]) -> None:
    network = ResidualNetwork(NetworkSpec(units=units, widths=(2, 4, 8), inputs=1))
    parts = lesion.body(network)
    changes = {i for i, step in enumerate(parts.steps) if step.changes_shape}
    assert parts.stage_firsts == changes | {0}
    assert set(parts.ordinary) == set(range(sum(units))) - parts.stage_firsts
