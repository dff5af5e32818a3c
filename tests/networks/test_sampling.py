"""Samplers: their schedules, their distributions, and their independence of each other."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from functools import partial
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, chi2_contingency, chisquare
from torchvision.ops import stochastic_depth

from resbench.experiments import schedules
from resbench.networks.residual import NetworkSpec, ResidualNetwork
from resbench.networks.sampling import (
    ExactlyK,
    Sampler,
    Schedule,
    Survival,
    linear_decay,
    linear_decay_from_first,
    make_sampler,
    uniform,
)
from resbench.networks.variants import create_unit

# Fixed seeds: a test that passes at this level passes always, and one in ten thousand correct samplers would fail it.
LEVEL = 1e-4
PROBABILITY = st.floats(min_value=0.01, max_value=1.0)


@given(n=st.integers(1, 300), p_last=PROBABILITY)
def test_linear_decay_is_equation_4(n: int, p_last: float) -> None:
    exact = [schedules.survival(n, repr(p_last), unit) for unit in range(1, n + 1)]
    assert linear_decay(n, p_last) == pytest.approx([float(p) for p in exact], abs=1e-12)


def test_the_first_unit_can_drop_and_the_last_has_p_last() -> None:
    probabilities = linear_decay(54, 0.5)
    assert probabilities[0] == pytest.approx(float(Fraction(107, 108)), abs=1e-15)
    assert probabilities[-1] == 0.5
    assert sum(probabilities) == pytest.approx(40.25)


@given(n=st.integers(2, 300), p_last=PROBABILITY)
def test_decay_from_the_first_unit_is_not_equation_4(n: int, p_last: float) -> None:
    """(l - 1)/(L - 1), as timm's ``linspace(0, rate, L)``: the first unit always survives."""
    probabilities = linear_decay_from_first(n, p_last)
    np.testing.assert_allclose(probabilities, 1 - np.linspace(0, 1 - p_last, n), rtol=0, atol=1e-12)
    assert probabilities[0] == 1
    assert linear_decay_from_first(1, p_last) == (1.0,)
    if p_last < 0.99:
        assert sum(probabilities) > sum(linear_decay(n, p_last)) + (1 - p_last) / 2 - 1e-9


@pytest.mark.parametrize("schedule", ["linear", "linear-from-first", "uniform"])
def test_survival_schedules_have_names(schedule: Schedule) -> None:
    rules = {"linear": linear_decay, "linear-from-first": linear_decay_from_first, "uniform": uniform}
    expected = Survival(rules[schedule](7, 0.4), [3, 5])
    sampler = make_sampler(schedule, 7, 0.4, [3, 5])
    assert sampler.inclusion() == expected.inclusion()
    assert torch.equal(torch.cat(_draws(sampler, 9)), torch.cat(_draws(expected, 9)))


def test_effective_paths_are_a_schedule_with_a_name() -> None:
    sampler, expected = make_sampler("exactly", 54, 23, [4]), ExactlyK(54, 23, [4])
    assert torch.equal(torch.cat(_draws(sampler, 9)), torch.cat(_draws(expected, 9)))


@given(n=st.integers(1, 300), p_last=PROBABILITY)
def test_uniform_is_constant(n: int, p_last: float) -> None:
    assert uniform(n, p_last) == (p_last,) * n


@pytest.mark.parametrize("p", [0.0, -0.1, 1.01, float("nan")])
def test_what_is_no_survival_probability_is_refused(p: float) -> None:
    rules = (linear_decay, linear_decay_from_first, uniform)
    for make in (*(partial(rule, 3, p) for rule in rules), lambda: Survival([0.5, p], [0])):
        with pytest.raises(ValueError, match="survival probability"):
            make()


@given(
    probabilities=st.lists(PROBABILITY, min_size=1, max_size=20),
    seeds=st.lists(st.integers(0, 2**31), min_size=1, max_size=5),
)
def test_a_copy_s_draws_depend_on_its_own_seed_alone(probabilities: list[float], seeds: list[int]) -> None:
    together = Survival(probabilities, seeds)
    alone = [Survival(probabilities, [seed]) for seed in seeds]
    for _ in range(3):
        drawn = together.draw()
        assert drawn.shape == (len(seeds), len(probabilities))
        assert drawn.dtype == torch.bool
        assert torch.equal(drawn, torch.cat([sampler.draw() for sampler in alone]))
    assert together.inclusion() == pytest.approx(probabilities)


@given(n=st.integers(1, 30), seed=st.integers(0, 2**31))
def test_probability_one_always_survives(n: int, seed: int) -> None:
    assert Survival([1.0] * n, [seed]).draw().all()


def test_every_unit_survives_as_often_as_its_probability_says() -> None:
    probabilities, draws = linear_decay(12, 0.2), 4000
    drawn = torch.cat([Survival(probabilities, range(400)).draw(), *_draws(Survival(probabilities, [1]), draws - 400)])
    for p, count in zip(probabilities, drawn.sum(0).tolist(), strict=True):
        assert binomtest(count, draws, p).pvalue > LEVEL / 12


def test_units_survive_independently() -> None:
    drawn = torch.cat(_draws(Survival([0.5] * 4, [3]), 4000)).numpy()
    for first in range(4):
        for second in range(first):
            table = np.histogram2d(drawn[:, first], drawn[:, second], bins=2)[0]
            assert chi2_contingency(table).pvalue > LEVEL / 6
    # Depth is then binomial.
    depths = np.bincount(drawn.sum(1), minlength=5)
    assert chisquare(depths, [4000 * comb(4, k) / 16 for k in range(5)]).pvalue > LEVEL


@pytest.mark.parametrize("p", [0.5, 0.9])
def test_survival_agrees_with_torchvision_s_batch_mode(p: float) -> None:
    """torchvision drops the whole batch at once too; it divides survivors by p where we multiply at test time."""
    torch.manual_seed(0)
    x, draws = torch.ones(3, 2), 2000
    theirs = []
    for _ in range(draws):
        output = stochastic_depth(x, 1 - p, mode="batch", training=True)
        value = float(output[0, 0])
        assert torch.equal(output, torch.full_like(x, value))
        assert value == 0 or value == pytest.approx(1 / p)
        theirs.append(value > 0)
    ours = torch.cat(_draws(Survival([p], [0]), draws)).flatten().tolist()
    counts = [[sum(series), draws - sum(series)] for series in (theirs, ours)]
    assert chi2_contingency(counts).pvalue > LEVEL
    assert binomtest(counts[0][0], draws, p).pvalue > LEVEL


@pytest.mark.parametrize("p", [0.5, 0.9])
def test_a_unit_s_mean_over_draws_is_its_test_mode_and_torchvision_s_times_p(p: float) -> None:
    """Of a unit without activation after the addition, BN fixed: the mean differs by a binomial proportion's error."""
    draws, unit = 1000, create_unit("preact", 4, 4).eval().requires_grad_(False)
    x = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    branch = unit.branch(x)
    kept, skipped = unit(x), unit(x, torch.tensor([], dtype=torch.int64))
    assert torch.equal(skipped, x)
    drawn = torch.cat(_draws(Survival([p], [1]), draws)).flatten()
    ours = sum(kept if keep else skipped for keep in drawn) / draws
    torch.manual_seed(1)
    theirs = sum(x + stochastic_depth(branch, 1 - p, mode="batch") for _ in range(draws)) / draws
    unit.test_scale = p
    tested = unit(x)
    torch.testing.assert_close(tested, x + p * branch)
    low, high = binom(draws, p).ppf([LEVEL / 2, 1 - LEVEL / 2]) / draws
    bound = float(branch.abs().max()) * max(p - low, high - p) + 1e-5
    assert float((ours - tested).abs().max()) <= bound
    assert float((p * (theirs - x) + x - tested).abs().max()) <= bound


@given(data=st.data(), n=st.integers(1, 60), seeds=st.lists(st.integers(0, 2**31), min_size=1, max_size=4))
def test_exactly_k_uses_exactly_k(data: st.DataObject, n: int, seeds: list[int]) -> None:
    k = data.draw(st.integers(0, n))
    sampler = ExactlyK(n, k, seeds)
    for _ in range(3):
        drawn = sampler.draw()
        assert drawn.shape == (len(seeds), n)
        assert drawn.sum(1).tolist() == [k] * len(seeds)
    assert sampler.inclusion() == pytest.approx([k / n] * n)


def test_exactly_k_is_uniform_over_subsets() -> None:
    draws = 5000
    subsets = Counter(tuple(row.nonzero().flatten().tolist()) for row in torch.cat(_draws(ExactlyK(5, 2, [0]), draws)))
    assert len(subsets) == comb(5, 2)
    assert chisquare(list(subsets.values())).pvalue > LEVEL


def test_exactly_k_includes_every_unit_of_the_paper_s_setting_equally_often() -> None:
    draws = 2000
    counts = torch.cat(_draws(ExactlyK(54, 23, [2]), draws)).sum(0).tolist()
    assert min(binomtest(count, draws, 23 / 54).pvalue for count in counts) > LEVEL / 54


@pytest.mark.parametrize("k", [-1, 6])
def test_more_units_than_there_are_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match="of 5 units"):
        ExactlyK(5, k, [0])


class Counting:
    """Uses all units and counts how often it is asked."""

    def __init__(self, n: int) -> None:
        self.n, self.asked = n, 0

    def draw(self) -> torch.Tensor:
        self.asked += 1
        return torch.ones(1, self.n, dtype=torch.bool)

    def inclusion(self) -> tuple[float, ...]:
        return (1.0,) * self.n


def test_a_network_draws_once_a_mini_batch_and_only_in_training() -> None:
    network = ResidualNetwork(NetworkSpec(units=(2, 1), widths=(2, 4)))
    sampler = Counting(3)
    network.sampler = sampler
    network.train()(torch.randn(5, 3, 8, 8))
    assert sampler.asked == 1
    assert network.last_draw is not None
    assert network.last_draw.shape == (1, 3)
    network.eval()(torch.randn(5, 3, 8, 8))
    assert sampler.asked == 1


def test_a_sampler_of_another_network_is_an_error() -> None:
    network = ResidualNetwork(NetworkSpec(units=(2, 1), widths=(2, 4)))
    network.sampler = Counting(4)
    with pytest.raises(ValueError, match="argument"):
        network.train()(torch.randn(2, 3, 8, 8))


@settings(max_examples=20)
@given(p=st.sampled_from([0.3, 0.8]), seed=st.integers(0, 1000))
def test_the_same_seed_draws_the_same(p: float, seed: int) -> None:
    first, second = Survival([p] * 10, [seed]), Survival([p] * 10, [seed])
    assert torch.equal(torch.cat(_draws(first, 5)), torch.cat(_draws(second, 5)))
    assert not torch.equal(torch.cat(_draws(first, 20)), torch.cat([first.draw()] * 20))


def _draws(sampler: Sampler, count: int) -> list[torch.Tensor]:
    return [sampler.draw() for _ in range(count)]
