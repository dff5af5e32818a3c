"""The arithmetic on Huang's published numbers against the same sums written out by hand."""

from __future__ import annotations

import pytest
from scipy.stats import norm

from resbench.experiments import published_huang as published


def test_improvements_and_differences_are_those_of_table_1() -> None:
    pair = ("cifar10.constant", "cifar10.stochastic")
    assert published.difference(*pair) == 1.16
    assert published.relative_improvement(*pair) == pytest.approx(100 * 1.16 / 6.41)
    assert published.difference("imagenet.stochastic", "imagenet.constant") == 0.2


def test_version_1_is_used_only_where_it_differs() -> None:
    pair = ("cifar10-1202.constant", "cifar10-1202.stochastic")
    assert published.relative_improvement(*pair, version="v1") == pytest.approx(100 * (6.72 - 4.91) / 6.72)
    assert published.relative_improvement(*pair) == pytest.approx(100 * (6.67 - 4.91) / 6.67)
    assert published.version_differences(["cifar10.constant", "svhn.constant"]) == [0.0, -0.21]


def test_z_and_p_agree_with_scipy() -> None:
    first, second = "svhn.constant", "svhn.stochastic"
    pooled = (0.0180 + 0.0175) / 2
    z = (0.0180 - 0.0175) / (2 * pooled * (1 - pooled) / 26032) ** 0.5
    assert published.z_score(first, second) == pytest.approx(z)
    assert published.p_value(first, second) == pytest.approx(2 * norm.sf(abs(z)))
    assert published.z_score(second, first) == pytest.approx(-z)


def test_errors_on_test_sets_of_different_size_are_pooled_by_size() -> None:
    pooled = (641 + 0.0180 * 26032) / (10000 + 26032)
    z = (0.0641 - 0.0180) / (pooled * (1 - pooled) * (1 / 10000 + 1 / 26032)) ** 0.5
    assert published.z_score("cifar10.constant", "svhn.constant") == pytest.approx(z)


def test_times_are_read_as_hours_and_minutes() -> None:
    assert published.time_ratio("cifar10") == (15 * 60 + 7) / (20 * 60 + 42)
    assert published.time_savings(["svhn"]) == [pytest.approx(100 * (1 - 1533 / 2023))]


def test_the_heat_map_s_best_p_by_depth() -> None:
    assert published.heatmap_best() == [0.9, 0.9, 0.8, 0.8, 0.7, 0.5]
    assert published.heatmap_differences([20, 110]) == [1.08, -1.16]
    assert published.heatmap_gains("0.9")[0] == [20, 0.71]
    assert [depth for depth, _ in published.heatmap_gains()] == [20, 38, 56, 74, 92, 110]


def test_curves() -> None:
    assert published.curve("linear", "0.4", "0.6") == [5.4, 5.25, 5.42]
    assert published.curve_best("uniform") == 0.8
    assert published.curve_against_heatmap() == 0
    assert published.linear_minus_uniform(["0.7", "0.8"]) == [-0.09, 0.36]
    assert published.linear_against_constant("1") == 0
    assert published.p_lasts_beating_baseline("uniform") == [0.5, 0.6, 0.7, 0.8, 0.9]
    assert published.baseline_crossing("uniform") == pytest.approx(0.4 + 0.1 * 0.14 / 0.41)
    with pytest.raises(KeyError):
        published.linear_minus_uniform(["0.2"])


def test_a_changed_number_in_the_heat_map_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    table = published._heatmap()
    table[110] = {p: error + 1 for p, error in table[110].items()}
    monkeypatch.setattr(published, "_heatmap", lambda: table)
    assert published.curve_against_heatmap() == 1


def test_gradient_bounds_are_low_over_high() -> None:
    assert published.gradient_ratio_bounds() == pytest.approx([0.98 / 0.88, 0.58 / 0.18, 0.31 / 0.03])


def test_recipes() -> None:
    assert published.epochs_of("he-cifar") == 163.84
    assert published.images_seen_ratio("cifar", "he-cifar") == 500 * 45000 / (64000 * 128)
    assert published.drop_fractions("svhn") == [0.6, 0.7]
    assert published.validation_images("svhn") == 6000
    assert published.gain_of_longer_training("constant") == 1.28
    assert published.baseline_spread() == 0.66


def test_an_unknown_network_is_an_error() -> None:
    with pytest.raises(KeyError):
        published.difference("cifar10.constant", "cifar11.constant")
