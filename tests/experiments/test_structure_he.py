"""How the shortcut carries signal and gradient: each quantity on sound networks, and on ones that break its claim."""

from __future__ import annotations

import math

import pytest
import torch

from resbench.experiments import structure_he as he
from resbench.networks.units import ComposedUnit, UnitSpec


@pytest.fixture
def weak_shortcut(monkeypatch):
    """A fault: the forward pass scales every shortcut by 0.9."""

    def forward(self, x, active=None):
        return self.after(0.9 * self.shortcut(x) + self.branch(x))

    monkeypatch.setattr(ComposedUnit, "forward", forward)


@pytest.mark.parametrize("order", ["preact", "relu-only-preact", "relu-before-add"])
def test_signals_add_up_where_nothing_follows_the_addition(order):
    assert he.forward_additivity(order=order) < 1e-12


@pytest.mark.parametrize("order", ["original", "bn-after-add"])
def test_signals_do_not_add_up_where_something_follows(order):
    assert he.forward_additivity(order=order) > 0.1
    assert he.backward_decomposition(order=order) > 0.1


def test_additivity_sees_a_weak_shortcut(weak_shortcut):
    assert he.forward_additivity() > 0.01
    assert he.forward_from_input(units=6) > 0.01
    assert he.backward_decomposition() > 0.01


def test_forward_from_input_and_backward_on_sound_networks():
    assert he.forward_from_input(units=12) < 1e-12
    assert he.backward_decomposition() < 1e-12


def test_signals_are_those_of_the_forward_pass():
    network = he.small_network(UnitSpec(), units=(2, 2))
    x, logits = he.signals(network, he.images())
    assert len(x) == 5
    torch.testing.assert_close(network.head(x[-1]), logits)
    assert not any(unit._forward_hooks or unit._forward_pre_hooks for unit in network.units)


def test_lived_in_networks_have_measured_statistics():
    network = he.small_network(UnitSpec(order="original"), units=(2,))
    norm = network.units[0].residual[1]
    assert norm.weight.std() > 0.01
    seen = []
    network.units[0].residual[0].register_forward_hook(lambda _, __, output: seen.append(output))
    network.train()(he.images())
    torch.testing.assert_close(norm.running_mean, seen[0].mean((0, 2, 3)))


def test_small_weights_keep_the_gradient_only_with_shortcuts():
    deviations = [
        abs(he.gradient_ratio(shortcut="identity", weight_scale=scale, units=18) - 1) for scale in (1e-2, 1e-3, 1e-4)
    ]
    assert deviations[0] > 5 * deviations[1] > 25 * deviations[2]  # first order in the scale
    plain = [he.gradient_ratio(shortcut="none", weight_scale=scale, units=18) for scale in (1e-1, 1e-2)]
    assert plain[1] / plain[0] == pytest.approx(0.1**18)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.1])
def test_shortcut_scaling_is_the_power(scale):
    assert he.shortcut_scaling(scale=scale, units=9) == pytest.approx([scale**9] * 4, rel=1e-12)


def test_shortcut_scaling_sees_a_weak_shortcut(weak_shortcut):
    assert he.shortcut_scaling(scale=0.5, units=9) == pytest.approx([0.45**9] * 4, rel=1e-12)


@pytest.mark.parametrize("shortcut", ["conv1x1", "exclusive-gate", "shortcut-gate"])
def test_the_product_of_derivatives(shortcut):
    assert he.product_error(shortcut=shortcut, units=4) < 1e-12


def test_the_product_of_derivatives_sees_exchanged_gates(monkeypatch):
    monkeypatch.setattr(ComposedUnit, "shortcut", lambda self, x: x * self.gate(x))
    assert he.product_error(shortcut="shortcut-gate", units=4) > 0.1


@pytest.mark.parametrize("gate", ["exclusive-gate", "shortcut-gate"])
@pytest.mark.parametrize("bias", [0.0, -3.0])
def test_openness_of_closed_form_gates(gate, bias):
    expected = 1 / (1 + math.exp(bias))
    assert he.unit_openness(gate=gate, bias=bias, weights="zero", units=6) == pytest.approx([expected] * 6)
    assert he.gate_openness(gate=gate, bias=bias, weights="zero", units=6) == pytest.approx(expected**6)


def test_openness_of_random_gates_is_near_but_not_the_closed_form():
    means = he.unit_openness(gate="exclusive-gate", bias=-2.0, weights="random", units=6)
    expected = 1 / (1 + math.exp(-2.0))
    assert means == pytest.approx([expected] * 6, rel=0.2)
    assert max(abs(mean - expected) for mean in means) > 1e-4


def test_openness_sees_exchanged_gates(monkeypatch):
    monkeypatch.setattr(ComposedUnit, "shortcut", lambda self, x: self.skip(x) * self.gate(self.skip(x)))
    means = he.unit_openness(gate="shortcut-gate", bias=-6.0, weights="zero", units=3)
    assert means == pytest.approx([1 / (1 + math.exp(6.0))] * 3)


def test_identity_among_the_solutions():
    assert he.covers_identity(shortcut="conv1x1", units=3) < 1e-12
    assert he.covers_identity(shortcut="shortcut-gate", bias=-40.0, units=3) < 1e-12
    # Not because the two networks were the same to begin with: an open gate changes the logits.
    assert he.covers_identity(shortcut="shortcut-gate", bias=0.0, units=3) > 1e-2
