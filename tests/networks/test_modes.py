"""Units and networks as they are used: memory formats, autocast, compilation, copying, saving, checkpointing."""

from __future__ import annotations

import copy
import io

import msgspec
import pytest
import torch
from torch import Tensor, nn

from resbench.networks import zoo
from resbench.networks.copies import initialise
from resbench.networks.residual import NetworkSpec, PlainNetwork, PlainSpec, ResidualNetwork, build
from resbench.networks.sampling import Survival
from resbench.networks.units import ComposedUnit, UnitSpec
from resbench.networks.variants import TABLE_2, create_unit, unit_names, variant


def thin(name: str, *, across: bool) -> tuple[ComposedUnit, Tensor]:
    """A unit of four or eight channels and its input; ``across``: it doubles them and halves the map."""
    expansion = variant(name).spec.expansion
    inputs = 4 if across else 2 * expansion
    unit = create_unit(name, inputs, 2, 2) if across else create_unit(name, inputs, 2)
    return unit, torch.randn(2, inputs, 6, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("across", [False, True], ids=["same-shape", "across-dimensions"])
@pytest.mark.parametrize("name", unit_names())
def test_channels_last_stays_so_and_changes_nothing(name: str, across: bool) -> None:
    unit, x = thin(name, across=across)
    unit.eval()
    expected = unit(x)
    output = unit.to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last))
    assert output.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(output, expected)


@pytest.mark.parametrize("name", unit_names())
def test_autocast_is_close_and_trains(name: str) -> None:
    unit, x = thin(name, across=True)
    unit.eval()
    expected = unit(x)
    with torch.autocast("cpu", torch.bfloat16):
        output = unit(x)
    torch.testing.assert_close(output.float(), expected, rtol=0.05, atol=0.1)
    assert not torch.equal(output.float(), expected)
    with torch.autocast("cpu", torch.bfloat16):
        loss = unit.train()(x).float().square().mean()
    loss.backward()
    assert all(p.grad is not None and p.grad.dtype == p.dtype for p in unit.parameters())


# One name for each structure: units that differ in a number only compile alike.  Bottlenecks: one of each order.
STRUCTURES = {
    msgspec.structs.replace(variant(name).spec, gate_bias=0.0): name
    for name in reversed(unit_names())
    if not name.endswith("-bottleneck") or name.removesuffix("-bottleneck") in TABLE_2
}


@pytest.mark.parametrize("name", STRUCTURES.values())
def test_a_unit_compiles_without_graph_breaks(name: str) -> None:
    """``fullgraph`` raises at the first graph break; dropout draws its own mask, so it is compared in eval mode."""
    unit, x = thin(name, across=True)
    expected = unit.eval()(x)
    torch._dynamo.reset()
    compiled = torch.compile(unit, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), expected)


@pytest.mark.parametrize("name", ["original", "preact-bottleneck", "shortcut-gate-b6", "highway"])
def test_a_compiled_unit_trains_alike(name: str) -> None:
    unit, x = thin(name, across=True)
    other = copy.deepcopy(unit)
    torch._dynamo.reset()
    compiled = torch.compile(other, fullgraph=True, backend="aot_eager")
    unit(x).square().sum().backward()
    compiled(x).square().sum().backward()
    for (key, ours), theirs in zip(unit.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(theirs.grad, ours.grad, msg=key)
    for ours, theirs in zip(unit.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(theirs, ours)


@pytest.mark.parametrize("name", unit_names())
def test_a_unit_s_state_goes_round_trip_and_its_copy_is_its_own(name: str) -> None:
    unit, x = thin(name, across=False)
    unit.train()(x)  # BN statistics that are not the initial ones.
    unit.eval()
    expected = unit(x)
    file = io.BytesIO()
    torch.save(unit.state_dict(), file)
    file.seek(0)
    again = thin(name, across=False)[0].eval()
    initialise(again, [99])
    assert not torch.equal(again(x), expected)
    again.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(again(x), expected)

    twin = copy.deepcopy(unit)
    assert torch.equal(twin(x), expected)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1)
    assert torch.equal(unit(x), expected)


def test_a_copy_of_a_stochastic_network_draws_alike_and_apart() -> None:
    network = zoo.create("resnet20-stochastic", seed=3).train()
    twin = copy.deepcopy(network)
    assert isinstance(network, ResidualNetwork)
    assert isinstance(twin, ResidualNetwork)
    x = torch.randn(2, 3, 8, 8)
    draws = []
    for one in (network, twin):
        for _ in range(5):
            one(x)
            assert one.last_draw is not None
            draws.append(one.last_draw)
    assert torch.equal(torch.cat(draws[:5]), torch.cat(draws[5:]))


def trained_once(network: nn.Module, x: Tensor) -> list[Tensor]:
    """Logits, the gradients of x and of every parameter, and the buffers after one step's passes."""
    torch.manual_seed(11)
    x = x.clone().requires_grad_()
    logits = network(x)
    logits.square().sum().backward()
    assert x.grad is not None
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    return [logits.detach(), x.grad, *gradients, *network.buffers()]


UNITS = {
    "original": UnitSpec(order="original"),
    "preact": UnitSpec(),
    "bottleneck": UnitSpec(body="bottleneck", down="projection"),
    "gate": UnitSpec(order="original", shortcut="exclusive-gate"),
    "dropout": UnitSpec(order="original", shortcut="dropout"),
}


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("spec", UNITS.values(), ids=UNITS)
def test_checkpointing_changes_nothing(spec: UnitSpec, training: bool) -> None:
    """Not even BN's running statistics, which a repeated forward pass would count twice, or dropout's masks."""
    network = build(NetworkSpec(units=(2, 2), widths=(3, 6), unit=spec))
    initialise(network, [0])
    assert_checkpointing_changes_nothing(network.train(training), torch.randn(4, 3, 8, 8))


@pytest.mark.parametrize("copies", [1, 3])
def test_checkpointing_changes_nothing_in_stochastic_depth(copies: int) -> None:
    network = build(NetworkSpec(units=(4, 4), widths=(3, 6)), copies=copies)
    initialise(network, list(range(copies)))
    assert isinstance(network, ResidualNetwork)
    network.sampler = Survival([0.5] * 8, list(range(copies)))
    assert_checkpointing_changes_nothing(network.train(), torch.randn(4, 3 * copies, 8, 8))


def test_checkpointing_changes_nothing_in_a_plain_network() -> None:
    network = build(PlainSpec(layers=4, width=4, pools=(2,)))
    initialise(network, [0])
    assert_checkpointing_changes_nothing(network.train(), torch.randn(4, 3, 8, 8))


def assert_checkpointing_changes_nothing(network: ResidualNetwork | PlainNetwork, x: Tensor) -> None:
    twin = copy.deepcopy(network)
    twin.checkpointing = True
    expected, got = trained_once(network, x), trained_once(twin, x)
    assert len(expected) == len(got)
    for ours, theirs in zip(expected, got, strict=True):
        assert torch.equal(ours, theirs)
    assert all(norm.track_running_stats for norm in twin.modules() if isinstance(norm, nn.BatchNorm2d))


def test_checkpointing_computes_twice_and_keeps_less() -> None:
    network = build(PlainSpec(layers=3, width=4, pools=()))
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    for checkpointing, expected in ((False, 3), (True, 6)):
        network.checkpointing, calls = checkpointing, 0
        network(torch.randn(2, 3, 8, 8)).sum().backward()
        assert calls == expected
