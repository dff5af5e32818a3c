"""A network of several copies is several networks: outputs, gradients, statistics, with all or some copies active."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from resbench.networks.copies import (
    CopiesBatchNorm2d,
    CopiesConv2d,
    CopiesLinear,
    copy_state,
    initialise,
    select_copies,
)
from resbench.networks.residual import NetworkSpec, PlainNetwork, PlainSpec, ResidualNetwork, build
from resbench.networks.units import UnitSpec

COPIES = 3
SEEDS = (5, 0, 12)
SMALL = {"units": (2, 2), "widths": (4, 6)}
UNITS = {
    "original": UnitSpec(order="original"),
    "original-stride": UnitSpec(order="original", down="stride"),
    "original-projection": UnitSpec(order="original", down="projection"),
    "bn-after-add": UnitSpec(order="bn-after-add"),
    "relu-before-add": UnitSpec(order="relu-before-add"),
    "relu-only-preact": UnitSpec(order="relu-only-preact"),
    "preact": UnitSpec(order="preact"),
    "preact-projection": UnitSpec(order="preact", down="projection"),
    "bottleneck": UnitSpec(order="preact", body="bottleneck", down="projection"),
    "single": UnitSpec(order="preact", body="single"),
    "scaled": UnitSpec(order="original", shortcut_scale=0.5, branch_scale=0.5),
    "conv1x1": UnitSpec(order="original", shortcut="conv1x1"),
    "none": UnitSpec(order="original", shortcut="none"),
}
GATED = {
    "exclusive-gate": UnitSpec(order="original", shortcut="exclusive-gate", gate_bias=-1.0),
    "shortcut-gate": UnitSpec(order="original", shortcut="shortcut-gate", gate_bias=-1.0),
}


class Rows:
    """A sampler whose draws are given: rows of copies, columns of units."""

    def __init__(self, draw: Tensor) -> None:
        self._draw = draw

    def draw(self) -> Tensor:
        return self._draw

    def inclusion(self) -> tuple[float, ...]:
        return tuple(self._draw.double().mean(0).tolist())


def network_of_copies(unit: UnitSpec, copies: int = COPIES) -> ResidualNetwork:
    network = build(NetworkSpec(unit=unit, **SMALL), copies=copies)
    assert isinstance(network, ResidualNetwork)
    initialise(network, SEEDS[:copies])
    # Statistics, scales and biases that differ between channels, so that a permutation of copies would show.
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.running_mean, module.running_var, module.weight, module.bias):
                assert values is not None
                values.data = torch.rand(values.shape, generator=generator) + 0.5
    return network.double()


def single(network: nn.Module, copy: int, spec: NetworkSpec | PlainSpec) -> ResidualNetwork | PlainNetwork:
    alone = build(spec).double()
    alone.load_state_dict(copy_state(network.state_dict(), copy, COPIES))
    return alone


def batch() -> Tensor:
    return torch.randn(4, COPIES * 3, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def gradients(network: nn.Module, logits: Tensor) -> dict[str, Tensor]:
    """Gradients of a loss that weighs every logit differently; zeros where a parameter was not used."""
    names, parameters = zip(*network.named_parameters(), strict=True)
    loss = (logits.flatten(1) ** 2 * torch.arange(1, 11, dtype=torch.float64).repeat(logits[0].numel() // 10)).sum()
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    pairs = zip(names, parameters, found, strict=True)
    return {name: torch.zeros_like(p) if gradient is None else gradient for name, p, gradient in pairs}


def assert_copies_agree(unit: UnitSpec, draw: Tensor | None, *, training: bool = True) -> None:
    network = network_of_copies(unit).train(training)
    singles = [single(network, copy, network.spec).train(training) for copy in range(COPIES)]
    images = batch()
    if draw is not None:
        network.sampler = Rows(draw)
    logits = network(images)
    together = gradients(network, logits)
    for copy, alone in enumerate(singles):
        assert isinstance(alone, ResidualNetwork)
        if draw is not None:
            alone.sampler = Rows(draw[copy : copy + 1])
        own = alone(images[:, 3 * copy : 3 * copy + 3])
        torch.testing.assert_close(logits[:, copy], own, rtol=1e-9, atol=1e-9)
        sliced = copy_state(together, copy, COPIES)
        for name, gradient in gradients(alone, own).items():
            torch.testing.assert_close(sliced[name], gradient, rtol=1e-8, atol=1e-8, msg=name)
        for name, value in copy_state(network.state_dict(), copy, COPIES).items():
            if "num_batches" not in name:
                torch.testing.assert_close(value, alone.state_dict()[name], rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize("unit", [*UNITS.values(), *GATED.values()], ids=[*UNITS, *GATED])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_copies_equal_separate_networks(unit: UnitSpec, training: bool) -> None:
    assert_copies_agree(unit, None, training=training)


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS)
def test_copies_equal_separate_networks_when_each_drops_other_units(unit: UnitSpec) -> None:
    # Unit 0: all copies; 1: none; 2: the middle one dropped; 3: only the last.
    draw = torch.tensor([[1, 0, 1, 0], [1, 0, 0, 0], [1, 0, 1, 1]], dtype=torch.bool)
    assert_copies_agree(unit, draw)


@settings(max_examples=8, deadline=None)
@given(gates=st.lists(st.booleans(), min_size=12, max_size=12))
def test_copies_equal_separate_networks_under_any_draw(gates: list[bool]) -> None:
    assert_copies_agree(UNITS["original"], torch.tensor(gates).view(COPIES, 4))


def test_a_gated_unit_refuses_to_drop_some_of_its_copies() -> None:
    network = network_of_copies(GATED["exclusive-gate"])
    network.sampler = Rows(torch.tensor([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 1, 1]], dtype=torch.bool))
    with pytest.raises(ValueError, match="no stochastic depth"):
        network.train()(batch())


def test_statistics_of_inactive_copies_stay_bit_by_bit() -> None:
    norm = CopiesBatchNorm2d(2, copies=COPIES)
    x = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(0)) + 5
    norm(x, torch.tensor([0, 2]))
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.running_mean[2:4].tolist() == [0.0, 0.0]
    assert norm.running_var[2:4].tolist() == [1.0, 1.0]
    assert (norm.running_mean[[0, 1, 4, 5]] > 0.3).all()


def test_plain_networks_have_copies_too() -> None:
    spec = PlainSpec(layers=4, width=5, pools=(2,))
    network = build(spec, copies=COPIES)
    initialise(network, SEEDS)
    network = network.double().train()
    singles = [single(network, copy, spec).train() for copy in range(COPIES)]
    logits = network(batch())
    for copy, alone in enumerate(singles):
        torch.testing.assert_close(logits[:, copy], alone(batch()[:, 3 * copy : 3 * copy + 3]))


@pytest.mark.parametrize("spec", [NetworkSpec(unit=UNITS["bottleneck"], **SMALL), PlainSpec(layers=3, width=4)])
def test_initialise_seeds_each_copy_as_a_single_network(spec: NetworkSpec | PlainSpec) -> None:
    network = build(spec, copies=COPIES)
    initialise(network, SEEDS)
    for copy, seed in enumerate(SEEDS):
        alone = build(spec)
        initialise(alone, [seed])
        for name, value in copy_state(network.state_dict(), copy, COPIES).items():
            assert torch.equal(value, alone.state_dict()[name]), name
    weights = [copy_state(network.state_dict(), copy, COPIES)["classifier.weight"] for copy in range(COPIES)]
    assert not any(torch.equal(first, second) for first, second in itertools.combinations(weights, 2))


def test_initialise_is_he_s_with_fan_out() -> None:
    network = build(PlainSpec(layers=3, width=64))
    initialise(network, [0])
    assert isinstance(network, PlainNetwork)
    # The first layer has 27 inputs and 576 outputs to each weight, so fan-in would be four times too wide.
    for layer, tolerance in ((0, 0.06), (1, 0.02)):
        convolution = next(m for m in network.layers[layer].modules() if isinstance(m, CopiesConv2d))
        assert float(convolution.weight.detach().std()) == pytest.approx(math.sqrt(2 / (9 * 64)), rel=tolerance)
    linear = network.classifier.weight.detach()
    assert 0.95 / 8 < float(linear.abs().max()) <= 1 / 8
    assert network.classifier.bias.detach().abs().max() == 0


def test_initialise_leaves_gate_biases_alone() -> None:
    network = build(NetworkSpec(unit=GATED["shortcut-gate"], **SMALL), copies=2)
    initialise(network, [0, 1])
    biases = [m.bias for m in network.modules() if isinstance(m, CopiesConv2d) and m.bias is not None]
    assert len(biases) == 4
    assert all((bias == -1.0).all() for bias in biases)


def test_initialise_refuses_another_number_of_seeds() -> None:
    with pytest.raises(ValueError, match="2 seeds for a network of 3 copies"):
        initialise(build(NetworkSpec(**SMALL), copies=3), [0, 1])


def test_copy_state_slices_and_does_not_alias() -> None:
    network = network_of_copies(UNITS["original"])
    state = network.state_dict()
    parts = [copy_state(state, copy, COPIES) for copy in range(COPIES)]
    for name, value in state.items():
        if value.dim() == 0:
            assert all(torch.equal(part[name], value) for part in parts)
        else:
            assert torch.equal(torch.cat([part[name] for part in parts]), value)
    before = state["stem.0.weight"].clone()
    parts[1]["stem.0.weight"].zero_()
    assert torch.equal(state["stem.0.weight"], before)


@given(copies=st.integers(1, 4), channels=st.integers(1, 3), dim=st.sampled_from([0, 1]), data=st.data())
def test_select_copies_takes_whole_blocks_of_channels(
    copies: int, channels: int, dim: int, data: st.DataObject
) -> None:
    active = sorted(data.draw(st.sets(st.integers(0, copies - 1), min_size=1)))
    values = torch.arange(2.0 * copies * channels).view(2, -1)
    values = values if dim == 1 else values.T
    blocks = list(itertools.chain.from_iterable(range(c * channels, (c + 1) * channels) for c in active))
    assert torch.equal(
        select_copies(values, torch.tensor(active), copies, dim), values.index_select(dim, torch.tensor(blocks))
    )


def test_one_copy_is_an_ordinary_layer() -> None:
    x = torch.randn(2, 3, 7, 7)
    convolution = CopiesConv2d(3, 4, 3, stride=2, bias=True)
    ordinary = nn.Conv2d(3, 4, 3, stride=2, padding=1)
    ordinary.load_state_dict(convolution.state_dict())
    assert torch.equal(convolution(x), ordinary(x))
    linear = CopiesLinear(3, 10)
    assert linear(x.mean((2, 3))).shape == (2, 10)
    torch.testing.assert_close(linear(x.mean((2, 3))), x.mean((2, 3)) @ linear.weight.T + linear.bias)


def test_active_with_all_copies_is_the_ordinary_pass() -> None:
    x, everyone = torch.randn(4, 6, 5, 5), torch.arange(3)
    convolution, norm = CopiesConv2d(2, 4, 3, copies=3, bias=True), CopiesBatchNorm2d(2, copies=3)
    torch.testing.assert_close(convolution(x, everyone), convolution(x))
    again = CopiesBatchNorm2d(2, copies=3)
    torch.testing.assert_close(norm(x, everyone), again(x))
    assert norm.running_var is not None
    assert again.running_var is not None
    torch.testing.assert_close(norm.running_var, again.running_var)
