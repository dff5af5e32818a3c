"""Every unit of the zoo against its equation in numpy, in both modes, within a stage and across dimensions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from by_hand import Array, biased, convolved, normalised, pooled, relu, sigmoid
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from resbench.errors import UserError
from resbench.networks.units import ComposedUnit
from resbench.networks.variants import create_unit, describe_unit, unit_names, variant

EXACT = {"rtol": 1e-10, "atol": 1e-12}


class ByHand:
    """A unit's layers, for equations in numpy; ``strides`` has its branch's, one a convolution."""

    def __init__(self, unit: ComposedUnit, strides: list[int], inputs: int, outputs: int) -> None:
        self.convolutions = [m for m in unit.residual.modules() if isinstance(m, nn.Conv2d)]
        self.norms = [m for m in unit.residual.modules() if isinstance(m, nn.BatchNorm2d)]
        self.projection = [m for m in unit.skip.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
        self.post = [m for m in unit.post.modules() if isinstance(m, nn.BatchNorm2d)]
        self.gates = [] if unit.gate is None else [m for m in unit.gate.modules() if isinstance(m, nn.Conv2d)]
        self.strides, self.stride, self.added = strides, max(strides), outputs - inputs

    def convolve(self, index: int, x: Array) -> Array:
        return convolved(x, self.convolutions[index].weight.detach().numpy(), self.strides[index])

    def conv_bn(self, x: Array, *, norms: int) -> Array:
        """Conv-BN-ReLU-...-Conv, the last one with BN where there are as many norms as convolutions."""
        for index in range(len(self.convolutions)):
            x = self.convolve(index, x)
            if index < norms:
                x = normalised(x, self.norms[index])
            if index + 1 < len(self.convolutions):
                x = relu(x)
        return x

    def f(self, x: Array) -> Array:
        """The original branch."""
        return self.conv_bn(x, norms=len(self.convolutions))

    def f_preact(self, x: Array) -> Array:
        for index, norm in enumerate(self.norms):
            x = self.convolve(index, relu(normalised(x, norm)))
        return x

    def f_highway(self, x: Array) -> Array:
        (layer,) = self.convolutions
        return relu(biased(self.convolve(0, x), layer))

    def project(self, x: Array) -> Array:
        weights, norm = self.projection
        return normalised(convolved(x, weights.weight.detach().numpy(), self.stride), norm)  # type: ignore[arg-type]

    def option_a(self, x: Array, before: int = 0, *, pool: bool = False) -> Array:
        """Subsampled or pooled, with ``before`` of the zero channels before the input's."""
        if self.stride == 2:
            x = pooled(x) if pool else x[:, :, ::2, ::2]
        count = self.added
        zeros = np.zeros((len(x), count, *x.shape[2:]))
        return np.concatenate([zeros[:, :before], x, zeros[:, before:]], 1)

    def gate(self, x: Array) -> Array:
        (layer,) = self.gates
        return sigmoid(biased(convolved(x, layer.weight.detach().numpy()), layer))


def exclusive(x: Array, u: ByHand) -> Array:
    s = u.option_a(x)
    return relu((1 - u.gate(s)) * s + u.gate(s) * u.f(x))


def shortcut_only(x: Array, u: ByHand) -> Array:
    s = u.option_a(x)
    return relu((1 - u.gate(s)) * s + u.f(x))


def highway(x: Array, u: ByHand) -> Array:
    s = u.option_a(x)
    return u.f_highway(x) * u.gate(s) + s * (1 - u.gate(s))


EQUATIONS: dict[str, Callable[[Array, ByHand], Array]] = {
    "original": lambda x, u: relu(u.option_a(x) + u.f(x)),
    "bn-after-add": lambda x, u: relu(normalised(u.option_a(x) + u.conv_bn(x, norms=len(u.norms)), u.post[0])),
    "relu-before-add": lambda x, u: u.option_a(x) + relu(u.f(x)),
    "relu-only-preact": lambda x, u: u.option_a(x) + u.f(relu(x)),
    "preact": lambda x, u: u.option_a(x) + u.f_preact(x),
    "scale-0-1": lambda x, u: relu(u.f(x)),
    "scale-05-1": lambda x, u: relu(0.5 * u.option_a(x) + u.f(x)),
    "scale-05-05": lambda x, u: relu(0.5 * u.option_a(x) + 0.5 * u.f(x)),
    "exclusive-gate-b0": exclusive,
    "exclusive-gate-b6": exclusive,
    "exclusive-gate-b7": exclusive,
    "shortcut-gate-b0": shortcut_only,
    "shortcut-gate-b6": shortcut_only,
    "conv1x1": lambda x, u: relu(u.project(x) + u.f(x)),
    "dropout": lambda x, u: relu(u.option_a(x) + u.f(x)),  # In eval mode; training has its own test.
    "option-a": lambda x, u: relu(u.option_a(x) + u.f(x)),
    "option-a-pool": lambda x, u: relu(u.option_a(x, pool=True) + u.f(x)),
    "option-a-centred": lambda x, u: relu(u.option_a(x, u.added // 2) + u.f(x)),
    "option-a-pool-centred": lambda x, u: relu(u.option_a(x, u.added // 2, pool=True) + u.f(x)),
    "option-b": lambda x, u: relu((u.project(x) if u.projection else u.option_a(x)) + u.f(x)),
    "option-c": lambda x, u: relu(u.project(x) + u.f(x)),
    "single": lambda x, u: relu(u.option_a(x) + u.f(x)),
    "single-preact": lambda x, u: u.option_a(x) + u.f_preact(x),
    "highway": highway,
    "highway-b4": highway,
}


def shaken(unit: ComposedUnit) -> ComposedUnit:
    """The unit in float64, with BN that is neither of scale one nor of mean zero, and with biases that are not zero."""
    generator = torch.Generator().manual_seed(3)
    for module in unit.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            for values in (module.weight.data, module.running_var):
                values.uniform_(0.5, 1.5, generator=generator)
            for values in (module.bias.data, module.running_mean):
                values.uniform_(-0.5, 0.5, generator=generator)
        elif isinstance(module, nn.Conv2d) and module.bias is not None:
            module.bias.data += torch.rand(module.bias.shape, generator=generator)
    return unit.double()


def image(channels: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(2, channels, 6, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("across", [False, True], ids=["same-shape", "across-dimensions"])
@pytest.mark.parametrize("name", unit_names())
def test_a_named_unit_is_its_equation(name: str, across: bool) -> None:
    spec = variant(name).spec
    inputs, width, stride = (3, 5, 2) if across else (2 * spec.expansion, 2, 1)
    outputs = width * spec.expansion
    unit = shaken(create_unit(name, inputs, width, stride))
    x = image(inputs)
    strides = {"basic": [stride, 1], "bottleneck": [1, stride, 1], "single": [stride]}[spec.body]
    by_hand = ByHand(unit, strides, inputs, outputs)
    for training in (False,) if spec.shortcut == "dropout" else (True, False):
        unit.train(training)
        expected = EQUATIONS[name.removesuffix("-bottleneck")](x.numpy(), by_hand)
        assert expected.shape == (2, outputs, 6 // stride, 4 // stride)
        np.testing.assert_allclose(unit(x).detach().numpy(), expected, **EXACT)


def test_the_pool_variants_pool_and_the_others_subsample() -> None:
    x = image(2).abs() + 1
    for name in ("option-a", "option-a-pool", "option-a-centred", "option-a-pool-centred"):
        shortcut = create_unit(name, 2, 5, 2).double().shortcut(x)
        occupied = [int(channel) for channel in shortcut.sum((0, 2, 3)).nonzero()]
        assert occupied == ([1, 2] if "centred" in name else [0, 1])
        kept = shortcut[:, occupied]
        assert torch.equal(kept, x[:, :, ::2, ::2]) != ("pool" in name)


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from([name for name in unit_names() if variant(name).spec.shortcut.endswith("gate")]),
    bias=st.floats(-8, 8),
    seed=st.integers(0, 1000),
)
def test_a_gate_is_as_open_as_its_bias_says_before_it_learns(name: str, bias: float, seed: int) -> None:
    unit = create_unit(name, 4, 4 // variant(name).spec.expansion, gate_bias=bias, seed=seed)
    convolution = next(m for m in unit.gate.modules() if isinstance(m, nn.Conv2d))  # type: ignore[union-attr]
    torch.nn.init.zeros_(convolution.weight)
    x = torch.randn(2, 4, 3, 3)
    torch.testing.assert_close(unit.shortcut(x), x * (1 - torch.sigmoid(torch.tensor(bias))))


@pytest.mark.parametrize(("name", "bias"), [("exclusive-gate-b7", -7.0), ("shortcut-gate-b0", 0.0), ("highway", -2.0)])
def test_the_name_has_the_gate_s_initial_bias(name: str, bias: float) -> None:
    gate = create_unit(name, 4, 4).gate
    assert gate is not None
    convolution = next(m for m in gate.modules() if isinstance(m, nn.Conv2d))
    assert convolution.bias is not None
    assert convolution.bias.tolist() == [bias] * 4
    assert f"= {bias:.0f}" in describe_unit(name).equation


def test_a_highway_unit_with_a_closed_gate_carries_its_input_and_with_an_open_one_its_branch() -> None:
    x = torch.randn(2, 4, 5, 5)
    closed, open_ = (create_unit("highway", 4, 4, gate_bias=bias) for bias in (-200.0, 200.0))
    assert torch.equal(closed(x), x)
    assert torch.equal(open_(x), open_.residual(x))


def test_dropout_on_the_shortcut_in_training() -> None:
    unit, x = shaken(create_unit("dropout", 3, 3)).train(), image(3)
    torch.manual_seed(1)
    kept = unit.shortcut(x)
    torch.manual_seed(1)
    expected = relu(kept.numpy() + ByHand(unit, [1, 1], 3, 3).f(x.numpy()))
    np.testing.assert_allclose(unit(x).detach().numpy(), expected, **EXACT)
    assert torch.equal(kept, torch.where(kept == 0, kept, 2 * x))


def test_descriptions_say_what_the_unit_computes() -> None:
    described = {name: describe_unit(name) for name in unit_names()}
    assert all(d.equation and d.source and d.shapes and d.branch.startswith("F = ") for d in described.values())
    assert described["original"].branch == "F = conv3x3, BN, ReLU, conv3x3, BN"
    assert described["preact-bottleneck"].branch == "F = BN, ReLU, conv1x1, BN, ReLU, conv3x3, BN, ReLU, conv1x1"
    assert "4C" in described["preact-bottleneck"].shapes
    assert "4C" not in described["preact"].shapes
    assert "table 1" in described["shortcut-gate-b6"].source


def test_an_unknown_unit_is_one_line_with_the_nearest_names() -> None:
    with pytest.raises(UserError, match=r"^no unit is named 'shortcut-gate'; the nearest: .*shortcut-gate-b0"):
        create_unit("shortcut-gate", 4, 4)
    with pytest.raises(UserError, match="takes no gate bias"):
        create_unit("preact", 4, 4, gate_bias=-3)


def test_units_of_one_seed_are_alike_and_leave_the_global_generator() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, again, other = (create_unit("preact", 4, 4, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)
