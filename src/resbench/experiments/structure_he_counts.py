"""He 2016 and 2015: sizes of the real networks, counted on the modules that the package builds.

Counting needs no numbers in the weights: the networks are built on the meta device.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from resbench.networks.copies import CopiesConv2d, CopiesLinear
from resbench.networks.residual import NetworkSpec, ResidualNetwork, build, parameter_count
from resbench.networks.units import ComposedUnit, Order, Shortcut, UnitSpec

__all__ = [
    "bottleneck_layers",
    "cifar_parameter_counts",
    "cifar_parameters",
    "complexity_ratio",
    "complexity_steps",
    "imagenet_units",
    "map_reductions",
    "projections",
    "reducing_kernels",
    "shortcut_extra_parameters",
    "shortcut_weights",
    "units_by_map",
    "weight_layers",
    "weight_layers_by_map",
    "width_changes",
]

Body = Literal["basic", "bottleneck", "single"]

_LAYERS = {"basic": 2, "bottleneck": 3, "single": 1}
_IMAGENET_UNITS = {152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}


def _cifar_spec(depth: int, body: Body, order: Order, shortcut: Shortcut = "identity") -> NetworkSpec:
    """The CIFAR network of that depth: option A shortcuts, in bottleneck networks projections (He 2016, appendix)."""
    per_stage, remainder = divmod(depth - 2, 3 * _LAYERS[body])
    if remainder:
        raise ValueError(f"no CIFAR network of {body} units has depth {depth}")
    unit = UnitSpec(order=order, body=body, shortcut=shortcut, down="projection" if body == "bottleneck" else "pool")
    return NetworkSpec(units=(per_stage,) * 3, unit=unit)


def _imagenet_spec(depth: int, order: Order) -> NetworkSpec:
    unit = UnitSpec(order=order, body="bottleneck", down="projection")
    widths = (64, 128, 256, 512)
    return NetworkSpec(units=_IMAGENET_UNITS[depth], widths=widths, unit=unit, classes=1000, stem="imagenet")


@cache
def _build(spec: NetworkSpec) -> ResidualNetwork:
    """The network on the meta device; built once a process (a thousand layers take a third of a second): read only."""
    network = build(spec, device="meta")
    assert isinstance(network, ResidualNetwork)
    return network


def cifar_parameters(*, depth: int, body: Body = "basic", order: Order = "original", batch_norm: bool = True) -> int:
    """Learnable parameters of a CIFAR-10 network, with or without those of BN."""
    return parameter_count(_build(_cifar_spec(depth, body, order)), batch_norm=batch_norm)


def cifar_parameter_counts(*, depths: Sequence[int]) -> list[int]:
    """:func:`cifar_parameters` of the networks of basic units in the original order."""
    return [cifar_parameters(depth=depth) for depth in depths]


def shortcut_extra_parameters(*, shortcut: Shortcut, depth: int) -> int:
    """Parameters that a shortcut type adds to the original CIFAR network, BN not counted."""
    counts = [
        parameter_count(_build(_cifar_spec(depth, "basic", "original", kind)), batch_norm=False)
        for kind in (shortcut, "identity")
    ]
    return counts[0] - counts[1]


def shortcut_weights(*, depth: int) -> int:
    """Parameters on the shortcuts of the original CIFAR network: option A has none."""
    network = _build(_cifar_spec(depth, "basic", "original"))
    return sum(parameter_count(unit.skip) + parameter_count(unit.entry) for unit in network.residual_units())


def _convolutions(unit: ComposedUnit) -> list[CopiesConv2d]:
    """The weight layers of the residual branch, in order."""
    return [layer for layer in unit.residual if isinstance(layer, CopiesConv2d)]


def _stride(unit: ComposedUnit) -> int:
    stride = 1
    for convolution in _convolutions(unit):
        stride *= convolution.stride[0]
    return stride


def _stages(network: ResidualNetwork) -> list[list[ComposedUnit]]:
    """Units of one map size together: a strided unit opens the next stage, for its output is the smaller map."""
    stages: list[list[ComposedUnit]] = [[]]
    for unit in network.residual_units():
        if _stride(unit) > 1:
            stages.append([])
        stages[-1].append(unit)
    return stages


def units_by_map(*, depth: int, body: Body, order: Order = "original") -> list[int]:
    """Residual units at each map size of a CIFAR network (32, 16, 8 pixels)."""
    return [len(stage) for stage in _stages(_build(_cifar_spec(depth, body, order)))]


def imagenet_units(*, depth: int) -> list[int]:
    """[weight layers, units at 56, 28, 14, 7 pixels] of a pre-activation ImageNet network."""
    network = _build(_imagenet_spec(depth, "preact"))
    stages = _stages(network)
    return [_depth(network), *(len(stage) for stage in stages)]


def _depth(network: ResidualNetwork) -> int:
    """Weight layers on the longest path: the stem's convolution, the branches' and the classifier."""
    outside = [*network.stem.modules(), network.classifier]
    weights = sum(isinstance(module, CopiesConv2d | CopiesLinear) for module in outside)
    return weights + sum(len(_convolutions(unit)) for unit in network.residual_units())


def weight_layers(*, depths: Sequence[int]) -> list[int]:
    """Weight layers counted in the CIFAR network of basic units that is built for each depth."""
    return [_depth(_build(_cifar_spec(depth, "basic", "original"))) for depth in depths]


def weight_layers_by_map(*, depth: int) -> list[int]:
    """Branch layers, their output channels and the shortcuts, for each of the three map sizes of a basic CIFAR network.

    ``[layers at 32 pixels, at 16, at 8, channels at 32, at 16, at 8, shortcuts in all]``.
    """
    stages = _stages(_build(_cifar_spec(depth, "basic", "original")))
    layers = [[layer for unit in stage for layer in _convolutions(unit)] for stage in stages]
    channels = [{layer.out_channels for layer in stage} for stage in layers]
    return [*map(len, layers), *(width for (width,) in channels), sum(map(len, stages))]


def map_reductions(*, network: Literal["cifar", "imagenet"], depth: int) -> int:
    """Units that reduce the feature map (the stem does not count)."""
    return len(_stages(_build(_named(network, depth)))) - 1


def reducing_kernels(*, depth: int) -> list[int]:
    """The kernels of the branches' strided layers in a bottleneck CIFAR network, in order; a 1x1 reads 1 pixel of 4."""
    units = _build(_cifar_spec(depth, "bottleneck", "preact")).residual_units()
    return [layer.kernel_size[0] for unit in units for layer in _convolutions(unit) if layer.stride[0] > 1]


def width_changes(*, network: Literal["cifar", "imagenet"], depth: int) -> int:
    """Units whose shortcut changes the shape of the signal at all."""
    return sum(unit.changes_shape for unit in _build(_named(network, depth)).residual_units())


def _named(network: Literal["cifar", "imagenet"], depth: int) -> NetworkSpec:
    return _cifar_spec(depth, "basic", "original") if network == "cifar" else _imagenet_spec(depth, "preact")


def bottleneck_layers(*, depth: int) -> list[int]:
    """``[kernel, channels]`` of each layer of an identity bottleneck at the largest map, as one flat list."""
    unit = _build(_cifar_spec(depth, "bottleneck", "preact")).residual_units()[1]
    return [number for layer in _convolutions(unit) for number in (layer.kernel_size[0], layer.out_channels)]


def projections(*, depth: int) -> list[int]:
    """The bottleneck CIFAR network's projection shortcuts: [all, of units that reduce the map, pre-activated ones].

    A projection is pre-activated if it reads what the branch reads: the unit's ``entry`` activation, or for unit 1 the
    stem's.
    """
    units = _build(_cifar_spec(depth, "bottleneck", "preact")).residual_units()
    projected = [unit for unit in units if any(isinstance(layer, CopiesConv2d) for layer in unit.skip.modules())]
    activated = [unit for unit in projected if unit is units[0] or not isinstance(unit.entry, nn.Identity)]
    return [len(projected), sum(_stride(unit) > 1 for unit in projected), len(activated)]


@cache
def _multiply_adds(depth: int, body: Body) -> int:
    """Multiply-adds of convolutions and classifier for one 32x32 image, in one real forward pass (weights zero).

    On the CPU: the meta device's shape functions take seconds to import.
    """
    network = _build(_cifar_spec(depth, body, "preact")).eval()
    state = {name: torch.zeros(tensor.shape, dtype=tensor.dtype) for name, tensor in network.state_dict().items()}
    total = 0

    def count(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        assert isinstance(module, CopiesConv2d | CopiesLinear)
        total += output[0].numel() * module.weight[0].numel()

    weighted = [module for module in network.modules() if isinstance(module, CopiesConv2d | CopiesLinear)]
    handles = [module.register_forward_hook(count) for module in weighted]
    with torch.no_grad():
        functional_call(network, state, (torch.zeros(1, 3, 32, 32),))
    for handle in handles:
        handle.remove()
    return total


def complexity_ratio(*, deep: int, shallow: int, body: Body = "bottleneck", shallow_body: Body = "bottleneck") -> float:
    """Multiply-adds of one network over those of another."""
    return _multiply_adds(deep, body) / _multiply_adds(shallow, shallow_body)


def complexity_steps(*, depths: Sequence[int], body: Body) -> list[int]:
    """Second differences of the multiply-adds over equally spaced depths: zero where the cost is linear in depth."""
    if len({later - earlier for earlier, later in pairwise(depths)}) != 1:
        raise ValueError("the depths are not equally spaced")
    costs = [_multiply_adds(depth, body) for depth in depths]
    steps = [later - earlier for earlier, later in pairwise(costs)]
    return [later - earlier for earlier, later in pairwise(steps)]
