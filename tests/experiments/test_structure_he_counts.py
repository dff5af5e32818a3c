"""Sizes of the networks, against formulas and against networks with a fault."""

from __future__ import annotations

import pytest

from resbench.experiments import structure_he_counts as counts
from resbench.networks import units
from resbench.networks.residual import NetworkSpec


@pytest.fixture(autouse=True)
def fresh():
    """Networks are built once a process; faults must not stay."""
    counts._build.cache_clear()
    counts._multiply_adds.cache_clear()
    yield
    counts._build.cache_clear()
    counts._multiply_adds.cache_clear()


def _basic_parameters(n: int) -> int:
    """Parameters of the 6n + 2 layer network with option A by formula: convolutions, BN, classifier."""
    total, inputs = 3 * 9 * 16 + 32, 16
    for width in (16, 32, 64):
        total += inputs * width * 9 + (2 * n - 1) * width * width * 9 + 2 * n * 2 * width
        inputs = width
    return total + 64 * 10 + 10


@pytest.mark.parametrize("n", [1, 3, 18])
def test_parameters_by_formula(n):
    assert counts.cifar_parameters(depth=6 * n + 2) == _basic_parameters(n)


def test_parameters_without_batch_norm():
    both = [counts.cifar_parameters(depth=20, batch_norm=flag) for flag in (True, False)]
    assert both[0] - both[1] == 2 * (16 + 6 * (16 + 32 + 64))


def test_parameters_see_a_projection(monkeypatch):
    spec = counts._cifar_spec

    def with_projections(*arguments):
        sound = spec(*arguments)
        return NetworkSpec(units=sound.units, unit=units.UnitSpec(order="original", down="projection"))

    monkeypatch.setattr(counts, "_cifar_spec", with_projections)
    assert counts.cifar_parameters(depth=20) > _basic_parameters(3)
    assert counts.shortcut_weights(depth=20) == 16 * 32 + 32 * 64 + 2 * (32 + 64)
    assert counts.weight_layers(depths=[20]) == [20]  # a projection is not on the longest path


def test_extra_parameters_of_gates_and_convolutions():
    squares, widths = 16**2 + 32**2 + 64**2, 16 + 32 + 64
    assert counts.shortcut_extra_parameters(shortcut="shortcut-gate", depth=20) == 3 * (squares + widths)
    assert counts.shortcut_extra_parameters(shortcut="none", depth=20) == 0
    changed = 32**2 - 16 * 32 + 64**2 - 32 * 64
    assert counts.shortcut_extra_parameters(shortcut="conv1x1", depth=20) == 3 * squares - changed


def test_units_and_layers():
    assert counts.units_by_map(depth=29, body="bottleneck", order="preact") == [3, 3, 3]
    assert counts.weight_layers(depths=[8, 20]) == [8, 20]
    assert counts.weight_layers_by_map(depth=20) == [6, 6, 6, 16, 32, 64, 9]
    with pytest.raises(ValueError, match="depth 21"):
        counts.units_by_map(depth=21, body="basic")


def test_downsampling():
    assert counts.map_reductions(network="cifar", depth=20) == counts.width_changes(network="cifar", depth=20) == 2


def test_bottlenecks():
    assert counts.bottleneck_layers(depth=29) == [1, 16, 3, 16, 1, 64]
    assert counts.projections(depth=29) == [3, 2, 3]


def test_multiply_adds_by_hand():
    # ResNet-8: stem, three units, classifier; each map size has a quarter of the pixels of the one before.
    convolutions = [(3, 16, 32), (16, 16, 32), (16, 16, 32), (16, 32, 16), (32, 32, 16), (32, 64, 8), (64, 64, 8)]
    expected = sum(inputs * outputs * 9 * size**2 for inputs, outputs, size in convolutions) + 64 * 10
    assert counts._multiply_adds(8, "basic") == expected


def test_complexity():
    assert counts.complexity_steps(depths=[8, 14, 20], body="basic") == [0]
    assert counts.complexity_ratio(deep=20, shallow=20, body="basic", shallow_body="basic") == 1
    with pytest.raises(ValueError, match="equally spaced"):
        counts.complexity_steps(depths=[8, 14, 26], body="basic")


def test_the_strided_layer_of_a_bottleneck_is_seen(monkeypatch):
    assert counts.reducing_kernels(depth=20) == [3, 3]
    original = units._branch_layers

    def in_the_first(*arguments, **options):
        layers = original(*arguments, **options)
        convolutions = [layer for layer in layers if isinstance(layer, units.CopiesConv2d)]
        convolutions[0].stride, convolutions[1].stride = convolutions[1].stride, convolutions[0].stride
        return layers

    monkeypatch.setattr(units, "_branch_layers", in_the_first)
    counts._build.cache_clear()
    assert counts.reducing_kernels(depth=20) == [1, 1]
