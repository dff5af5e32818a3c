"""The experiments against the same by hand; that broken ones are seen is tested with the faults."""

from __future__ import annotations

import pytest

from resbench.errors import NotMeasured
from resbench.experiments import structure_protocols as protocols
from resbench.experiments.structure_training import step_deviation


@pytest.mark.parametrize("order", ["preact", "original"])
def test_deletions_are_those_by_hand_and_change_classes(order: str) -> None:
    found = protocols.deletions_that_differ(order)  # type: ignore[arg-type]
    assert found.value == 0
    assert found.n == 2 * 5 * 120, "two sweeps of four deletions and the whole network"
    assert int(found.detail.split()[0]) > 50, "of labels that no deletion changes nothing would be learnt"


def test_deletions_without_replacement() -> None:
    assert protocols.modules_per_deletion([1, 3, 9], units=(4, 4, 4), draws=20) == [1, 3, 9]


def test_exchanges_by_hand() -> None:
    assert protocols.exchanges((2, 3, 4)) == [0 + 1 + 3, 0]


def test_evaluation_is_that_by_hand() -> None:
    assert protocols.evaluation_gap().value == pytest.approx(0.0, abs=1e-5)


def test_the_digits_are_tested_once_each_by_a_network_that_did_not_learn_them() -> None:
    assert protocols.tested_images("digits", "post-9") == [1797, 0, 0]
    with pytest.raises(NotMeasured, match="resnet110 is not trained"):
        protocols.tested_images("digits", "resnet110")


def test_networks_are_told_apart_by_their_weights() -> None:
    assert protocols.distinct_networks("digits", ["post-9", "post-9-stochastic", "post-9"]) == 2


@pytest.mark.parametrize("nesterov", [False, True])
def test_a_step_is_that_by_hand(nesterov: bool) -> None:
    def gap(*rates: float) -> float:
        found = step_deviation(
            rates, lr=0.1, warmup=1, warmup_lr=0.01, drops=[2], momentum=0.9, nesterov=nesterov, weight_decay=1e-4
        )
        assert isinstance(found.value, float)
        return found.value

    assert gap(0.01, 0.1, 0.01) == pytest.approx(0.0, abs=1e-12)
    assert gap(0.01, 0.1, 0.1) > 0.01
