"""Residual units against their formulas in numpy, and whole networks against torchvision's and the papers' counts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from by_hand import Array, convolved, normalised, pooled, relu
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from resbench.networks.copies import initialise
from resbench.networks.residual import NetworkSpec, PlainNetwork, PlainSpec, ResidualNetwork, build, parameter_count
from resbench.networks.units import ComposedUnit, Order, Shortcut, UnitSpec, build_unit


class Parts:
    """A unit's weights and normalisations, in the order of its modules."""

    def __init__(self, unit: ComposedUnit) -> None:
        self.weights = [m.weight.detach().numpy() for m in unit.residual.modules() if isinstance(m, nn.Conv2d)]
        self.norms = [m for m in unit.residual.modules() if isinstance(m, nn.BatchNorm2d)]
        self.skip = [m.weight.detach().numpy() for m in unit.skip.modules() if isinstance(m, nn.Conv2d)]
        self.skip_norms = [m for m in unit.skip.modules() if isinstance(m, nn.BatchNorm2d)]
        self.post = [m for m in unit.post.modules() if isinstance(m, nn.BatchNorm2d)]
        self.entry = [m for m in unit.entry.modules() if isinstance(m, nn.BatchNorm2d)]
        self.gate = None if unit.gate is None else unit.gate[0]  # type: ignore[index]

    def branch(self, x: Array, stride: int = 1) -> Array:
        """Conv-BN-ReLU-Conv-BN."""
        (w1, w2), (n1, n2) = self.weights, self.norms
        return normalised(convolved(relu(normalised(convolved(x, w1, stride), n1)), w2), n2)

    def gated(self, x: Array) -> Array:
        assert isinstance(self.gate, nn.Conv2d)
        assert self.gate.bias is not None
        bias = self.gate.bias.detach().numpy()[:, None, None]
        return 1 / (1 + np.exp(-(convolved(x, self.gate.weight.detach().numpy()) + bias)))


def original(x: Array, p: Parts) -> Array:
    return relu(x + p.branch(x))


def bn_after_add(x: Array, p: Parts) -> Array:
    (w1, w2), (n1,) = p.weights, p.norms
    return relu(normalised(x + convolved(relu(normalised(convolved(x, w1), n1)), w2), p.post[0]))


def relu_before_add(x: Array, p: Parts) -> Array:
    return x + relu(p.branch(x))


def relu_only_preact(x: Array, p: Parts) -> Array:
    (w1, w2), (n1, n2) = p.weights, p.norms
    return x + normalised(convolved(relu(normalised(convolved(relu(x), w1), n1)), w2), n2)


def preact(x: Array, p: Parts) -> Array:
    (w1, w2), (n1, n2) = p.weights, p.norms
    return x + convolved(relu(normalised(convolved(relu(normalised(x, n1)), w1), n2)), w2)


def single_layer(x: Array, p: Parts) -> Array:
    return x + convolved(relu(normalised(x, p.norms[0])), p.weights[0])


def scaled(x: Array, p: Parts) -> Array:
    return relu(0.5 * x + 0.25 * p.branch(x))


def exclusive(x: Array, p: Parts) -> Array:
    g = p.gated(x)
    return relu((1 - g) * x + g * p.branch(x))


def shortcut_only(x: Array, p: Parts) -> Array:
    return relu((1 - p.gated(x)) * x + p.branch(x))


def projected(x: Array, p: Parts) -> Array:
    return relu(normalised(convolved(x, p.skip[0]), p.skip_norms[0]) + p.branch(x))


def no_shortcut(x: Array, p: Parts) -> Array:
    return relu(p.branch(x))


FORMULAS: dict[str, tuple[UnitSpec, Callable[[Array, Parts], Array]]] = {
    "original": (UnitSpec(order="original"), original),
    "bn-after-add": (UnitSpec(order="bn-after-add"), bn_after_add),
    "relu-before-add": (UnitSpec(order="relu-before-add"), relu_before_add),
    "relu-only-preact": (UnitSpec(order="relu-only-preact"), relu_only_preact),
    "preact": (UnitSpec(order="preact"), preact),
    "single": (UnitSpec(order="preact", body="single"), single_layer),
    "scaling": (UnitSpec(order="original", shortcut_scale=0.5, branch_scale=0.25), scaled),
    "exclusive-gate": (UnitSpec(order="original", shortcut="exclusive-gate", gate_bias=-0.5), exclusive),
    "shortcut-gate": (UnitSpec(order="original", shortcut="shortcut-gate", gate_bias=-0.5), shortcut_only),
    "conv1x1": (UnitSpec(order="original", shortcut="conv1x1"), projected),
    "none": (UnitSpec(order="original", shortcut="none"), no_shortcut),
}


def shaken(unit: ComposedUnit) -> ComposedUnit:
    """The unit in float64 and train mode, with BN scales and shifts that are not 1 and 0."""
    generator = torch.Generator().manual_seed(3)
    for module in unit.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data = torch.rand(module.weight.shape, generator=generator) + 0.5
            module.bias.data = torch.rand(module.bias.shape, generator=generator) - 0.5
    return unit.double().train()


def tensor(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("spec", "formula"), FORMULAS.values(), ids=FORMULAS)
def test_a_unit_is_its_formula(spec: UnitSpec, formula: Callable[[Array, Parts], Array]) -> None:
    unit, x = shaken(build_unit(spec, 3, 3, 1)), tensor(2, 3, 4, 5)
    np.testing.assert_allclose(unit(x).detach().numpy(), formula(x.numpy(), Parts(unit)), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("down", ["pool", "stride", "projection"])
def test_a_dimension_changing_unit_is_its_formula(down: str) -> None:
    unit, x = shaken(build_unit(UnitSpec(order="original", down=down), 2, 5, 2)), tensor(2, 2, 6, 4)  # type: ignore[arg-type]
    parts, array = Parts(unit), x.numpy()
    zeros = np.zeros((2, 3, 3, 2))
    shortcut = {
        "pool": lambda: np.concatenate([pooled(array), zeros], 1),
        "stride": lambda: np.concatenate([array[:, :, ::2, ::2], zeros], 1),
        "projection": lambda: normalised(convolved(array, parts.skip[0], 2), parts.skip_norms[0]),
    }[down]()
    np.testing.assert_allclose(
        unit(x).detach().numpy(), relu(shortcut + parts.branch(array, 2)), rtol=1e-10, atol=1e-12
    )
    assert unit.changes_shape


def test_a_projection_of_a_pre_activation_unit_is_pre_activated() -> None:
    unit, x = shaken(build_unit(UnitSpec(order="preact", down="projection"), 2, 4, 2)), tensor(2, 2, 4, 4)
    parts = Parts(unit)
    entered = relu(normalised(x.numpy(), parts.entry[0]))
    (w1, w2), (norm,) = parts.weights, parts.norms
    branch = convolved(relu(normalised(convolved(entered, w1, 2), norm)), w2)
    expected = convolved(entered, parts.skip[0], 2) + branch
    np.testing.assert_allclose(unit(x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


def test_the_first_pre_activation_unit_does_not_activate_again() -> None:
    unit, x = shaken(build_unit(UnitSpec(order="preact"), 3, 3, 1, first=True)), tensor(2, 3, 4, 4)
    (w1, w2), (norm,) = Parts(unit).weights, Parts(unit).norms
    expected = x.numpy() + convolved(relu(normalised(convolved(x.numpy(), w1), norm)), w2)
    np.testing.assert_allclose(unit(x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    order=st.sampled_from(["original", "bn-after-add", "relu-before-add", "relu-only-preact", "preact"]),
    body=st.sampled_from(["basic", "bottleneck", "single"]),
    shortcut=st.sampled_from(["identity", "none", "conv1x1", "exclusive-gate", "shortcut-gate"]),
    down=st.sampled_from(["pool", "stride", "projection"]),
    changes=st.booleans(),
    training=st.booleans(),
)
def test_the_handle_s_parts_make_the_unit(
    order: Order, body: str, shortcut: Shortcut, down: str, changes: bool, training: bool
) -> None:
    spec = UnitSpec(order=order, body=body, shortcut=shortcut, down=down, branch_scale=0.5)  # type: ignore[arg-type]
    inputs, stride = (3, 2) if changes else (2 * spec.expansion, 1)
    unit = shaken(build_unit(spec, inputs, 2, stride)).train(training)
    unit.test_scale = 0.25
    x = tensor(2, inputs, 5, 5)
    y = unit(x)
    assert y.shape == (2, 2 * spec.expansion, 3 if changes else 5, 3 if changes else 5)
    torch.testing.assert_close(unit.after(unit.shortcut(x) + unit.branch(x)), y)
    torch.testing.assert_close(unit.after(unit.shortcut(x)), unit(x, torch.tensor([], dtype=torch.int64)))
    assert unit.changes_shape == changes


@given(scale=st.floats(0.05, 1.0), branch=st.floats(0.05, 1.0))
def test_the_test_scale_counts_in_eval_only(scale: float, branch: float) -> None:
    unit = build_unit(UnitSpec(order="preact", branch_scale=branch), 2, 2, 1)
    unit.test_scale = scale
    assert unit.train().scale == branch
    assert unit.eval().scale == branch * scale


def test_the_test_scale_multiplies_the_branch() -> None:
    unit, x = shaken(build_unit(UnitSpec(order="preact"), 3, 3, 1)).eval(), tensor(2, 3, 4, 4)
    full = unit.branch(x)
    unit.test_scale = 0.3
    torch.testing.assert_close(unit(x), x + 0.3 * full)


def test_dropout_shortcut_halves_the_survivors_mean_only_in_training() -> None:
    unit, x = shaken(build_unit(UnitSpec(order="original", shortcut="dropout"), 3, 3, 1)), tensor(2, 3, 4, 4)
    torch.manual_seed(0)
    kept = unit.shortcut(x)
    assert torch.equal(kept, torch.where(kept == 0, kept, 2 * x))
    assert 0.2 < float((kept == 0).double().mean()) < 0.8
    assert torch.equal(unit.eval().shortcut(x), x)


def test_dropout_in_the_branch_drops_inputs_of_its_last_convolution_only_in_training() -> None:
    plain = shaken(build_unit(UnitSpec(order="original"), 3, 3, 1))
    unit, x = shaken(build_unit(UnitSpec(order="original", dropout=0.3), 3, 3, 1)), tensor(2, 3, 4, 4)
    for mine, theirs in zip(unit.parameters(), plain.parameters(), strict=True):
        mine.data.copy_(theirs)
    seen: list[torch.Tensor] = []
    for each in (plain, unit):
        convolution = [module for module in each.residual if isinstance(module, nn.Conv2d)][-1]
        convolution.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    torch.manual_seed(0)
    plain(x), unit(x)
    full, kept = seen
    torch.testing.assert_close(kept, torch.where(kept == 0, kept, full / 0.7))
    assert 0.1 < float((kept[full > 0] == 0).double().mean()) < 0.5
    assert torch.equal(unit.eval()(x), unit(x))


# Exact counts, batch normalisation included (He 2016, table 4; ResNet 2015, table 6).
COUNTS = {
    "resnet20": (NetworkSpec(units=(3,) * 3, unit=UnitSpec(order="original")), 269_722),
    "resnet32": (NetworkSpec(units=(5,) * 3, unit=UnitSpec(order="original")), 464_154),
    "resnet44": (NetworkSpec(units=(7,) * 3, unit=UnitSpec(order="original")), 658_586),
    "resnet56": (NetworkSpec(units=(9,) * 3, unit=UnitSpec(order="original")), 853_018),
    "resnet110": (NetworkSpec(unit=UnitSpec(order="original")), 1_727_962),
    "resnet1202": (NetworkSpec(units=(200,) * 3, unit=UnitSpec(order="original")), 19_421_274),
    "resnet164-preact": (NetworkSpec(unit=UnitSpec(body="bottleneck", down="projection")), 1_703_258),
    "resnet1001-preact": (
        NetworkSpec(units=(111,) * 3, unit=UnitSpec(body="bottleneck", down="projection")),
        10_327_706,
    ),
}


@pytest.mark.parametrize(("spec", "count"), COUNTS.values(), ids=COUNTS)
def test_parameter_counts(spec: NetworkSpec, count: int) -> None:
    network = build(spec, device="meta")
    assert parameter_count(network) == count
    if spec.n_units == 333:
        assert parameter_count(network, batch_norm=False) == 10_178_490


def test_copies_multiply_the_parameter_count() -> None:
    spec, count = COUNTS["resnet20"]
    assert parameter_count(build(spec, copies=3, device="meta")) == 3 * count


@pytest.mark.parametrize(("body", "block"), [("basic", BasicBlock), ("bottleneck", Bottleneck)])
def test_imagenet_networks_are_torchvision_s(body: str, block: type[BasicBlock | Bottleneck]) -> None:
    """The same modules in the same order: torchvision's weights fit one by one, and give the same logits."""
    theirs = ResNet(block, [2, 1, 1, 1], num_classes=7).double()
    unit = UnitSpec(order="original", body=body, down="projection")  # type: ignore[arg-type]
    spec = NetworkSpec(units=(2, 1, 1, 1), widths=(64, 128, 256, 512), unit=unit, classes=7, stem="imagenet")
    ours = build(spec).double()
    pairs = zip(ours.state_dict(), theirs.state_dict().values(), strict=True)
    ours.load_state_dict(dict(pairs))
    x = tensor(2, 3, 64, 64)
    for mode in (True, False):
        torch.testing.assert_close(ours.train(mode)(x), theirs.train(mode)(x))


@pytest.mark.parametrize("order", ["original", "preact", "relu-only-preact"])
def test_the_head_has_the_last_activation_of_pre_activation_networks(order: Order) -> None:
    network = build(NetworkSpec(units=(1,), widths=(4,), unit=UnitSpec(order=order)))
    assert isinstance(network, ResidualNetwork)
    initialise(network, [0])
    network = network.double().train()
    x = tensor(3, 4, 5, 5)
    activated = x
    if order == "preact":
        norm = next(m for m in network.head_activation.modules() if isinstance(m, nn.BatchNorm2d))
        activated = torch.from_numpy(relu(normalised(x.numpy(), norm)))
    elif order == "relu-only-preact":
        activated = x.clamp(min=0)
    expected = activated.mean((2, 3)) @ network.classifier.weight.T + network.classifier.bias
    torch.testing.assert_close(network.head(x), expected)


def test_plain_layers_can_go_and_pools_stay() -> None:
    network = build(PlainSpec(layers=4, width=6, pools=(2, 3)))
    assert isinstance(network, PlainNetwork)
    x = torch.randn(2, 3, 8, 8)
    widths = [layer(torch.zeros(2, 6, 8, 8)).shape[1] for layer in list(network.layers)[1:]]
    assert widths == [6, 6, 6]
    sides = [network.pool_after(index, x).shape[-1] for index in range(4)]
    assert sides == [8, 4, 4, 8]
    assert network(x).shape == (2, 10)


def test_a_network_of_every_unit_counts_its_units() -> None:
    network = build(NetworkSpec(units=(2, 3, 1), widths=(2, 4, 8)))
    assert isinstance(network, ResidualNetwork)
    assert len(network.residual_units()) == network.spec.n_units == 6
    assert [unit.changes_shape for unit in network.residual_units()] == [False, False, True, False, False, True]
