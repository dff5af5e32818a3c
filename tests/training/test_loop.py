"""The training loop: independence of copies, determinism, test protocol, schedules."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from resbench.data.digits import Dataset
from resbench.networks.residual import NetworkSpec, PlainSpec, ResidualNetwork, build
from resbench.networks.units import UnitSpec
from resbench.training.loop import (
    Copy,
    make_sampler,
    prepare_for_test,
    reestimate_statistics,
    train,
)
from resbench.training.recipes import Recipe, load_recipes
from resbench.training.trainer import copy_losses

SMALL = Recipe(residual=NetworkSpec(units=(1, 1, 1), widths=(4, 8, 16), inputs=1), epochs=1)


def test_training_learns_the_digits(data: Dataset) -> None:
    recipe = Recipe(residual=NetworkSpec(units=(1, 1, 1), widths=(8, 16, 32), inputs=1), epochs=6)
    (trained,) = train(recipe, data, [Copy(0, 0)])
    network = build(recipe.network)
    network.load_state_dict(trained.state)
    network.eval()
    images, labels = data.test(0)
    with torch.no_grad():
        error = (network(images).argmax(1) != labels).float().mean().item()
    assert error < 0.1
    assert trained.curves.loss[-1] < trained.curves.loss[0] / 3
    assert trained.curves.depth == (3.0,) * 6


def test_one_seed_gives_one_network(data: Dataset) -> None:
    (first,), (second,) = train(SMALL, data, [Copy(3, 1)]), train(SMALL, data, [Copy(3, 1)])
    (other,) = train(SMALL, data, [Copy(4, 1)])
    assert all(torch.equal(first.state[key], second.state[key]) for key in first.state)
    assert not torch.equal(first.state["stem.0.weight"], other.state["stem.0.weight"])


@pytest.mark.parametrize("sampling", ["all", "linear", "exactly"])
def test_a_copy_trains_as_it_would_alone(data: Dataset, sampling: str, request: pytest.FixtureRequest) -> None:
    """Beside others, a copy sees the same images, shifts and draws; only the order of float additions differs.

    In double precision, because training amplifies rounding.
    """
    torch.set_default_dtype(torch.float64)
    request.addfinalizer(lambda: torch.set_default_dtype(torch.float32))
    data = dataclasses.replace(data, images=data.images.double())
    recipe = Recipe(
        residual=NetworkSpec(units=(1, 1, 1), widths=(4, 8, 16), unit=UnitSpec(order="original"), inputs=1),
        epochs=1,
        lr=0.01,
        sampling=sampling,  # type: ignore[arg-type]
        sampling_value={"all": 1.0, "linear": 0.5, "exactly": 2.0}[sampling],
        reestimate=sampling != "all",
    )
    (alone,) = train(recipe, data, [Copy(1, 0)])
    together = train(recipe, data, [Copy(0, 1), Copy(1, 0), Copy(2, 0)])[1]
    assert together.curves.depth == alone.curves.depth
    assert together.curves.loss == pytest.approx(alone.curves.loss, rel=1e-9)
    for key, value in alone.state.items():
        torch.testing.assert_close(together.state[key], value, rtol=1e-7, atol=1e-9, msg=key)


def test_exactly_k_units_are_used_in_every_pass(data: Dataset) -> None:
    recipe = Recipe(
        residual=NetworkSpec(units=(2, 2, 2), widths=(4, 8, 16), inputs=1),
        epochs=1,
        sampling="exactly",
        sampling_value=2,
        reestimate=True,
    )
    assert train(recipe, data, [Copy(0, 0)])[0].curves.depth == (2.0,)


def test_divergence_is_a_result(data: Dataset) -> None:
    recipe = Recipe(plain=PlainSpec(layers=3, width=4, pools=(), inputs=1), epochs=1, lr=1e12)
    (trained,) = train(recipe, data, [Copy(0, 0)])
    assert math.isnan(trained.curves.loss[-1]) or trained.curves.loss[-1] > 100


def test_reestimated_statistics_are_those_of_the_tested_network(data: Dataset) -> None:
    network = ResidualNetwork(NetworkSpec(units=(1, 1), widths=(4, 8), inputs=1)).double().eval()
    images = data.images[:256].double()
    for unit in network.residual_units():
        unit.test_scale = 0.5
    reestimate_statistics(network, images)
    seen: list[torch.Tensor] = []
    norm = network.head_activation[0]  # type: ignore[index]
    norm.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with torch.no_grad():
        network(images)
    # Not exact: while statistics are taken, layers above normalise by the biased variance.
    torch.testing.assert_close(norm.running_mean, seen[0].mean((0, 2, 3)), rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(norm.running_var, seen[0].var((0, 2, 3)), rtol=1e-2, atol=1e-3)
    assert not any(module.training for module in network.modules())


def test_test_scaling_is_the_inclusion_probability() -> None:
    recipe = Recipe(
        residual=NetworkSpec(units=(2, 2), widths=(4, 8), inputs=1),
        sampling="linear",
        sampling_value=0.5,
        test_scaling=True,
    )
    network = ResidualNetwork(NetworkSpec(units=(2, 2), widths=(4, 8), inputs=1))
    network.sampler = make_sampler(recipe, 4, [0])
    prepare_for_test(network, recipe, torch.zeros(1, 1, 8, 8))
    assert [unit.test_scale for unit in network.residual_units()] == [0.875, 0.75, 0.625, 0.5]
    assert [unit.scale for unit in network.residual_units()] == [0.875, 0.75, 0.625, 0.5]
    network.train()
    assert [unit.scale for unit in network.residual_units()] == [1.0] * 4


def test_losses_are_separate_for_copies() -> None:
    logits, labels = torch.randn(6, 2, 10), torch.randint(0, 10, (6, 2))
    expected = [torch.nn.functional.cross_entropy(logits[:, copy], labels[:, copy]) for copy in range(2)]
    torch.testing.assert_close(copy_losses(logits, labels), torch.stack(expected))


def test_the_halves_share_no_image_and_every_class_alike(data: Dataset) -> None:
    assert len(data.labels) == 1797
    counts = [torch.bincount(data.train(half)[1], minlength=10) for half in (0, 1)]
    assert (counts[0] - counts[1]).abs().max() <= 1
    assert {len(data.train(0)[1]), len(data.train(1)[1])} == {898, 899}
    assert torch.equal(data.test(0)[0], data.train(1)[0])


def test_recipes_of_the_papers_topology() -> None:
    recipes = load_recipes("digits")
    for name in ("preact-54", "preact-54-23of54", "post-54", "post-54-stochastic", "original", "dropout"):
        spec = recipes[name].network
        assert isinstance(spec, NetworkSpec)
        assert spec.units == (18, 18, 18), "ResNet-110: 54 two-layer units"
    assert recipes["preact-54-23of54"].sampling_value == 23
    assert len({recipe.fingerprint for recipe in recipes.values()}) == len(recipes)
