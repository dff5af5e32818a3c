"""The exact path quantities against brute force: every path of small networks, every pair of an order."""

from __future__ import annotations

import math
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, kendalltau

from resbench.experiments import combinatorics, schedules

SMALL = st.integers(1, 7)
RATIO = st.fractions(min_value="1/20", max_value=2, max_denominator=20)


def every_path(n: int) -> list[tuple[bool, ...]]:
    """For each path of ``n`` modules, whether it goes through the branch of each."""
    return list(product((False, True), repeat=n))


def left(n: int, deleted: int) -> list[tuple[bool, ...]]:
    return [path for path in every_path(n) if not any(path[:deleted])]


@given(n=SMALL, data=st.data())
def test_paths_agree_with_enumeration(n: int, data: st.DataObject) -> None:
    deleted = data.draw(st.integers(0, n))
    assert combinatorics.path_count(n, deleted) == len(left(n, deleted))
    assert combinatorics.remaining_path_fraction(n, deleted) == Fraction(len(left(n, deleted)), len(every_path(n)))
    lengths = range(n + 1)
    counts = [sum(sum(path) == k for path in left(n, deleted)) for k in lengths]
    assert combinatorics.surviving_counts(n, deleted, lengths) == counts
    before = combinatorics.length_counts(n)
    assert combinatorics.remaining_fractions(n, deleted, lengths) == [
        Fraction(a, b) for a, b in zip(counts, before, strict=True)
    ]


@given(n=SMALL)
def test_lengths_agree_with_enumeration(n: int) -> None:
    lengths = sorted(sum(path) for path in every_path(n))
    assert combinatorics.length_counts(n) == [lengths.count(k) for k in range(n + 1)]
    assert combinatorics.mean_length(n) == Fraction(sum(lengths), len(lengths))
    assert combinatorics.mode_length(n) == max(range(n + 1), key=lengths.count)
    mean = sum(lengths) / len(lengths)
    deviation = math.sqrt(sum((k - mean) ** 2 for k in lengths) / len(lengths))
    assert combinatorics.length_deviation(n) == pytest.approx(deviation, rel=1e-12)
    low, high = n // 3, 2 * n // 3
    inside = sum(low <= k <= high for k in lengths)
    assert combinatorics.share_of_lengths(n, low, high) == Fraction(inside, len(lengths))


def test_lengths_of_54_modules_are_binomial_coefficients() -> None:
    assert combinatorics.length_counts(54) == [math.comb(54, k) for k in range(55)]
    assert combinatorics.length_count(54, 27) == math.comb(54, 27)


def test_what_a_module_is_fed() -> None:
    assert combinatorics.input_path_counts(5) == [1, 2, 4, 8, 16]
    assert combinatorics.input_path_counts(54)[-1] == 2**53


@pytest.mark.parametrize(("layers", "removed", "paths"), [(15, 0, 1), (15, 1, 0), (3, 3, 0), (0, 0, 1)])
def test_a_plain_network_has_one_path_or_none(layers: int, removed: int, paths: int) -> None:
    assert combinatorics.plain_path_count(layers, removed) == paths


@given(n=SMALL, ratio=RATIO, data=st.data())
def test_gradient_agrees_with_enumeration(n: int, ratio: Fraction, data: st.DataObject) -> None:
    """Each path carries ``ratio`` to the power of its length."""
    weights = [ratio ** sum(path) for path in every_path(n)]
    total = sum(weights)
    lengths = [sum(path) for path in every_path(n)]
    mean = sum((k * w for k, w in zip(lengths, weights, strict=True)), Fraction(0)) / total
    assert combinatorics.gradient_mean_lengths(n, [ratio]) == [mean]
    variance = sum(((k - mean) ** 2 * w for k, w in zip(lengths, weights, strict=True)), Fraction(0)) / total
    assert combinatorics.gradient_length_deviation(n, ratio) == pytest.approx(math.sqrt(variance), rel=1e-12)
    share = sum((w for k, w in zip(lengths, weights, strict=True) if 1 <= k <= 2), Fraction(0)) / total
    assert combinatorics.gradient_shares(n, [ratio], 1, 2) == [share]
    deleted = data.draw(st.integers(0, n))
    kept = sum((ratio ** sum(path) for path in left(n, deleted)), Fraction(0))
    assert combinatorics.gradient_left(n, ratio, deleted) == kept / total == (1 + ratio) ** -deleted
    assert combinatorics.gradient_model_gap(n, ratio) == 0


def test_gradient_model_is_the_binomial_of_scipy() -> None:
    shares = [combinatorics.gradient_shares(54, ["0.26"], k, k)[0] for k in range(55)]
    expected = binom.pmf(range(55), 54, 0.26 / 1.26)
    assert [float(share) for share in shares] == pytest.approx(list(expected), rel=1e-10)
    assert combinatorics.gradient_mode(54, "0.26") == int(expected.argmax())


def test_ratios_are_decimals_not_floats() -> None:
    assert combinatorics.gradient_left(1, 0.26, 1) == combinatorics.gradient_left(1, "13/50", 1) == Fraction(50, 63)


@pytest.mark.parametrize("ratio", [0, "-1", -0.5])
def test_a_ratio_is_positive(ratio: float | str) -> None:
    with pytest.raises(ValueError, match="above 0"):
        combinatorics.gradient_mode(3, ratio)


def test_deletions_are_of_existing_modules() -> None:
    for deleted in (-1, 4):
        with pytest.raises(ValueError, match=f"cannot delete {deleted} of 3"):
            combinatorics.path_count(3, deleted)


def test_formula_is_really_compared_with_the_enumeration(monkeypatch: pytest.MonkeyPatch) -> None:
    assert combinatorics.formula_mismatches(6) == 0
    monkeypatch.setattr(combinatorics, "remaining_fractions", lambda n, d, lengths: [Fraction(n - d, n)] * len(lengths))
    assert combinatorics.formula_mismatches(6) > 20


@pytest.mark.parametrize("deleted", [1, 10, 20, 54])
def test_remaining_curve_falls_to_its_first_zero(deleted: int) -> None:
    curve = combinatorics.remaining_curve(54, deleted)
    assert curve[0] == 1
    assert curve[-1] == 0
    assert all(longer < shorter for shorter, longer in pairwise(curve))


def test_surviving_share_counts_paths_of_the_range_only() -> None:
    inside = [path for path in every_path(6) if 2 <= sum(path) <= 3]
    kept = [path for path in inside if not any(path[:2])]
    assert combinatorics.surviving_share(6, 2, 2, 3) == Fraction(len(kept), len(inside))


@pytest.mark.parametrize(("factor", "deletions"), [("1e-6", 20), ("1/1024", 10), ("1", 0), ("1e-30", 54)])
def test_deletions_for_factor(factor: str, deletions: int) -> None:
    assert combinatorics.deletions_for_factor(54, factor) == deletions


@given(n=st.integers(2, 12), data=st.data())
def test_tau_agrees_with_scipy(n: int, data: st.DataObject) -> None:
    distance = data.draw(st.integers(1, n - 1))
    first = data.draw(st.integers(0, n - 1 - distance))
    order = list(range(n))
    order[first], order[first + distance] = order[first + distance], order[first]
    expected = kendalltau(range(n), order).statistic
    assert float(combinatorics.swap_tau(n, distance)) == pytest.approx(expected, abs=1e-12)


def test_tau_formula_is_really_compared_with_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert combinatorics.tau_formula_gaps(54) == 0
    monkeypatch.setattr(combinatorics, "swap_tau", lambda n, d: 1 - Fraction(4 * d, n * (n - 1)))
    assert combinatorics.tau_formula_gaps(54) == 52, "2d - 1 = d at d = 1 alone"


@given(n=st.integers(1, 8), p_last=st.fractions(min_value=0, max_value=1, max_denominator=20))
def test_stochastic_path_length_agrees_with_enumeration(n: int, p_last: Fraction) -> None:
    """A module is active with ``p_l``; of the paths of the active modules each is as likely."""
    use = [schedules.survival(n, p_last, unit) / 2 for unit in range(1, n + 1)]
    mean = square = Fraction(0)
    for path in every_path(n):
        weight = math.prod((u if through else 1 - u for u, through in zip(use, path, strict=True)), start=Fraction(1))
        mean += weight * sum(path)
        square += weight * sum(path) ** 2
    assert combinatorics.stochastic_mean_length(n, p_last) == mean
    deviation = math.sqrt(square - mean**2)
    assert combinatorics.stochastic_length_deviation(n, p_last) == pytest.approx(deviation, abs=1e-12)


def test_stages() -> None:
    assert combinatorics.stage_firsts([18, 18, 18]) == [1, 19, 37]
    assert combinatorics.stage_firsts([3, 24, 36, 3]) == [1, 4, 28, 64]
    exchangeable = combinatorics.exchangeable_modules([18, 18, 18])
    assert set(exchangeable) | {1, 19, 37} == set(range(1, 55))
    assert not set(exchangeable) & {1, 19, 37}


def test_layers_of_paths() -> None:
    assert combinatorics.layers_of_paths(5, 17) == [10, 34]
    assert combinatorics.layers_of_paths(5, 17, layers_per_module=3) == [15, 51]


def test_needs_no_numerical_library() -> None:
    code = (
        "import sys, resbench.experiments.combinatorics, resbench.experiments.published as p; p.z_score(); "
        "sys.exit(', '.join({'torch', 'numpy', 'scipy'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
