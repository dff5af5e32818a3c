"""Lesions on live models: what they compute, and that the model is restored."""

from __future__ import annotations

import pytest
import torch
import torchvision
from small_models import Block, Chain, Flat, PreactUnit, images
from torch import Tensor, nn
from torch.nn import functional as F

from resbench.adapters import adapt, deleted, duplicated, edited, exchanged, sampled
from resbench.networks.residual import NetworkSpec, ResidualNetwork, build


def zoo() -> ResidualNetwork:
    torch.manual_seed(0)
    network = build(NetworkSpec(units=(3, 3), widths=(4, 8))).eval()
    assert isinstance(network, ResidualNetwork)
    return network


def by_hand(network: ResidualNetwork, x: Tensor, plan: list[list[int]]) -> Tensor:
    """What ``plan`` computes, step by step, with the zoo's own units."""
    units = network.residual_units()
    x = network.stem(x)
    for position, step in enumerate(plan):
        if not step:
            x = units[position].after(units[position].shortcut(x))
        for index in step:
            x = units[index](x)
    return network.head(x)


PLANS = [
    [[0], [], [2], [3], [4], []],
    [[], [], [], [], [], []],
    [[0], [2], [1], [3], [4], [5]],
    [[0], [1, 1], [2], [3], [5, 5], [4]],
    [[0], [1, 2, 1], [2], [3], [4], [5]],
]


@pytest.mark.parametrize("plan", PLANS)
@torch.no_grad()
def test_plans_compute_what_the_steps_do(plan: list[list[int]]) -> None:
    network, x = zoo(), images()
    whole = network(x)
    with edited(adapt(network, x), plan):
        lesioned = network(x)
    assert torch.equal(lesioned, by_hand(network, x, plan))
    assert torch.equal(network(x), whole)
    assert not torch.equal(lesioned, whole)


@torch.no_grad()
def test_units_within_a_module() -> None:
    torch.manual_seed(0)
    model, x = Chain(Block(4), Block(4)).eval(), images()
    units = adapt(model, x)
    first, second = model.units
    s = model.stem(x)

    def head(y: Tensor) -> Tensor:
        return model.head(y.mean((2, 3)))

    def mixed(block: nn.Module, y: Tensor) -> Tensor:
        return y + block.mixer(y)  # type: ignore[operator]

    def mlp(block: nn.Module, y: Tensor) -> Tensor:
        return y + block.mlp(y)  # type: ignore[operator]

    cases = {
        "delete": ([[0], [], [2], [3]], head(second(mixed(first, s)))),
        "all": ([[], [], [], []], head(s)),
        "exchange": ([[3], [1], [2], [0]], head(mixed(first, mixed(second, mlp(first, mlp(second, s)))))),
        "twice": ([[0, 0], [1], [2], [3]], head(second(mlp(first, mixed(first, mixed(first, s)))))),
        "own last": ([[2, 0], [1], [2], [3]], head(second(mlp(first, mixed(first, mixed(second, s)))))),
    }
    for name, (plan, expected) in cases.items():
        with edited(units, plan):
            torch.testing.assert_close(model(x), expected, msg=name)
    assert torch.equal(model(x), head(second(first(s))))


@torch.no_grad()
def test_in_place_additions_and_activations_in_between() -> None:
    torch.manual_seed(0)
    model, x = Flat().eval(), images()
    units = adapt(model, x)
    s = model.stem(x)
    after = F.relu(s)
    expected = model.project(after) + torch.tanh(model.wide(after))
    with deleted(units, [0, 1]):
        torch.testing.assert_close(model(x), model.head(expected.mean((2, 3))))
    kept = F.relu(s + model.first(s))
    with deleted(units, [1, 2]):
        torch.testing.assert_close(model(x), model.head(model.project(kept).mean((2, 3))))


@torch.no_grad()
def test_shortcuts_named_helpers_and_batches_of_any_size() -> None:
    model = torchvision.models.resnet18().eval()
    units = adapt(model, images(size=32))
    x = images(5, size=32)
    with deleted(units, [1, 2]):
        one = model(x)
    with edited(units, [(0,), (), (), (3,), (4,), (5,), (6,), (7,)]):
        two = model(x)
    assert torch.equal(one, two)
    with duplicated(units, [1]):
        twice = model(x)
    with exchanged(units, [1, 0, *range(2, 8)]):
        swapped = model(x)
    assert len({tuple(y.flatten().tolist()) for y in (one, twice, swapped, model(x))}) == 4


def test_restored_after_an_exception() -> None:
    network, x = zoo(), images()
    units = adapt(network, x)
    before = network(x)
    with pytest.raises(ZeroDivisionError), deleted(units, [1]):
        raise ZeroDivisionError
    assert torch.equal(network(x), before)
    assert all("forward" not in module.__dict__ for module in network.modules())
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in network.modules())


def test_a_forward_of_the_instance_is_put_back() -> None:
    network, x = zoo(), images()
    units = adapt(network, x)
    own = network.residual_units()[1].forward
    network.residual_units()[1].forward = own  # type: ignore[method-assign]
    with deleted(units, [1]):
        pass
    assert network.residual_units()[1].__dict__["forward"] == own


def test_gradients_flow_through_lesions() -> None:
    network, x = zoo(), images()
    units = adapt(network, x)
    with deleted(units, [1, 4]):
        torch.autograd.backward([network(x).sum()])
    for index, unit in enumerate(network.residual_units()):
        reached = [parameter.grad is not None for parameter in unit.parameters()]
        assert all(reached) if index not in (1, 4) else not any(reached)


@torch.no_grad()
def test_sampling_draws_once_a_pass() -> None:
    network, x = zoo(), images()
    units = adapt(network, x)
    draws = iter([[True] * 6, [True, False] * 3])
    with sampled(units, lambda: next(draws)):
        assert torch.equal(network(x), by_hand(network, x, [[i] for i in range(6)]))
        assert torch.equal(network(x), by_hand(network, x, [[0], [], [2], [], [4], []]))


def test_plans_that_cannot_be() -> None:
    network, x = zoo(), images()
    units = adapt(network, x)
    with pytest.raises(ValueError, match="no unit 9"), deleted(units, [9]):
        pass
    wrong = r"units\.3 cannot stand in the place of units\.1"
    with pytest.raises(ValueError, match=wrong), exchanged(units, [0, 3, 2, 1, 4, 5]):
        pass
    with pytest.raises(ValueError, match="plan of 2 positions for 6 units"), edited(units, [(0,), (1,)]):
        pass
    opaque = adapt(Chain(nn.Conv2d(4, 8, 1), outputs=8), x, units=["units.0"])
    with pytest.raises(ValueError, match=r"units\.0 cannot be deleted: changes 4x8x8 to 8x8x8"), deleted(opaque, [0]):
        pass


@torch.no_grad()
def test_nested_edits_of_one_thread() -> None:
    network, x = zoo(), images()
    units = adapt(network, x)
    with deleted(units, [1]), deleted(units, [2]):
        both = network(x)
    assert torch.equal(both, by_hand(network, x, [[0], [], [], [3], [4], [5]]))


@torch.no_grad()
def test_no_weight_is_copied() -> None:
    model, x = Chain(PreactUnit(4), PreactUnit(4)).eval(), images()
    units = adapt(model, x)
    with exchanged(units, [1, 0]):
        before = model(x)
        for parameter in model.units[1].parameters():
            parameter.mul_(3)
        assert not torch.equal(model(x), before)
