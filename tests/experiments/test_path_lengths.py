"""Path-length laws against brute force: every network that can be drawn, and every path of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resbench.experiments.combinatorics import length_counts, stochastic_mean_length
from resbench.experiments.path_lengths import (
    central_range,
    drawn_lengths,
    expected_counts,
    left_after,
    length_distribution,
)

SURVIVAL = ["1", "0.9", "1/3", "0.5", "0.125"]
PROBABILITIES = st.lists(st.fractions(0, 1, max_denominator=20), max_size=7)


def brute_force(probabilities: Sequence[Fraction]) -> list[Fraction]:
    law = [Fraction(0)] * (len(probabilities) + 1)
    for outcome in product((False, True), repeat=len(probabilities)):
        law[sum(outcome)] += math.prod(
            (p if happened else 1 - p for p, happened in zip(probabilities, outcome, strict=True)), start=Fraction(1)
        )
    return law


@given(PROBABILITIES)
def test_poisson_binomial_law(probabilities: list[Fraction]) -> None:
    assert length_distribution(probabilities) == brute_force(probabilities)


def test_one_half_everywhere_are_the_path_counts() -> None:
    assert length_distribution(["0.5"] * 54) == [Fraction(count, 2**54) for count in length_counts(54)]


def test_drawn_networks_and_their_paths() -> None:
    exact = [Fraction(p) for p in SURVIVAL]
    law, counts = [Fraction(0)] * 6, [Fraction(0)] * 6
    for kept in product((False, True), repeat=5):
        probability = math.prod((p if k else 1 - p for p, k in zip(exact, kept, strict=True)), start=Fraction(1))
        for path in product((False, True), repeat=5):
            if all(k or not through for k, through in zip(kept, path, strict=True)):
                law[sum(path)] += probability / 2 ** sum(kept)
                counts[sum(path)] += probability
    assert drawn_lengths(SURVIVAL) == law
    assert expected_counts(SURVIVAL) == counts


def test_the_linear_schedule_has_the_known_mean() -> None:
    survival = [1 - Fraction(unit, 54) / 2 for unit in range(1, 55)]
    assert sum(k * p for k, p in enumerate(drawn_lengths(survival))) == stochastic_mean_length(54, "0.5")


@pytest.mark.parametrize(
    ("weights", "mass", "expected"),
    [
        ([1, 1, 1, 1], 0.5, (0, 2)),
        ([0, 0, 3, 0], 0.95, (2, 2)),
        ([1, 2, 4, 2, 1], 0.99, (0, 4)),
        ([1, 2, 4, 2, 1], 0.5, (1, 3)),
        ([1, 2, 4, 2, 1], 0.1, (2, 2)),
        (length_counts(54), 0.95, (20, 34)),
    ],
)
def test_central_range(weights: list[float], mass: float, expected: tuple[int, int]) -> None:
    assert central_range(weights, mass) == expected


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30).filter(any), st.floats(0.01, 0.999))
def test_a_range_holds_its_mass_and_cannot_be_cut(weights: list[float], mass: float) -> None:
    low, high = central_range(weights, mass)
    total = math.fsum(weights)
    assert math.fsum(weights[low : high + 1]) >= (mass - 1e-9) * total
    tail = (1 - mass) / 2
    assert math.fsum(weights[:low]) <= (tail + 1e-9) * total
    assert math.fsum(weights[high + 1 :]) <= (tail + 1e-9) * total


@pytest.mark.parametrize(
    ("weights", "mass"), [([1.0], 0.0), ([1.0], 1.0), ([0.0], 0.5), ([-1.0, 2.0], 0.5), ([math.nan], 0.5)]
)
def test_no_range(weights: list[float], mass: float) -> None:
    with pytest.raises(ValueError, match=r"mass lies between|no distribution"):
        central_range(weights, mass)


def test_what_deletions_leave_by_brute_force() -> None:
    """Every choice of 2 of 5 units, every path; a path of length k carries ``0.3^k``."""
    n, deleted = 5, 2
    shares = [count * 0.3**k for k, count in enumerate(length_counts(n))]
    left = []
    for gone in combinations(range(n), deleted):
        paths = (path for path in product((0, 1), repeat=n) if not any(path[unit] for unit in gone))
        left.append(math.fsum(0.3 ** sum(path) for path in paths))
    assert left_after(shares, n, deleted) == pytest.approx(math.fsum(left) / len(left) / math.fsum(shares), rel=1e-12)
    assert left_after(length_counts(n), n, 3) == pytest.approx(1 / 8)
    assert left_after(shares, n, 0) == 1
    with pytest.raises(ValueError, match="cannot delete 6 of 5"):
        left_after(shares, n, 6)
