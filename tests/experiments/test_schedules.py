"""The exact schedule quantities against enumeration and against the closed forms of the paper."""

from __future__ import annotations

import math
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resbench.experiments import schedules

PROBABILITY = st.fractions(min_value=0, max_value=1, max_denominator=50)


def enumerated(n: int, p_last: Fraction, schedule: schedules.Schedule) -> dict[int, Fraction]:
    """P(depth) by walking through all 2^n gate vectors."""
    survival = [schedules.survival(n, p_last, unit, schedule) for unit in range(1, n + 1)]
    found: dict[int, Fraction] = {}
    for gates in product((0, 1), repeat=n):
        weight = math.prod((p if b else 1 - p for p, b in zip(survival, gates, strict=True)), start=Fraction(1))
        found[sum(gates)] = found.get(sum(gates), Fraction(0)) + weight
    return found


@given(n=st.integers(1, 7), p_last=PROBABILITY, schedule=st.sampled_from(["linear", "uniform"]))
def test_depth_statistics_agree_with_enumeration(n: int, p_last: Fraction, schedule: schedules.Schedule) -> None:
    distribution = enumerated(n, p_last, schedule)
    assert sum(distribution.values()) == 1
    mean = sum(depth * p for depth, p in distribution.items())
    variance = sum((depth - mean) ** 2 * p for depth, p in distribution.items())
    assert schedules.expected_depth(n, p_last, schedule) == mean
    assert schedules.depth_variance(n, p_last, schedule) == pytest.approx(float(variance), rel=1e-14)
    for depth in range(n + 1):
        assert schedules.depth_probability(n, p_last, depth, schedule) == pytest.approx(
            float(distribution[depth]), rel=1e-14
        )


@given(n=st.integers(1, 7), p_last=PROBABILITY, schedule=st.sampled_from(["linear", "uniform"]))
def test_subnetworks_are_the_gate_vectors_of_positive_probability(
    n: int, p_last: Fraction, schedule: schedules.Schedule
) -> None:
    survival = [schedules.survival(n, p_last, unit, schedule) for unit in range(1, n + 1)]
    possible = sum(
        all((p if b else 1 - p) > 0 for p, b in zip(survival, gates, strict=True))
        for gates in product((0, 1), repeat=n)
    )
    assert schedules.subnetworks(n, p_last, schedule) == possible


@given(n=st.integers(1, 200), p_last=PROBABILITY)
def test_linear_decay_starts_below_one_and_ends_at_p_last(n: int, p_last: Fraction) -> None:
    steps = [schedules.survival(n, p_last, unit) for unit in range(n + 1)]
    assert steps[0] == 1
    assert steps[-1] == p_last
    assert len({before - after for before, after in pairwise(steps)}) == 1


def test_the_paper_s_numbers() -> None:
    assert schedules.expected_depth(54, "1/2") == Fraction(161, 4)
    assert schedules.expected_depth(54, 0.2) == 32
    assert schedules.time_saving(54, 0.5) == Fraction(55, 216)
    assert schedules.relative_depth(54, 0.5, "uniform") == Fraction(1, 2)
    assert schedules.depth_deviation(54, 0.5, "uniform") == pytest.approx(math.sqrt(54) / 2)
    assert schedules.speedups(54, [("linear", 0.2), ("uniform", 0.5)]) == [Fraction(27, 16), 2]
    assert schedules.survival_values(3, 0.5) == [Fraction(5, 6), Fraction(2, 3), Fraction(1, 2)]
    assert schedules.limit_gaps([7, 8], 0.5, "3/4") == [Fraction(1, 4)] * 2
    assert schedules.closed_form_gap(9, [0.1, 0.9]) == 0
    assert schedules.units_of_layers(110) == 54


def test_the_closed_form_would_catch_a_schedule_that_is_off_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def off_by_one(n: int, p_last: Fraction, schedule: schedules.Schedule) -> list[Fraction]:
        return [1 - Fraction(unit - 1, max(1, n - 1)) * (1 - Fraction(p_last)) for unit in range(1, n + 1)]

    monkeypatch.setattr(schedules, "_all", off_by_one)
    assert schedules.expected_depth(54, Fraction(1, 2)) == Fraction(81, 2)
    assert schedules.closed_form_gap(60, [Fraction(1, 2)]) > 0
    assert schedules.subnetworks(54, Fraction(1, 2)) == 2**53


def test_the_depth_range_leaves_at_most_the_tail_on_either_side() -> None:
    low, high = schedules.depth_range(54, "1/2", "1/40")
    mass = [schedules.depth_probability(54, "1/2", depth) for depth in range(55)]
    assert sum(mass[:low]) <= 0.025 < sum(mass[: low + 1])
    assert sum(mass[high + 1 :]) <= 0.025 < sum(mass[high:])


def test_decimals_are_taken_as_written() -> None:
    assert schedules.survival(10, 0.1, 10) == Fraction(1, 10)


@pytest.mark.parametrize("p_last", [-0.1, 1.5, "2", "half"])
def test_what_is_no_probability_is_refused(p_last: str | float) -> None:
    with pytest.raises(ValueError, match=r"probability|Fraction"):
        schedules.expected_depth(5, p_last)


def test_unknown_schedules_and_units_are_refused() -> None:
    with pytest.raises(ValueError, match="linear or uniform"):
        schedules.survival(5, 0.5, 1, "quadratic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no unit 6"):
        schedules.survival(5, 0.5, 6)


def test_exact_quantities_need_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; import resbench.experiments.schedules, resbench.experiments.published_huang as p;"
        "p.heatmap_best(); print([m for m in ('torch', 'numpy', 'scipy', 'pandas') if m in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
