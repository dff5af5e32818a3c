"""Confidence sequences: against the bets played one by one, and calibrated by simulation."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from benchmarks.sequential import Law, error, false_share, increase, looks, ordinary, sequence
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from resbench.confidence_sequences import BETS, mean_sequence, side_of
from resbench.records.places import baselines

ALPHA = 0.05


def played(observed: list[float], mean: float, low: float, high: float, alpha: float) -> int:
    """The game itself, image by image in plain arithmetic: 1 if the mean is above ``mean``, -1 below, 0 open."""
    up, down = [1.0] * len(BETS), [1.0] * len(BETS)
    for x in observed:
        for index, bet in enumerate(BETS.tolist()):
            up[index] *= 1.0 + bet * (x - mean) / (mean - low)
            down[index] *= 1.0 + bet * (mean - x) / (high - mean)
    rich = 2.0 / alpha
    return int(math.fsum(up) / len(BETS) >= rich) - int(math.fsum(down) / len(BETS) >= rich)


@pytest.mark.parametrize(("low", "values"), [(0.0, [0.0, 1.0]), (-1.0, [-1.0, 0.0, 1.0]), (-1.0, [-1.0, -0.25, 0.5])])
@pytest.mark.parametrize("shift", range(4))
def test_the_counts_give_what_the_game_gives(low: float, values: list[float], shift: int) -> None:
    generator = np.random.default_rng(shift)
    observed = generator.choice(
        values, size=150, p=np.roll(np.arange(1.0, len(values) + 1), shift) / sum(range(1, len(values) + 1))
    )
    counts = [int((observed == value).sum()) for value in values]
    lower, upper = mean_sequence(values, counts, alpha=ALPHA, low=low)
    assert low < lower < observed.mean() < upper < 1.0
    for mean in np.linspace(low, 1.0, 41)[1:-1]:
        wanted = played(observed.tolist(), float(mean), low, 1.0, ALPHA)
        assert side_of(mean, values, counts, alpha=ALPHA, low=low) == wanted
        assert int(lower > mean) - int(upper < mean) == wanted


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 400), st.integers(0, 400), st.integers(0, 400), st.sampled_from([1e-4, 0.01, 0.3]))
def test_properties(less: int, same: int, more: int, alpha: float) -> None:
    counts = [less, same, more]
    lower, upper = mean_sequence([-1, 0, 1], counts, alpha=alpha, low=-1.0)
    observed = (more - less) / max(sum(counts), 1)
    assert -1.0 <= lower <= observed + 1e-12
    assert observed - 1e-12 <= upper <= 1.0
    wider = mean_sequence([-1, 0, 1], counts, alpha=alpha / 10.0, low=-1.0)
    assert wider[0] <= lower <= upper <= wider[1]
    mirrored = mean_sequence([-1, 0, 1], counts[::-1], alpha=alpha, low=-1.0)
    assert mirrored[0] == pytest.approx(-upper, abs=1e-9)


def test_nothing_seen_is_the_whole_range() -> None:
    assert [float(end) for end in mean_sequence([-1, 0, 1], [0, 0, 0], alpha=ALPHA, low=-1.0)] == [-1.0, 1.0]


def test_a_mean_is_decided_exactly_where_the_sequence_ends() -> None:
    lower, upper = mean_sequence([0, 1], [60, 40], alpha=ALPHA)
    means = np.array([lower - 1e-6, lower + 1e-6, upper - 1e-6, upper + 1e-6])
    sides = side_of(means, [0, 1], np.tile([60, 40], (4, 1)), alpha=ALPHA)
    assert sides.tolist() == [1, 0, 0, -1]
    assert sides.dtype == np.int64


def test_a_clear_case_does_not_drown_one_beside_it() -> None:
    """The first case's wealth is some 10^300000, which no float holds."""
    both = side_of(0.5, [0, 1], [[0, 10**6], [1, 1]], alpha=ALPHA)
    assert both.tolist() == [1, 0]


def test_one_image_by_hand() -> None:
    """Of one observed 1 the wealth is 1 + c (1 - m) / m, c the mean bet; the least m that it does not refute."""
    lower, upper = mean_sequence([0, 1], [0, 1], alpha=ALPHA)
    bet = BETS.mean()
    assert lower == pytest.approx(bet / (bet + 2 / ALPHA - 1), abs=1e-9)
    assert upper == 1.0


def test_it_is_computed_for_many_at_once() -> None:
    counts = np.random.default_rng(0).integers(0, 99, size=(3, 4, 2))
    alphas = np.full((3, 4), 0.02)
    lower, upper = mean_sequence([0, 1], counts, alpha=alphas)
    assert lower.shape == upper.shape == (3, 4)
    one = mean_sequence([0, 1], counts[1, 2], alpha=0.02)
    assert (lower[1, 2], upper[1, 2]) == (one[0], one[1])


@pytest.mark.parametrize(("values", "alpha"), [([0, 2], 0.05), ([-1, 1], 0.05), ([0, 1], 0.0), ([0, 1], 1.0)])
def test_what_cannot_be(values: list[float], alpha: float) -> None:
    with pytest.raises(ValueError, match=r"range|probability"):
        mean_sequence(values, [1, 1], alpha=alpha)


def test_it_narrows_like_the_ordinary_interval() -> None:
    """At 10,000 images within twice the width of an interval that may be looked at once."""
    from resbench.statistics import wilson

    for wrong in (200, 661, 5000, 9000):
        lower, upper = mean_sequence([0, 1], [10_000 - wrong, wrong], alpha=ALPHA)
        low, high = wilson(wrong, 10_000)
        assert high - low < upper - lower < 2.0 * (high - low)


LAWS = (error(0.0661), error(0.5), error(0.85), increase(0.015, 0.005), increase(0.2, 0.05))
RUNS = 1000


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_simulated_at_the_bound(law: Law) -> None:
    """Looking after every 128 of 4,000 images: at most alpha of the runs ever decide, which would be false.

    The same runs, judged by an ordinary interval as often, decide far more often: so that this test can fail.
    """
    counts = looks(law, RUNS, np.random.default_rng(7), images=4000)
    allowed = binom.ppf(0.999, RUNS, ALPHA) / RUNS
    assert false_share(sequence(law, law.mean), counts, ALPHA) <= allowed
    assert false_share(ordinary(law, law.mean), counts, ALPHA) > 3.0 * allowed


def test_the_committed_record() -> None:
    """1,000 runs a row: the stated error is kept, up to what 1,000 runs can tell, and an ordinary interval's is not."""
    record = json.loads((baselines() / "sequential.json").read_text())
    assert record["runs"] >= 1000
    for row in record["at_bound"]:
        assert row["false"] <= binom.ppf(0.999, record["runs"], row["alpha"]) / record["runs"], row
        assert row["false, ordinary interval"] > 3.0 * row["alpha"], row
    for row in record["whole_procedure"]:
        assert row["false early"] + row["false late"] <= binom.ppf(0.999, row["runs"], row["alpha"]) / row["runs"], row
    near, *_, far = [row for row in record["images_used"] if row["law"].startswith("error")]
    assert far["median images"] < 0.1 * near["median images"]


def test_strata_with_errors_of_their_own() -> None:
    """Two halves of 10 and 50 % error, equally many of each at every look: the mean is 30 %, and is kept."""
    generator = np.random.default_rng(11)
    halves = [looks(error(share), RUNS, generator, images=2000) for share in (0.1, 0.5)]
    assert false_share(sequence(error(0.3), 0.3), halves[0] + halves[1], ALPHA) <= binom.ppf(0.999, RUNS, ALPHA) / RUNS


def test_a_clear_case_takes_few_images() -> None:
    counts = looks(error(0.9), 200, np.random.default_rng(3), images=1024)
    assert (side_of(0.5, [0, 1], counts, alpha=ALPHA)[:, 0] == 1).mean() > 0.99
