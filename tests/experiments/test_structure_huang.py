"""The structural quantities of Huang 2016 hold on this package's networks, and notice when these are broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resbench.experiments import structure_draws as draws
from resbench.experiments import structure_huang as structure
from resbench.networks import sampling
from resbench.networks.residual import ResidualNetwork
from resbench.networks.units import ComposedUnit


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    draws._executed.cache_clear()
    yield
    draws._executed.cache_clear()


def changed(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:
    """Replace ``owner.name`` by ``wrap(owner.name)`` for one test."""
    monkeypatch.setattr(owner, name, wrap(getattr(owner, name)))


def test_intact_networks_obey_every_rule() -> None:
    assert structure.update_rule_difference() <= 1e-12
    assert structure.drops_that_change_the_signal().value == 0
    assert structure.least_unit_input() >= 0
    assert structure.mean_against_test_one_unit(0.3) <= 1e-12
    assert structure.mean_against_test_linear_network(5, 0.4) <= 1e-12
    assert structure.mean_against_test_z() <= 3
    assert structure.transition_shortcut_difference() == 0
    assert draws.outputs_in_and_over_minibatches(6) == [1, 6]
    assert draws.branches_not_skipped().value == 0
    assert draws.branch_factor_gap("linear", 0.5) <= 1e-12


@pytest.mark.parametrize(("schedule", "p_last", "depth"), [("linear", 0.5, 40.25), ("uniform", 0.5, 27.0)])
def test_drawn_depth_and_survival(schedule: Any, p_last: float, depth: float) -> None:
    measured = draws.depth_as_drawn(schedule, p_last)
    assert measured.interval is not None
    assert measured.interval[0] < depth < measured.interval[1]
    assert measured.interval[1] - measured.interval[0] < 0.15
    assert sum(measured.samples["draws_of_depth"]) == measured.n == 10_000
    assert draws.survival_outside_interval(schedule, p_last).value == 0
    saved = draws.units_saved(schedule, p_last)
    assert saved.interval is not None
    assert saved.interval[0] < 100 * (1 - depth / 54) < saved.interval[1]


def test_a_schedule_that_is_off_by_one_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def off_by_one(n: int, p_last: float) -> tuple[float, ...]:
        return tuple(1.0 - (unit - 1) / (n - 1) * (1.0 - p_last) for unit in range(1, n + 1))

    monkeypatch.setattr(sampling, "linear_decay", off_by_one)
    outside = draws.survival_outside_interval("linear", 0.5)
    assert isinstance(outside.value, int)
    assert outside.value >= 1
    measured = draws.depth_as_drawn("linear", 0.5)
    assert measured.interval is not None
    assert measured.interval[0] > 40.4
    assert structure.mean_against_test_linear_network() > 1e-6
    assert draws.branch_factor_gap("linear", 0.5) > 1e-3


def test_units_that_never_drop_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, sampling.Survival, "draw", lambda draw: lambda self: torch.ones_like(draw(self)))
    assert draws.survival_outside_interval("linear", 0.5).value == 54
    assert draws.depth_as_drawn("linear", 0.5).value == 54
    assert draws.units_saved("linear", 0.5).value == 0
    assert draws.outputs_in_and_over_minibatches(4) == [1, 1]
    assert structure.mean_against_test_z() > 3


def test_a_network_that_ignores_its_draw_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, ComposedUnit, "forward", lambda forward: lambda self, x, active=None: forward(self, x))
    assert draws.depth_as_drawn("linear", 0.5).value == 54
    assert structure.update_rule_difference() > 1e-3
    wrong = structure.drops_that_change_the_signal().value
    assert isinstance(wrong, int)
    assert wrong > 0
    unskipped = draws.branches_not_skipped().value
    assert isinstance(unskipped, int)
    assert unskipped > 0


def test_multiplying_by_zero_is_not_skipping(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrap(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def multiplied(self: ComposedUnit, x: Tensor, active: Tensor | None = None) -> Tensor:
            if active is not None and len(active) == 0:
                return self.after(self.shortcut(x) + 0.0 * self.branch(x))
            return forward(self, x, active)

        return multiplied

    changed(monkeypatch, ComposedUnit, "forward", wrap)
    assert structure.update_rule_difference() <= 1e-12
    unskipped = draws.branches_not_skipped().value
    assert isinstance(unskipped, int)
    assert unskipped > 0


def test_a_draw_per_image_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrap(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def per_image(self: ResidualNetwork, x: Tensor) -> Tensor:
            return torch.cat([forward(self, image[None]) for image in x])

        return per_image

    changed(monkeypatch, ResidualNetwork, "forward", wrap)
    assert draws.outputs_in_and_over_minibatches(4)[0] > 1


def test_a_stem_without_relu_breaks_the_first_unit_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrap(build: Callable[..., ResidualNetwork]) -> Callable[..., ResidualNetwork]:
        def without_relu(*arguments: Any, **keywords: Any) -> ResidualNetwork:
            network = build(*arguments, **keywords)
            assert isinstance(network.stem, nn.Sequential)
            network.stem[2] = nn.Identity()
            return network

        return without_relu

    changed(monkeypatch, structure, "thin_network", wrap)
    assert structure.least_unit_input() < 0
    measured = structure.drops_that_change_the_signal()
    assert measured.value == 1
    assert "[1]" in measured.detail


def test_missing_test_time_scaling_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ComposedUnit, "scale", property(lambda self: self.branch_scale))
    assert structure.mean_against_test_one_unit() > 0.1
    assert structure.mean_against_test_linear_network() > 1e-3
    assert structure.mean_against_test_z() > 3
    assert draws.branch_factor_gap("linear", 0.5) == pytest.approx(0.5)


def test_scaling_in_training_as_well_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ComposedUnit, "scale", property(lambda self: self.branch_scale * self.test_scale))
    assert structure.update_rule_difference() > 1e-3


def test_architecture_is_the_paper_s() -> None:
    assert structure.unit_table() == [18, 16, 32, 18, 32, 16, 18, 64, 8]
    assert structure.branch_layers() == ["conv", "bn", "relu", "conv", "bn"]
    assert structure.weight_layers("cifar-110") == 110
    assert structure.weight_layers("imagenet-152") == 152
    with pytest.raises(ValueError, match="whole number"):
        structure.weight_layers("cifar-111")


def test_subsampling_instead_of_pooling_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from resbench.networks.units import ZeroPadShortcut

    def wrap(init: Callable[..., None]) -> Callable[..., None]:
        def strided(self: ZeroPadShortcut, *sizes: int, pool: bool, copies: int) -> None:
            init(self, *sizes, pool=False, copies=copies)

        return strided

    changed(monkeypatch, ZeroPadShortcut, "__init__", wrap)
    assert structure.transition_shortcut_difference() > 0.1


def test_flops_and_learning_rates() -> None:
    # The last units cost what the first ones do, so the share is that of the units, less stem and classifier.
    assert draws.flop_saving("uniform", 0.5) == pytest.approx(50, abs=0.2)
    assert draws.flop_saving("linear", 1.0) == 0
    rates = draws.step_learning_rates(300, [0, 149, 150, 224, 225])
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])


def test_fewer_units_carry_less_gradient_at_initialisation() -> None:
    assert all(0 < ratio < 1 for ratio in draws.initial_gradient_ratios(4))
    none, half, full = draws.initial_gradient_by_units([0, 27, 54], 2)
    assert none < half < full == pytest.approx(1)
