"""The length of training and its learning rates, against the papers by hand."""

from __future__ import annotations

import math

import pytest

from resbench.networks.residual import NetworkSpec
from resbench.training.recipes import Recipe, load_recipes
from resbench.training.schedules import learning_rate, steps_per_epoch, total_steps

CIFAR, SHORT = load_recipes("cifar10"), load_recipes("cifar10-short")


def test_he_counts_iterations() -> None:
    recipe = CIFAR["resnet110"]
    assert total_steps(recipe, 50_000) == 64_000
    steps = (0, 399, 400, 31_999, 32_000, 47_999, 48_000, 63_999)
    expected = (0.01, 0.01, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001)
    assert [learning_rate(recipe, step, 50_000) for step in steps] == pytest.approx(expected)
    assert learning_rate(CIFAR["resnet56"], 0, 50_000) == 0.1


def test_veit_drops_from_epochs_81_and_122_on() -> None:
    recipe = CIFAR["resnet110-preact"]
    assert steps_per_epoch(recipe, 50_000) == 390, "390 mini-batches of 128; 80 images are left out"
    assert total_steps(recipe, 50_000) == 164 * 390
    # The first step of epoch e, counted from 1, and the one before it.
    steps = (0, 80 * 390 - 1, 80 * 390, 121 * 390 - 1, 121 * 390, 164 * 390 - 1)
    expected = (0.1, 0.1, 0.01, 0.01, 0.001, 0.001)
    assert [learning_rate(recipe, step, 50_000) for step in steps] == pytest.approx(expected)


def test_huang_counts_epochs_of_the_images_that_are_not_held_out() -> None:
    recipe = CIFAR["resnet1202-stochastic"]
    assert steps_per_epoch(recipe, 45_000) == 351
    assert total_steps(recipe, 45_000) == 300 * 351
    assert total_steps(CIFAR["resnet110-stochastic"], 45_000) == 500 * 351
    steps = (0, 10 * 351 - 1, 10 * 351, 149 * 351 - 1, 149 * 351, 224 * 351 - 1, 224 * 351)
    expected = (0.01, 0.01, 0.1, 0.1, 0.01, 0.01, 0.001)
    assert [learning_rate(recipe, step, 45_000) for step in steps] == pytest.approx(expected)


def test_short_recipes_are_eight_epochs_of_one_cycle() -> None:
    recipe = SHORT["resnet110"]
    steps = total_steps(recipe, 50_000)
    assert steps == 8 * 390
    rates = [learning_rate(recipe, step, 50_000) for step in range(steps)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == rates[936] == pytest.approx(0.1)
    assert rates[-1] < 1e-6


@pytest.mark.parametrize("name", ["preact-54", "vgg-15", "preact-54-23of54", "original", "post-108"])
def test_the_digits_keep_the_learning_rates_of_the_recorded_networks(name: str) -> None:
    recipe, images = load_recipes("digits")[name], 898
    steps = total_steps(recipe, images)
    assert steps == recipe.epochs * 14
    for step in range(steps):
        done = step / steps
        rise = 0.1 * (0.1 + 0.9 * done / 0.3)
        fall = 0.1 * 0.5 * (1.0 + math.cos(math.pi * (done - 0.3) / 0.7))
        assert learning_rate(recipe, step, images) == (rise if done < 0.3 else fall)


def test_one_cycle_peaks_at_three_tenths() -> None:
    recipe = Recipe(residual=NetworkSpec(), epochs=1000, batch=10)
    cycle = [learning_rate(recipe, step, 10) for step in range(1000)]
    assert cycle[0] == pytest.approx(0.01)
    assert max(cycle) == pytest.approx(0.1)
    assert cycle.index(max(cycle)) == 300
    assert cycle[-1] < 1e-5


def test_two_drops_at_a_half_and_three_quarters() -> None:
    recipe = Recipe(residual=NetworkSpec(), epochs=8, batch=10, schedule="steps")
    expected = [0.1] * 4 + [0.01] * 2 + [0.001] * 2
    assert [learning_rate(recipe, step, 19) for step in range(8)] == pytest.approx(expected)


def test_too_few_images_for_a_mini_batch() -> None:
    with pytest.raises(ValueError, match="127 training images do not fill one mini-batch of 128"):
        total_steps(CIFAR["resnet110-preact"], 127)
