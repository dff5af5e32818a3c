"""Quantities on small raw results whose answers are worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from resbench.errors import NotMeasured
from resbench.experiments import accuracy, curves, exact_paths, lesions, paths, speed
from resbench.experiments.reading import requests_of
from resbench.experiments.resampling import REPLICATES, image_weights, pooled_errors, resampled_draws
from resbench.records.results import Request


def wrong(*counts: int, images: int = 100) -> np.ndarray[Any, Any]:
    """Rows of booleans, the first ``count`` of ``images`` of each true."""
    return np.stack([np.arange(images) < count for count in counts])


def single(*errors: int, ordinary: str, changes: str = "") -> dict[str, Any]:
    """Row 0 of ``errors`` is the whole network; ``ordinary`` and ``changes`` mark the units by 1 and 0."""
    return {
        "wrong": wrong(*errors),
        "deletable": np.ones(len(ordinary), dtype=bool),
        "ordinary": np.array([mark == "1" for mark in ordinary]),
        "changes_shape": np.array([mark == "1" for mark in changes or "0" * len(ordinary)]),
    }


# unit 1 first and fatal (+85), units 2 and 3 ordinary (+0, +2), unit 4 downsampling (+10), unit 5 ordinary (+5)
SWEEP = (single(5, 90, 5, 7, 15, 10, ordinary="01101", changes="00010"),)


def test_single_deletion_statistics() -> None:
    assert lesions.ordinary_median_increase(SWEEP, network="n").value == pytest.approx(2.0)
    assert lesions.ordinary_mean_increase(SWEEP, network="n").value == pytest.approx(7 / 3)
    assert lesions.ordinary_share_within(SWEEP, network="n", points=2.0).value == pytest.approx(200 / 3)
    assert lesions.downsampling_increase(SWEEP, network="n").value == pytest.approx([10.0])
    assert lesions.first_unit_rank(SWEEP, network="n").value == 1.0


def test_rank_of_the_first_unit_counts_the_worse_ones() -> None:
    sweep = (single(5, 20, 90, 30, ordinary="011"),)
    assert lesions.first_unit_rank(sweep, network="n").value == 3.0


def test_members_are_pooled_by_images() -> None:
    halves = ({"wrong": wrong(10, images=100)}, {"wrong": wrong(30, images=300)})
    assert pooled_errors(halves)[0].tolist() == pytest.approx([10.0])


def test_interior_layers_leave_out_the_first_and_the_last() -> None:
    plain = (single(5, 100, 80, 90, 70, ordinary="0111"),)
    assert lesions.interior_layer_errors(plain, network="n").value == pytest.approx([80.0, 90.0])
    table = lesions.plain_against_residual(plain, SWEEP, plain="p", residual="r").value
    assert table == pytest.approx({"plain smallest increase": 75.0, "residual median increase": 2.0})
    assert lesions.interior_layer_median(plain, network="n").value == pytest.approx(85.0)


def test_of_a_users_plain_network_every_deletable_layer_counts() -> None:
    """Its first layer is not among them: the layers are chosen by name."""
    names = {"names": np.array(["a", "b", "c", "d"]), "units": np.arange(4), "left_out": np.array(0)}
    plain = ({**single(5, 60, 80, 90, 70, ordinary="0111"), **names},)
    assert lesions.interior_layer_errors(plain, network="n").value == pytest.approx([60.0, 80.0, 90.0, 70.0])
    table = lesions.plain_against_residual(plain, SWEEP, plain="p", residual="r").value
    assert table == pytest.approx({"plain smallest increase": 55.0, "residual median increase": 2.0})
    median = lesions.interior_layer_median(plain, network="n")
    assert median.value == pytest.approx(75.0)
    assert median.detail == "the mildest layer leaves 60.0 %"


def test_the_mildest_downsampling_unit_beside_the_ordinary_median() -> None:
    sweep = (single(5, 90, 5, 7, 15, 10, 25, ordinary="011010", changes="000101"),)
    table = lesions.downsampling_against_ordinary(sweep, network="n").value
    assert table == pytest.approx({"ordinary median": 2.0, "least downsampling": 10.0})
    with pytest.raises(NotMeasured, match="changes the shape"):
        lesions.downsampling_against_ordinary((single(5, 7, 9, ordinary="01"),), network="n")


def test_replicates_are_paired_between_lesions() -> None:
    """Two lesions that hit the same images differ by nothing on any resample."""
    sweep = (single(5, 40, 7, 7, ordinary="011"),)
    replicates = lesions.increase_by_depth([sweep, sweep], networks=["a", "b"]).replicates
    assert replicates is not None
    assert all(row[0] == row[1] for row in replicates)


def test_error_by_deletions_takes_medians_within_k() -> None:
    result = ({"k": np.array([1, 1, 1, 2, 2, 2]), "wrong": wrong(10, 12, 50, 20, 60, 30)},)
    assert lesions.error_by_deletions(result, network="n").value == [[1, pytest.approx(12)], [2, pytest.approx(30)]]
    assert lesions.error_after_deletions(result, network="n", k=2).value == pytest.approx(30.0)
    assert lesions.largest_step(result, network="n").value == pytest.approx(1.0)


def test_stochastic_against_constant() -> None:
    other = (single(5, 10, 6, 8, 6, 6, ordinary="01101"),)
    arguments = {"stochastic": "s", "constant": "c"}
    median = lesions.stochastic_against_constant(other, SWEEP, **arguments)
    assert median.value == pytest.approx({"stochastic": 1.0, "constant": 2.0})
    mean = lesions.stochastic_against_constant(other, SWEEP, **arguments, statistic="mean")
    assert mean.value == pytest.approx({"stochastic": 5 / 3, "constant": 7 / 3})
    everything = lesions.stochastic_against_constant(other, SWEEP, **arguments, statistic="all")
    assert everything.value == pytest.approx({"stochastic": 11 / 5, "constant": 102 / 5})
    firsts = lesions.firsts_against_constant(other, SWEEP, **arguments)
    assert firsts.value == pytest.approx({"stochastic": 3.0, "constant": 47.5})


def test_duplications_are_compared_with_as_many_deletions() -> None:
    duplicated = ({"k": np.array([1, 1, 2, 2]), "wrong": wrong(10, 14, 20, 24)},)
    deleted = ({"k": np.array([1, 2, 3]), "wrong": wrong(30, 50, 90)},)
    table = lesions.duplication_against_deletion(duplicated, deleted, network="n").value
    assert table == pytest.approx({"duplicated": 17.0, "deleted": 40.0})


def test_largest_step_is_a_share_of_the_range() -> None:
    result = ({"k": np.array([1, 2, 3]), "wrong": wrong(10, 20, 50)},)
    assert lesions.largest_step(result, network="n").value == pytest.approx(0.75)


def test_error_by_tau_keeps_each_order_with_its_error() -> None:
    result = ({"swaps": np.array([1, 2]), "tau": np.array([0.9, 0.8]), "wrong": wrong(10, 40)},)
    measurement = lesions.error_by_tau(result, network="n")
    assert measurement.value == [[0.9, pytest.approx(10)], [0.8, pytest.approx(40)]]
    assert measurement.replicates is not None
    for replicate in measurement.replicates:
        assert [pair[0] for pair in replicate] == [0.9, 0.8], "a draw is redrawn among those of its own group"


def test_redrawing_stays_within_groups() -> None:
    rows = resampled_draws([1, 2, 1, 2, 2])
    assert rows.shape == (1 + REPLICATES, 5)
    assert rows[0].tolist() == [0, 1, 2, 3, 4]
    assert set(rows[:, [0, 2]].flat) == {0, 2}
    assert set(rows[:, [1, 3, 4]].flat) == {1, 3, 4}


def test_image_weights_are_multinomial_and_reproducible() -> None:
    weights = image_weights(50, 0)
    assert (weights.sum(1) == 50).all()
    assert (weights[0] == 1).all()
    assert (image_weights(50, 0) == weights).all()
    assert not (image_weights(50, 1)[1:] == weights[1:]).all()
    assert weights[1:].var() == pytest.approx(1 - 1 / 50, rel=0.05)


def test_bootstrap_spread_is_the_binomial_one() -> None:
    measurement = lesions.ordinary_median_increase((single(0, 30, 30, ordinary="01"),), network="n")
    assert measurement.replicates is not None
    assert np.std(measurement.replicates) == pytest.approx(100 * math.sqrt(0.3 * 0.7 / 100), rel=0.1)


def spectrum(rate: float, n: int = 20, paths: int = 4) -> tuple[dict[str, Any]]:
    return ({"norms": np.repeat(rate ** np.arange(n + 1)[:, None, None], paths, axis=2)},)


def test_exponential_paths_give_the_binomial_closed_form() -> None:
    """If a path of length k carries r^k, the gradient is Binomial(n, r / (1 + r)) over lengths."""
    result, rate, n = spectrum(0.25), 0.25, 20
    p = rate / (1 + rate)
    assert paths.decay_rate(result, network="n").value == pytest.approx(rate)
    assert paths.decay_fit(result, network="n").value == pytest.approx(1.0)
    assert paths.mean_length(result, network="n").value == pytest.approx(n * p)
    share = sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(2, 8))
    assert paths.effective_share(result, network="n", low=2, high=7).value == pytest.approx(100 * share)
    over = sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(8, 21))
    assert paths.share_over(result, network="n", length=7).value == pytest.approx(100 * over)
    from scipy.stats import binom

    assert paths.effective_range(result, network="n").value == [binom.ppf(0.025, n, p), binom.ppf(0.975, n, p)]


def test_lengths_that_underflow_are_cut() -> None:
    norms = np.repeat(0.25 ** np.arange(21)[:, None, None], 4, axis=2)
    norms[15:] = 0.0
    assert paths.decay_rate(({"norms": norms},), network="n").value == pytest.approx(0.25)


def test_lengths_of_one_group_of_images_vary_together() -> None:
    """Groups whose gradients differ by a common factor leave the rate certain; its own paths by themselves do not."""
    sizes = np.exp(np.random.default_rng(0).normal(size=64))
    rates = 0.25 ** np.arange(11)[:, None]
    grouped, alone = ({"norms": (rates * sizes)[:, :, None]},), ({"norms": (rates * sizes)[:, None]},)
    certain, spread = (paths.decay_rate(result, network="n") for result in (grouped, alone))
    assert certain.value == pytest.approx(0.25)
    assert np.ptp(certain.replicates or []) < 1e-9 < 1e-3 < np.ptp(spread.replicates or [])
    assert (certain.method, spread.method) == (
        "bootstrap over groups of images, each with its own paths",
        "bootstrap over paths",
    )


def test_the_exact_spectrum_of_exponential_lengths_is_binomial() -> None:
    n, rate = 12, 0.5
    carried = [math.log(math.comb(n, k)) + k * math.log(rate) for k in range(n + 1)]
    sizes = np.random.default_rng(0).normal(size=40)
    result = ({"log_norms": np.array(carried)[:, None] + sizes},)
    measured = exact_paths.mean_length(result, network="n")
    assert measured.value == pytest.approx(n * rate / (1 + rate))
    assert measured.n == 40
    decay = exact_paths.decay_rate(result, network="n")
    assert decay.value == pytest.approx(rate)
    assert decay.interval == pytest.approx((rate, rate))
    with pytest.raises(NotMeasured, match="fewer than two lengths"):
        exact_paths.decay_rate(({"log_norms": np.array([[0.0, 0.0], [-np.inf, -np.inf]])},), network="n")


def test_accuracy() -> None:
    result = ({"wrong": wrong(10), "training_loss": np.full((1, 10), 0.5)},)
    other = ({"wrong": wrong(4), "training_loss": np.full((1, 10), 0.1)},)
    measured = accuracy.test_error(result, network="n")
    assert measured.value == pytest.approx(10.0)
    assert measured.interval == pytest.approx((5.5229, 17.4367), abs=1e-3)  # Wilson, 10 of 100
    assert accuracy.error_difference(result, other, first="a", second="b").value == pytest.approx(6.0)
    assert accuracy.training_losses([result, other], networks=["a", "b"]).value == pytest.approx({"a": 0.5, "b": 0.1})
    assert accuracy.test_errors([result, other], networks=["a", "b"]).value == pytest.approx({"a": 10.0, "b": 4.0})


def test_curves() -> None:
    stochastic = ({"depth": np.array([40.0, 41.0]), "stem_gradient": np.array([1.0, 4.0]), "loss": np.array([2, 0.5])},)
    constant = ({"depth": np.array([54.0, 54.0]), "stem_gradient": np.array([1.0, 2.0]), "loss": np.array([1, 0.1])},)
    assert curves.mean_depth(stochastic, network="n").value == pytest.approx(40.5)
    ratio = curves.gradient_ratio(stochastic, constant, stochastic="s", constant="c")
    assert ratio.value == pytest.approx(2.0), "the last half of training only"
    losses = curves.loss_after([stochastic, constant], networks=["s", "c"], epoch=2)
    assert losses.value == {"s": 0.5, "c": 0.1}


def test_the_curve_of_a_diverged_training_ends() -> None:
    """Its epoch is named; what was before it can be read."""
    fine = ({"loss": np.array([2.0, 0.5, 0.2]), "stem_gradient": np.ones(3)},)
    diverged = ({"loss": np.array([2.0, np.nan]), "stem_gradient": np.array([1.0, np.nan])},)
    assert curves.loss_after([fine, diverged], networks=["a", "b"], epoch=1).value == {"a": 2.0, "b": 2.0}
    with pytest.raises(ValueError, match="training of b diverged in epoch 2"):
        curves.loss_after([fine, diverged], networks=["a", "b"], epoch=3)
    with pytest.raises(ValueError, match="training of b diverged in epoch 2"):
        curves.gradient_ratio(fine, diverged, stochastic="a", constant="b")


def test_time_ratio_is_not_judged_where_noise_straddles_a_bound() -> None:
    steady = ({"stochastic": np.full(20, 0.75), "constant": np.full(20, 1.0)},)
    assert speed.stochastic_time_ratio(steady, network="n", low=0.6, high=0.9).value == pytest.approx(0.75)
    noisy = ({"stochastic": np.linspace(0.1, 1.6, 20), "constant": np.full(20, 1.0)},)
    with pytest.raises(NotMeasured, match="too noisy"):
        speed.stochastic_time_ratio(noisy, network="n", low=0.6, high=0.9)


def test_requests_follow_the_parameters() -> None:
    assert requests_of(lesions.duplication_against_deletion, {"network": "n"}) == [
        Request("duplication", "n"),
        Request("multiple_deletion", "n"),
    ]
    assert requests_of(lesions.increase_by_depth, {"networks": ["a", "b"]}) == [
        [Request("single_deletion", "a"), Request("single_deletion", "b")]
    ]
    assert requests_of(len, {}) == []
