"""The structural quantities of Veit 2016 go red on networks that are broken."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from resbench.experiments import structure_veit
from resbench.experiments.structure_he import small_network
from resbench.networks.residual import PlainSpec, ResidualNetwork, build
from resbench.networks.sampling import ExactlyK
from resbench.networks.units import ComposedUnit, Order, UnitSpec


@pytest.fixture(autouse=True)
def fresh_cache() -> None:
    structure_veit._small.cache_clear()


def test_nested_form() -> None:
    assert structure_veit.nested_form_gap() <= 1e-12


def test_nested_form_sees_a_scaled_shortcut(monkeypatch: pytest.MonkeyPatch) -> None:
    def scaled(spec: UnitSpec, **sizes: Any) -> ResidualNetwork:
        return small_network(UnitSpec(shortcut_scale=0.9), **sizes)

    monkeypatch.setattr(structure_veit, "small_network", scaled)
    assert structure_veit.nested_form_gap() > 1e-3


@pytest.mark.parametrize("order", ["preact", "original", "bn-after-add"])
def test_path_gradients(order: Order) -> None:
    assert structure_veit.path_gradient_sum_gap(6, order) <= 1e-10
    assert structure_veit.sampled_path_gap(6, order) <= 1e-10


def test_a_path_that_forgets_what_follows_the_addition_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = structure_veit._ordinary_gradient

    def without_relu(network: ResidualNetwork, batch: Tensor, labels: Tensor) -> Tensor:
        monkeypatch.setattr(ComposedUnit, "forward", lambda unit, x: unit.shortcut(x) + unit.branch(x))
        return kept(network, batch, labels)

    monkeypatch.setattr(structure_veit, "_ordinary_gradient", without_relu)
    assert structure_veit.path_gradient_sum_gap(3, "original") > 1e-3


def test_a_path_that_takes_the_wrong_way_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = structure_veit.path_gradients
    monkeypatch.setattr(structure_veit, "path_gradients", lambda n, x, y, paths: right(n, x, y, ~paths))
    assert structure_veit.sampled_path_gap(3) > 1e-3


def test_a_missing_path_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = structure_veit.path_gradients
    monkeypatch.setattr(structure_veit, "path_gradients", lambda n, x, y, paths: right(n, x, y, paths[1:]))
    assert structure_veit.path_gradient_sum_gap(3) > 1e-3


def test_stages_need_equal_sizes() -> None:
    with pytest.raises(ValueError, match="three equal stages"):
        structure_veit.path_gradient_sum_gap(4)


def test_drawn_path_lengths() -> None:
    assert structure_veit.drawn_path_lengths(9, [0, 4, 9], 5) == [0, 4, 9]


def test_untrained_gradients_decay() -> None:
    """A small one, apart from the claims' own: 18 units in one stage, measured as for trained networks."""
    sizes = {"stages": 1, "units": 18, "paths_per_length": 12}
    fit = structure_veit.untrained_decay_fit(**sizes)
    rate = structure_veit.untrained_decay_rate(**sizes)
    mean = structure_veit.untrained_mean_length(**sizes)
    assert isinstance(fit.value, float)
    assert fit.value > 0.95
    assert isinstance(rate.value, float)
    assert 0.2 < rate.value < 0.9
    assert isinstance(mean.value, float)
    assert 0 < mean.value < 9
    assert not fit.exact, "paths are sampled: the judge needs an interval"
    low, high = structure_veit.untrained_effective_range(**sizes).value
    assert 0 <= low < mean.value < high <= 18
    over = structure_veit.untrained_share_over(high, **sizes).value
    assert isinstance(over, float)
    assert over <= 2.5


def test_protocol_units() -> None:
    assert structure_veit.excluded_units([18, 18, 18]) == [1, 19, 37]
    assert structure_veit.exchanged_units([3, 2]) == [2, 3, 5]
    assert structure_veit.branch_layers([2, 2]) == [2]


def test_effective_path_training_draws_exactly_k(monkeypatch: pytest.MonkeyPatch) -> None:
    assert structure_veit.units_per_draw(54, 23) == [23]
    draw = ExactlyK.draw
    drawn = torch.Generator().manual_seed(0)

    def sloppy(sampler: ExactlyK) -> Tensor:
        return draw(sampler) & (torch.rand(54, generator=drawn) < 0.99)

    monkeypatch.setattr(ExactlyK, "draw", sloppy)
    assert structure_veit.units_per_draw(54, 23) != [23]


def test_plain_comparator(monkeypatch: pytest.MonkeyPatch) -> None:
    assert structure_veit.plain_widths(6, 4) == [4]
    assert structure_veit.removable_layers(6, 4) == [2, 3, 4, 5, 6]
    widening = build(PlainSpec(layers=3, width=4))
    widening.layers[1][0] = torch.nn.Conv2d(4, 8, 3, padding=1)
    widening.layers[1][1] = torch.nn.BatchNorm2d(8)
    widening.layers[2][0] = torch.nn.Conv2d(8, 4, 3, padding=1)
    monkeypatch.setattr(structure_veit, "_plain", lambda layers, width: widening.eval())
    assert structure_veit.removable_layers() == []
    assert structure_veit.plain_widths() == [4, 8]


def test_highway() -> None:
    assert structure_veit.half_open_gate_gap() <= 1e-12
    assert structure_veit.half_open_gate_gap(order="original") <= 1e-12
    assert structure_veit.half_open_gate_gap(bias=-1.0) > 0.1, "another gate is not proportional"
    assert structure_veit.highway_equation_gap(-2.0) <= 1e-12
    assert structure_veit.initial_gate_biases(-2.0) == [-2.0]
    assert max(structure_veit.transform_gate_means(-4.0)) < min(structure_veit.transform_gate_means(-2.0)) < 0.5


def test_a_gate_on_one_way_only_is_no_highway(monkeypatch: pytest.MonkeyPatch) -> None:
    def shortcut_only(bias: float, order: Order = "preact") -> ResidualNetwork:
        return small_network(UnitSpec(order=order, shortcut="shortcut-gate", gate_bias=bias))

    monkeypatch.setattr(structure_veit, "_gated", shortcut_only)
    assert structure_veit.highway_equation_gap(-2.0) > 1e-2
    assert structure_veit.half_open_gate_gap() > 1e-2
