"""Sampling path gradients until the shares are known, and what both procedures come to."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from resbench.errors import NotMeasured
from resbench.experiments import path_sampling
from resbench.experiments.linearised import Linearised, linearised
from resbench.experiments.path_gradients import path_norms
from resbench.experiments.path_sampling import SampledLength, sample_adaptively
from resbench.experiments.path_summary import LengthRows, over_images, over_paths, shares_of_images
from resbench.experiments.resampling import REPLICATES
from resbench.experiments.structure_he import images, small_network
from resbench.networks.units import UnitSpec

N = 9


@pytest.fixture(scope="module")
def full() -> Linearised:
    network = small_network(UnitSpec(), units=(3, 3, 3))
    return linearised(network, images(), torch.arange(len(images())))


@pytest.fixture(scope="module")
def means(full: Linearised) -> list[float]:
    """The mean norm of every path of each length: all 512 of them."""
    paths = torch.cartesian_prod(*[torch.tensor([False, True])] * N)
    norms = path_norms(full, paths)
    return [float(norms[paths.sum(1) == length].mean()) for length in range(N + 1)]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_lengths_of_few_paths_are_enumerated(full: Linearised, means: list[float]) -> None:
    found = sample_adaptively(full, seeded(), first=9, most=9)
    assert [one.every for one in found] == [True, True, *[False] * 6, True, True]
    assert [len(one.norms) for one in found] == [1, 9, *[9] * 6, 9, 1]
    for one, mean in zip(found, means, strict=True):
        assert one.length == found.index(one)
        assert one.standard_error == 0 if one.every else one.standard_error > 0
        assert one.mean == pytest.approx(mean, rel=1e-12 if one.every else 0.5)


def test_the_precision_asked_for_is_reached(full: Linearised, means: list[float]) -> None:
    found = sample_adaptively(full, seeded(), precision=0.005, most=5000)
    sizes = [len(one.norms) for one in found]
    assert max(sizes) > 20
    carried = np.array([math.comb(N, k) * mean for k, mean in enumerate(means)])
    for one, mean, share in zip(found, means, carried / carried.sum(), strict=True):
        relative = one.standard_error / mean
        assert share * (1 - share) * relative <= 0.006
        assert abs(one.mean - mean) <= 5 * one.standard_error + 1e-12 * mean
    # What carries little gets few paths.
    assert sizes[2] < max(sizes)


def test_sampling_ends_where_it_must(full: Linearised) -> None:
    sizes = [len(one.norms) for one in sample_adaptively(full, seeded(), precision=1e-9, most=20)]
    assert sizes == [1, 20, 20, 20, 20, 20, 20, 20, 20, 1]
    assert max(len(one.norms) for one in sample_adaptively(full, seeded(), precision=0.9)) == 8


def test_the_standard_error_is_that_of_repeated_samples(full: Linearised) -> None:
    drawn = [sample_adaptively(full, seeded(seed), first=16, most=16)[4] for seed in range(40)]
    spread = float(np.std([one.mean for one in drawn], ddof=1))
    stated = float(np.mean([one.standard_error for one in drawn]))
    # 40 repetitions tell a standard deviation to 11 %.
    assert stated == pytest.approx(spread, rel=0.5)


def test_a_gradient_of_zero_needs_no_more_paths(full: Linearised, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path_sampling, "_norms", lambda _full, drawn, _ranks: [np.zeros(len(paths)) for paths in drawn])
    assert all(one.mean == 0 for one in sample_adaptively(full, seeded()))


@pytest.mark.parametrize("options", [{"first": 1}, {"first": 8, "most": 7}, {"precision": 0.0}])
def test_bad_sampling(full: Linearised, options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="positive precision"):
        sample_adaptively(full, seeded(), **options)


def geometric(r: float, n: int = 20) -> np.ndarray:
    return np.array([math.log(math.comb(n, k)) + k * math.log(r) for k in range(n + 1)])


def test_an_exponential_decay_is_found() -> None:
    rows = LengthRows(20, np.tile(geometric(0.3), (3, 1)))
    decay = rows.decay()
    assert decay.r == pytest.approx(0.3)
    assert decay.interval == pytest.approx((0.3, 0.3))
    assert decay.r_squared == pytest.approx(1.0)
    # Binomial(20, r / (1 + r)).
    assert rows.mean_lengths() == pytest.approx(20 * 0.3 / 1.3)
    assert rows.shares.sum(1) == pytest.approx(1.0)
    assert LengthRows(20, geometric(1.0)[None]).decay().r == pytest.approx(1.0)


def test_the_decay_counts_lengths_by_what_they_carry() -> None:
    bent = geometric(0.1)
    bent[10:] += 5.0  # the long paths, which carry a ten-thousandth
    assert LengthRows(20, bent[None]).decay().r == pytest.approx(0.1, rel=0.02)


def test_the_decay_ends_where_the_gradient_is_zero() -> None:
    cut = geometric(0.3)
    cut[5:] = -math.inf
    assert LengthRows(20, cut[None]).decay().r == pytest.approx(0.3)
    cut[1:] = -math.inf
    decay = LengthRows(20, cut[None]).decay()
    assert (decay.r, decay.interval, decay.r_squared) == (None, None, None)


def test_norms_of_the_mean_loss_from_those_of_the_images() -> None:
    generator = np.random.default_rng(0)
    gradients = generator.normal(size=(4, 5, 7))  # lengths, images, entries
    log_norms = np.log(np.linalg.norm(gradients, axis=2))
    rows = over_images(log_norms, 3, longer=False)
    # Each image's gradient stands in its own place.
    expected = np.linalg.norm(gradients.reshape(4, -1) / 5, axis=1)
    assert np.exp(rows.logs[0]) == pytest.approx(expected)
    assert rows.logs.shape == (1001, 4)
    assert all(error is not None and error > 0 for error in rows.standard_errors(np.exp(rows.logs)))
    assert over_images(log_norms[:, :1], 3, longer=False).standard_errors(np.zeros((1, 4))) == [None] * 4


def test_longer_paths_share_in_the_gradient() -> None:
    rows = over_images(np.log(np.array([[1.0, 1.0], [2.0, 2.0], [5.0, 5.0]])), 9, longer=True)
    assert rows.logs.shape == (1001, 2)
    assert rows.shares[0] == pytest.approx([1 / 8, 2 / 8, 5 / 8])
    assert rows.ranges(0.9)[0] == (0, 2)


def test_an_image_without_gradient_has_no_shares() -> None:
    log_norms = np.array([[0.0, -math.inf, -500.0], [math.log(3.0), -math.inf, -500.0 + math.log(3.0)]])
    assert shares_of_images(log_norms) == pytest.approx(np.array([[0.25, 0.25], [0.75, 0.75]]))


def test_what_is_enumerated_does_not_vary() -> None:
    found = [
        SampledLength(0, np.array([2.0]), True),
        SampledLength(1, np.array([1.0, 3.0]), False),
        SampledLength(2, np.array([0.5]), True),
    ]
    rows = over_paths(found, 2)
    assert np.exp(rows.logs[0]) == pytest.approx([2.0, 4.0, 0.5])
    errors = rows.standard_errors(np.exp(rows.logs))
    assert errors[0] == pytest.approx(0.0, abs=1e-12)
    # Two paths drawn anew from 1 and 3: a standard deviation of 1 / sqrt 2, of two paths together twice that.
    assert errors[1] == pytest.approx(math.sqrt(2), rel=0.1)


def test_images_without_a_gradient() -> None:
    """Of two images one has none: a replicate that drew only that one has no shares, and is left out."""
    found = over_images(np.array([[0.0, -np.inf], [1.0, -np.inf]]), 1, longer=False)
    assert 1 < len(found.shares) < 1 + REPLICATES
    # The squares of one image add up: the shares are its own in every replicate.
    norms = np.exp([0.0, 1.0])
    assert found.shares == pytest.approx(np.tile(norms / norms.sum(), (len(found.shares), 1)))
    with pytest.raises(NotMeasured, match="the gradient is zero for every image"):
        over_images(np.full((2, 3), -np.inf), 1, longer=False)
