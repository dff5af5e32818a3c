"""Lesion claims on a user's network: what depth they need, and the share of the accuracy that a unit costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from resbench.errors import NotMeasured
from resbench.experiments import unit_lesions
from resbench.experiments.reading import requests_of
from resbench.records.measurement import Measurement
from resbench.records.results import Request


def single(*errors: int, ordinary: str, left_out: int = 0) -> tuple[dict[str, Any], ...]:
    """Row 0 of ``errors``, of 100 images, is the whole network; ``ordinary`` marks the units by 1 and 0."""
    n = len(ordinary)
    return (
        {
            "wrong": np.stack([np.arange(100) < count for count in errors]),
            "ordinary": np.array([mark == "1" for mark in ordinary]),
            "changes_shape": np.zeros(n, dtype=bool),
            "names": np.array([f"u{i}" for i in range(n)]),
            "units": np.arange(n),
            "left_out": np.array(left_out),
        },
    )


SWEEP = single(20, 90, 28, 36, 100, ordinary="0111", left_out=1)
DRAWS = ({"k": np.array([1, 1, 2, 2, 3, 3]), "wrong": SWEEP[0]["wrong"][[0, 0, 1, 1, 2, 2]]},)
ORDERS = ({"swaps": np.array([1, 2, 3]), "tau": np.array([0.9, 0.8, 0.7]), "wrong": SWEEP[0]["wrong"][:3]},)
CASES: list[tuple[Callable[..., Measurement], tuple[Any, ...]]] = [
    (unit_lesions.ordinary_median_increase, (SWEEP,)),
    (unit_lesions.median_share_lost, (SWEEP,)),
    (unit_lesions.error_by_deletions, (DRAWS, SWEEP)),
    (unit_lesions.error_by_tau, (ORDERS, SWEEP)),
    (unit_lesions.duplication_against_deletion, (DRAWS, DRAWS, SWEEP)),
]


@pytest.mark.parametrize(("quantity", "results"), CASES)
def test_depth_is_needed(quantity: Callable[..., Measurement], results: tuple[Any, ...]) -> None:
    """Five units, of which one is not deletable."""
    assert quantity(*results, network="target", least_units=5).n is not None
    with pytest.raises(NotMeasured, match="an effect of depth: needs 6 units or more, the target has 5"):
        quantity(*results, network="target", least_units=6)


@pytest.mark.parametrize(("quantity", "results"), CASES)
def test_everything_is_read_of_the_target(quantity: Callable[..., Measurement], results: tuple[Any, ...]) -> None:
    requests = requests_of(quantity, {"network": "target", "least_units": 9})
    assert len(requests) == len(results)
    assert requests[-1] == Request("single_deletion", "target")


def test_the_share_of_the_accuracy_that_is_lost() -> None:
    """Of 80 % accuracy the median ordinary unit (36 % error) costs 16 points."""
    found = unit_lesions.median_share_lost(SWEEP, network="target", least_units=1)
    assert found.value == pytest.approx(0.2)
    assert found.replicates is not None
    low, high = np.percentile(np.array(found.replicates, dtype=float), [2.5, 97.5])
    assert low < 0.2 < high
    assert "u3 costs most" in found.detail
