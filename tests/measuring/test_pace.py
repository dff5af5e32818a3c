"""Multiply-adds by the formula, paces scaled by them, and the file of paces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from resbench.errors import UserError
from resbench.measuring.pace import Pace, probed, read_pace
from resbench.measuring.work import estimate, passes, step_work, training_steps
from resbench.networks.residual import NetworkSpec, PlainSpec, build
from resbench.networks.units import UnitSpec
from resbench.training.recipes import Recipe

SMALL = NetworkSpec(units=(1, 1), widths=(4, 8))


def counted(recipe: Recipe) -> int:
    """Multiply-adds of the convolutions in a pass of one image."""
    network = build(recipe.network).eval()
    total = [0]

    def count(module: nn.Module, _: Any, output: torch.Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        total[0] += module.weight.numel() * output.shape[2] * output.shape[3]

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, recipe.network.inputs, 32, 32))
    return total[0]


@pytest.mark.parametrize(
    "unit",
    [
        UnitSpec(),
        UnitSpec(order="original", body="bottleneck", down="projection"),
        UnitSpec(order="preact", body="bottleneck", down="projection"),
        UnitSpec(order="original", shortcut="shortcut-gate", down="stride"),
        UnitSpec(order="original", shortcut="conv1x1"),
        UnitSpec(body="single"),
    ],
)
def test_multiply_adds_of_residual_networks(unit: UnitSpec) -> None:
    recipe = Recipe(residual=NetworkSpec(units=(2, 2, 1), widths=(4, 8, 8), unit=unit), batch=1)
    assert step_work(recipe) == counted(recipe)


def test_multiply_adds_of_plain_networks_and_batches() -> None:
    plain = PlainSpec(layers=4, width=4, pools=(2,))
    assert step_work(Recipe(plain=plain, batch=10)) == 10 * counted(Recipe(plain=plain))


def test_dropped_units_count_by_their_share() -> None:
    whole = Recipe(residual=NetworkSpec(units=(10,), widths=(4,)), batch=1)
    half = Recipe(residual=NetworkSpec(units=(10,), widths=(4,)), batch=1, sampling="uniform", sampling_value=0.5)
    stem = 9 * 3 * 4 * 32 * 32
    assert step_work(half) - stem == pytest.approx(0.5 * (step_work(whole) - stem))


def test_steps_of_the_papers() -> None:
    assert training_steps(Recipe(residual=SMALL, iterations=64_000)) == 64_000
    assert training_steps(Recipe(residual=SMALL, epochs=500, batch=128, validation=5000)) == 500 * 351


def test_estimates() -> None:
    recipe = Recipe(residual=SMALL, iterations=100, batch=10)
    assert estimate(recipe, (), 3.0) == 300.0
    image = 3.0 / 3 / 10
    assert estimate(recipe, ("evaluation", "training_curves"), 3.0, trained=True) == pytest.approx(60_000 * image)
    assert estimate(recipe, ("single_deletion",), 3.0, trained=True) == pytest.approx(20_000 * image)  # two units
    assert passes("single_deletion", 30, 10) == 30 * 6
    assert passes("reordering", 30, 10) == 160 * 10


def test_a_pace_is_the_networks_own_or_the_nearest_ones_scaled() -> None:
    pace = Pace().noted("gpu", "small", 1.0, 10.0).noted("gpu", "large", 8.0, 100.0).noted("cpu", "small", 9.0, 10.0)
    assert pace.step_seconds("gpu", "small", 10.0) == 1.0
    assert pace.step_seconds("gpu", "other", 200.0) == 16.0
    assert pace.step_seconds("gpu", "other", 11.0) == pytest.approx(1.1)
    assert pace.step_seconds("gpu", "large", 50.0) == 4.0, "its recipe has changed"
    assert pace.step_seconds("tpu", "small", 10.0) is None


def test_the_file_of_paces(tmp_path: Path) -> None:
    path = tmp_path / "pace.json"
    assert read_pace(path) == Pace()
    assert Pace().last is None
    pace = Pace().noted("gpu", "small", 1.23456, 10.0)
    pace.write(path)
    assert read_pace(path) == pace
    assert (read_pace(path).last, pace.step_seconds("gpu", "small", 10.0)) == ("gpu", 1.23)
    path.write_text("{}}")
    with pytest.raises(UserError, match="not a record of paces"):
        read_pace(path)


def test_a_probe_runs_and_leaves_the_generator_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    assert probed(Recipe(residual=SMALL, batch=4), "cpu") > 0
    assert torch.equal(torch.get_rng_state(), before)
