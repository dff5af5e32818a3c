"""What the order of BN, ReLU and addition does, on sound networks and on ones that break the claims."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from resbench.experiments import structure_he_activation as activation
from resbench.networks import residual
from resbench.networks.units import ComposedUnit


def test_only_relu_before_addition_never_decreases_the_signal():
    assert min(activation.smallest_increments(order="relu-before-add")) >= 0
    for order in ("original", "relu-only-preact", "preact"):
        assert min(activation.smallest_increments(order=order)) < -0.1


def test_which_orders_alter_the_shortcut():
    assert min(activation.shortcut_alteration(order="bn-after-add")) > 0.1
    assert min(activation.shortcut_alteration(order="original")) > 0.1  # ReLU stops what is negative
    for order in ("preact", "relu-only-preact", "relu-before-add"):
        assert max(activation.shortcut_alteration(order=order)) == 0


@pytest.mark.parametrize("body", ["basic", "bottleneck"])
def test_asymmetric_activation_is_preactivation(body):
    assert activation.asymmetric_equivalence(body=body) < 1e-12


@pytest.mark.parametrize("body", ["basic", "bottleneck"])
def test_asymmetric_equivalence_sees_an_activated_shortcut(body, monkeypatch):
    def forward(self, x, active=None):
        return self.shortcut(x.relu()) + self.branch(x)

    monkeypatch.setattr(ComposedUnit, "forward", forward)
    assert activation.asymmetric_equivalence(body=body) > 1e-3


def test_asymmetric_equivalence_sees_a_missing_head_activation(monkeypatch):
    head = residual.ResidualNetwork.head
    monkeypatch.setattr(residual.ResidualNetwork, "head", lambda self, x: self.classifier(x.mean((2, 3))))
    assert activation.asymmetric_equivalence() > 1e-3
    monkeypatch.setattr(residual.ResidualNetwork, "head", head)
    assert activation.asymmetric_equivalence() < 1e-12


@pytest.mark.parametrize(
    ("order", "places"),
    [
        ("preact", [1, 5, 1, 1]),
        ("relu-only-preact", [1, 5, 1, 1]),
        ("original", [1, 0, 0, 1]),
        ("bn-after-add", [1, 0, 0, 1]),
    ],
)
def test_places_of_activations(order, places):
    assert activation.activation_places(order=order, units=6) == places


def test_places_see_a_first_unit_that_activates_again(monkeypatch):
    build_unit = residual.build_unit
    monkeypatch.setattr(residual, "build_unit", lambda *a, first=False, **k: build_unit(*a, first=False, **k))
    assert activation.activation_places(order="preact", units=6) == [1, 6, 1, 0]


def test_inputs_are_normalised_with_preactivation_only():
    assert max(activation.normalisation_error(order="preact", units=6)) < 1e-2
    errors = activation.normalisation_error(order="original", units=6)
    # The first layer of unit 1 reads the stem's activation, the second of every unit BN and ReLU of the first.
    assert [error == 1.0 for error in errors] == [False, False] + [True, False] * 5


def test_what_weight_layers_read_grows_without_preactivation():
    original = activation.input_deviation(order="original", units=18)
    preact = activation.input_deviation(order="preact", units=18)
    assert original[-1] > 3 * original[0]
    assert max(preact) < 1.2 * min(preact)
    assert activation.input_growth(order="original", units=18) == [[i + 1, d] for i, d in enumerate(original)]


def test_truncation_is_of_the_negative_sums():
    original = activation.truncation(order="original", units=6)
    assert original["changed"] == original["negative"] > 5
    preact = activation.truncation(order="preact", units=6)
    assert preact["changed"] == 0 < preact["negative"]


def test_truncation_sees_another_activation(monkeypatch):
    monkeypatch.setattr(ComposedUnit, "after", lambda self, x: nn.functional.relu(x - 0.1))
    shares = activation.truncation(order="original", units=6)
    assert shares["changed"] > shares["negative"]


def test_plain_networks_have_one_activation_fewer_than_weight_layers():
    assert activation.plain_activations(convolutions=4) == [5, 4]


def test_quantities_leave_the_random_state_of_the_experiment_alone():
    # Networks are initialised from their own seeds: two calls see the same network whatever ran in between.
    first = activation.input_deviation(order="original", units=3)
    torch.rand(10)
    assert activation.input_deviation(order="original", units=3) == first
