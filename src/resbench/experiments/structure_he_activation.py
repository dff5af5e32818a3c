"""He 2016, section 4, on real networks: what the order of BN, ReLU and addition does to signals and shortcuts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from resbench.experiments.structure_he import images, relative_error, signals, small_network
from resbench.networks.copies import CopiesBatchNorm2d, CopiesConv2d, CopiesLinear, Sequence2d
from resbench.networks.residual import PlainNetwork, PlainSpec, build
from resbench.networks.units import ComposedUnit, Order, UnitSpec

__all__ = [
    "activation_places",
    "asymmetric_equivalence",
    "input_deviation",
    "input_growth",
    "normalisation_error",
    "plain_activations",
    "shortcut_alteration",
    "smallest_increments",
    "truncation",
]


@torch.no_grad()
def smallest_increments(*, order: Order) -> list[float]:
    """For each unit the least entry of ``x_{l+1} - h(x_l)``: never negative with ReLU before addition."""
    network = small_network(UnitSpec(order=order))
    x, _ = signals(network, images())
    units = network.residual_units()
    return [float((x[index + 1] - unit.shortcut(x[index])).min()) for index, unit in enumerate(units)]


def shortcut_alteration(*, order: Order) -> list[float]:
    """For each unit ``|J' v - v| / |v|``: ``J`` the Jacobian of the way ``x_l -> x_{l+1}`` past the branch.

    The branch's output is held fixed, so zero means that the shortcut is an identity through the whole unit.  Units
    that change the signal's shape are left out.
    """
    network = small_network(UnitSpec(order=order))
    x, _ = signals(network, images())
    altered = []
    for signal, unit in zip(x, network.residual_units(), strict=False):
        if unit.changes_shape:
            continue
        leaf = signal.detach().requires_grad_()
        output = unit.after(unit.shortcut(leaf) + unit.branch(signal).detach())
        vector = torch.randn(output.shape, generator=torch.Generator().manual_seed(13), dtype=output.dtype)
        (propagated,) = torch.autograd.grad(output, leaf, vector)
        altered.append(float((propagated - vector).norm() / vector.norm()))
    return altered


@torch.no_grad()
def truncation(*, order: Order, units: int) -> dict[str, float]:
    """Shares of the entries of all sums ``y_l``, %: ``negative``, and ``changed`` by ``f``; He initialisation.

    With ``f = ReLU`` the two are the same; an identity ``f`` changes nothing.
    """
    network = small_network(UnitSpec(order=order), units=(units // 3,) * 3, lived_in=False).train()
    x, _ = signals(network, images())
    shares = []
    for signal, unit in zip(x, network.residual_units(), strict=False):
        total = unit.shortcut(signal) + unit.branch(signal)
        shares.append([float((total < 0).double().mean()), float((unit.after(total) != total).double().mean())])
    negative, changed = (100.0 * math.fsum(column) / units for column in zip(*shares, strict=True))
    return {"negative": negative, "changed": changed}


@torch.no_grad()
def asymmetric_equivalence(*, body: Literal["basic", "bottleneck"] = "basic") -> float:
    """Relative difference of logits: the pre-activation network, and figure 5 (b)'s asymmetric one, built by hand.

    By hand, each unit *ends* with the activation that the next unit's branch reads, while its sum goes on without it
    (equation 9).  The activation's weights are those that the pre-activation network keeps at the next unit's start,
    and after the last addition those of its head.
    """
    spec = UnitSpec(body=body, down="projection" if body == "bottleneck" else "pool")
    network = small_network(spec)
    units = network.residual_units()
    activations = [_leading_activation(unit) for unit in units[1:]] + [network.head_activation]
    total = activated = network.stem(images())
    for unit, activation in zip(units, activations, strict=True):
        # A projection is pre-activated as well (section 4.1): its unit takes the shortcut from the activated signal.
        projected = unit.changes_shape and body == "bottleneck"
        kept = unit.skip(activated if projected else total)
        branch: Any = activated
        for layer in _without_leading_activation(unit):
            branch = layer(branch)
        total = kept + branch
        activated = activation(total)
    return relative_error(network.classifier(activated.mean((2, 3))), network(images()))


def _leading_activation(unit: ComposedUnit) -> nn.Module:
    """BN and ReLU with which a pre-activation unit begins, on its own branch or before both paths."""
    if isinstance(unit.entry, Sequence2d):
        return unit.entry
    norm, relu = unit.residual[0], unit.residual[1]
    if not (isinstance(norm, nn.BatchNorm2d) and isinstance(relu, nn.ReLU)):
        raise ValueError("the unit does not begin with BN and ReLU")
    return nn.Sequential(norm, relu)


def _without_leading_activation(unit: ComposedUnit) -> list[nn.Module]:
    layers = list(unit.residual)
    first = next(index for index, layer in enumerate(layers) if isinstance(layer, CopiesConv2d))
    return layers[first:]


def _trace(
    network: nn.Module, batch: Tensor, watched: Callable[[nn.Module], bool]
) -> list[tuple[nn.Module, Tensor, Tensor]]:
    """The calls of the watched modules in one forward pass, in order: (module, input, output)."""
    calls: list[tuple[nn.Module, Tensor, Tensor]] = []

    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls.append((module, inputs[0], output))

    handles = [module.register_forward_hook(record) for module in network.modules() if watched(module)]
    try:
        network(batch)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _is_layer(module: nn.Module) -> bool:
    return isinstance(module, CopiesConv2d | CopiesLinear | CopiesBatchNorm2d | nn.ReLU)


@torch.no_grad()
def activation_places(*, order: Order, units: int) -> list[int]:
    """Where a network's activations stand, from the calls of one forward pass.

    [ReLUs between the stem's convolution and the split of unit 1, units that begin with an activation of their own
    branch, ReLUs between the last addition's unit and the classifier, 1 if the first weight layer of unit 1 and its
    shortcut both read the stem's activated output].
    """
    network = small_network(UnitSpec(order=order), units=(units // 3,) * 3)
    members = network.residual_units()
    calls = _trace(network, images(), lambda module: _is_layer(module) or isinstance(module, ComposedUnit))
    ends = [index for index, (module, _, _) in enumerate(calls) if isinstance(module, ComposedUnit)]
    starts = [next(i for i, call in enumerate(calls) if call[0] is _first_layer(unit)) for unit in members]
    between = sum(isinstance(module, nn.ReLU) for module, _, _ in calls[: starts[0]])
    own = sum(not isinstance(calls[start][0], CopiesConv2d) for start in starts)
    final = sum(isinstance(module, nn.ReLU) for module, _, _ in calls[ends[-1] + 1 :])
    stem = calls[starts[0] - 1][2]
    both = torch.equal(calls[starts[0]][1], stem) and torch.equal(members[0].shortcut(stem), stem)
    return [between, own, final, int(both and isinstance(calls[starts[0]][0], CopiesConv2d))]


def _first_layer(unit: ComposedUnit) -> nn.Module:
    return next(module for module in unit.residual.modules() if _is_layer(module))


@torch.no_grad()
def normalisation_error(*, order: Order, units: int) -> list[float]:
    """For each weight layer of the units, how far its input is from the output of BN and ReLU.

    At initialisation, in training mode: the largest deviation of a channel's mean from 0 and standard deviation from 1
    in the BN output before the ReLU; 1 where the input is not such an output at all (an unnormalised sum).
    """
    network = small_network(UnitSpec(order=order), units=(units // 3,) * 3, lived_in=False).train()
    errors = []
    normalised: Tensor | None = None
    _stem, *calls, _classifier = _trace(network, images(), _is_layer)
    for module, entered, output in calls:
        if isinstance(module, CopiesBatchNorm2d):
            normalised = output
        elif isinstance(module, CopiesConv2d):
            errors.append(_normalisation_error(entered, normalised))
    return errors


def _normalisation_error(entered: Tensor, normalised: Tensor | None) -> float:
    if normalised is None or normalised.shape != entered.shape or not torch.equal(entered, normalised.relu()):
        return 1.0
    deviation = normalised.std((0, 2, 3), correction=0)
    return max(float(normalised.mean((0, 2, 3)).abs().max()), float((deviation - 1).abs().max()))


@torch.no_grad()
def input_deviation(*, order: Order, units: int) -> list[float]:
    """Standard deviation of what each unit's first weight layer reads, at initialisation, training mode, one stage."""
    network = small_network(UnitSpec(order=order), units=(units,), lived_in=False).train()
    firsts = [next(m for m in unit.residual if isinstance(m, CopiesConv2d)) for unit in network.residual_units()]
    calls = _trace(network, images(), lambda module: any(module is first for first in firsts))
    return [float(entered.std()) for _, entered, _ in calls]


def input_growth(*, order: Order, units: int) -> list[list[float]]:
    """Pairs ``[l, deviation]`` of :func:`input_deviation`, ``l`` from 1."""
    deviations = input_deviation(order=order, units=units)
    return [[float(unit), deviation] for unit, deviation in enumerate(deviations, start=1)]


@torch.no_grad()
def plain_activations(*, convolutions: int) -> list[int]:
    """[weight layers, ReLUs called] of the plain network with that many convolutions and a classifier."""
    network = build(PlainSpec(layers=convolutions, width=4, pools=()))
    assert isinstance(network, PlainNetwork)
    calls = _trace(network.eval(), images().float(), _is_layer)
    weights = sum(isinstance(module, CopiesConv2d | CopiesLinear) for module, _, _ in calls)
    return [weights, sum(isinstance(module, nn.ReLU) for module, _, _ in calls)]
