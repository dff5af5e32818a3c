"""Arithmetic on the numbers that He 2016 printed."""

from __future__ import annotations

import math
import subprocess
import sys
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from statistics import NormalDist

import pytest

from resbench.claims.loader import load_claims, resolve_quantity
from resbench.experiments import published_he as he
from resbench.judging.compare import Status, compare
from resbench.records.measurement import Measurement


def _expectations() -> list[object]:
    return [
        pytest.param(expectation, id=f"{claim.id}-{index}")
        for claim in load_claims([Path(str(files("resbench.claims") / "he2016.toml"))])
        for index, expectation in enumerate(claim.expect)
        if expectation.kind in ("exact", "reference")
    ]


@pytest.mark.parametrize("expectation", _expectations())
def test_every_expectation_without_networks_holds(expectation):
    value = resolve_quantity(expectation.quantity)(**expectation.params)
    judgement = compare(expectation.compare, Measurement(value))
    assert judgement.status is Status.HOLDS, judgement.message


def test_differences_are_exact_decimals():
    # In floating point 6.61 - 6.37 is 0.2400000000000002.
    gap = he.error_difference(collection="cifar10", first="resnet110", second="resnet110-preact")
    assert gap == Fraction(24, 100)


def test_the_2015_errors_are_another_population():
    old = he.errors(collection="resnet2015-cifar10", networks=["resnet110"])
    new = he.errors(collection="cifar10", networks=["resnet110"])
    assert (old["resnet110"], new["resnet110"]) == (6.43, 6.61)


def test_z_score_against_the_pooled_standard_error_by_hand():
    p = (0.0661 + 0.0817) / 2
    by_hand = (0.0817 - 0.0661) / math.sqrt(2 * p * (1 - p) / 10_000)
    z = he.z_score(collection="cifar10", first="resnet110-bn-after-add", second="resnet110")
    assert z == pytest.approx(by_hand)
    assert he.z_score(collection="cifar10", first="resnet110", second="resnet110-bn-after-add") == pytest.approx(-z)


def test_p_value_is_two_sided():
    pair = {"collection": "cifar10", "first": "resnet110", "second": "resnet110-preact"}
    assert he.p_value(**pair) == pytest.approx(2 * (1 - NormalDist().cdf(he.z_score(**pair))))


def test_best_network_counts_a_failure_as_worst_and_refuses_ties():
    assert (
        he.best_network(collection="cifar10", networks=["resnet110-dropout", "resnet110-conv1x1"])
        == "resnet110-conv1x1"
    )
    with pytest.raises(ValueError, match="share the lowest"):
        he.best_network(collection="imagenet-top5", networks=["resnet152-crop320", "resnet152-preact-crop320"])
    with pytest.raises(ValueError, match="no published error of resnet111"):
        he.best_network(collection="cifar10", networks=["resnet110", "resnet111"])


def test_a_failure_has_no_error_to_subtract():
    with pytest.raises(ValueError, match="no published error: 'fail'"):
        he.error_difference(collection="cifar10", first="resnet110-dropout", second="resnet110")


def test_unknown_collection():
    with pytest.raises(ValueError, match="no published collection 'mnist'"):
        he.errors(collection="mnist", networks=["resnet110"])


def test_tables_of_one_population_must_agree(monkeypatch):
    tables = {
        "one": {"collection": "c", "images": 10, "error": {"net": Fraction(5)}},
        "two": {"collection": "c", "images": 10, "error": {"net": Fraction(6)}},
    }
    monkeypatch.setattr(he, "_data", lambda: tables)
    with pytest.raises(ValueError, match="two prints 6 for net, an earlier table 5"):
        he.errors(collection="c", networks=["net"])


@pytest.mark.parametrize("units", [0, 1, 54])
def test_gate_openness_is_a_product_of_units(units):
    (openness,) = he.gate_openness(biases=[-2.0], units=units)
    product = 1.0
    for _ in range(units):
        product *= 1.0 / (1.0 + math.exp(-2.0))
    assert openness == pytest.approx(product)


def test_gate_bias_grid_keeps_both_ends():
    assert he.gate_bias_grid(first=0, last=-4, step=-2) == [0, -2, -4]
    with pytest.raises(ValueError, match="whole number of steps"):
        he.gate_bias_grid(first=0, last=-5, step=-2)


def test_unit_counts_invert_the_depth():
    units = [3, 18, 200]
    depths = he.weight_layers(units_per_stage=units, layers_per_unit=2, stages=3)
    assert he.unit_counts(depths=depths, layers_per_unit=2) == [3 * n for n in units]
    with pytest.raises(ValueError, match="depth 111"):
        he.unit_counts(depths=[111], layers_per_unit=2)


@pytest.mark.parametrize("layers", [1, 2, 15])
def test_plain_activations(layers):
    assert he.plain_activations(layers=layers) == [layers - 1, layers - 1, 1]


def test_map_reductions_count_shrinking_only():
    assert he.map_reductions(maps=[32, 32, 16, 16, 8]) == 2


def test_no_torch_and_no_numpy():
    script = (
        "import sys; from resbench.experiments import published_he as he;"
        "he.p_value(collection='cifar10', first='resnet110', second='resnet164');"
        "sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
