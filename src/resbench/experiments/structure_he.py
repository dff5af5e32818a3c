"""He 2016, sections 2 and 3, on real networks: how the shortcut carries signal and gradient, trained or not.

The networks are this package's, small and in float64, with images of random numbers.  The signals ``x_l`` are read by
hooks in one ordinary forward pass, and compared with what the paper's equations say of them; equalities are given as
the largest error relative to the largest entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from resbench.networks.copies import CopiesConv2d, initialise
from resbench.networks.residual import NetworkSpec, ResidualNetwork, build
from resbench.networks.units import Order, Shortcut, UnitSpec

__all__ = [
    "backward_decomposition",
    "covers_identity",
    "forward_additivity",
    "forward_from_input",
    "gate_openness",
    "gradient_ratio",
    "images",
    "product_error",
    "relative_error",
    "shortcut_scaling",
    "signals",
    "small_network",
    "unit_openness",
]


def small_network(
    unit: UnitSpec, *, units: Sequence[int] = (4, 4, 4), lived_in: bool = True, width: int = 4, seed: int = 0
) -> ResidualNetwork:
    """A thin network in float64 and eval mode, He-initialised; widths double from stage to stage.

    ``lived_in``: BN weights, biases and running statistics are not those of initialisation (0 and 1 would hide a layer
    that is missing or misplaced) but drawn, and measured on :func:`images`.
    """
    widths = tuple(width * 2**stage for stage in range(len(units)))
    network = build(NetworkSpec(units=tuple(units), widths=widths, unit=unit))
    assert isinstance(network, ResidualNetwork)
    initialise(network, [seed])
    network.double().eval()
    if lived_in:
        generator = torch.Generator().manual_seed(seed + 1)
        norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
        with torch.no_grad():
            for norm in norms:
                norm.weight.copy_(0.5 + torch.rand(norm.weight.shape, generator=generator, dtype=torch.float64))
                norm.bias.copy_(0.2 * torch.randn(norm.bias.shape, generator=generator, dtype=torch.float64))
                norm.momentum = 1.0
            network.train()(images())
        network.eval()
    return network


def images(n: int = 4, size: int = 8) -> Tensor:
    """``(n, 3, size, size)`` standard normal float64 numbers, the same at every call."""
    generator = torch.Generator().manual_seed(7)
    return torch.randn(n, 3, size, size, generator=generator, dtype=torch.float64)


def signals(network: ResidualNetwork, batch: Tensor) -> tuple[list[Tensor], Tensor]:
    """``[x_0, ..., x_L]`` (input of unit 1, output of each unit) of one forward pass, and its logits."""
    units = network.residual_units()
    seen: list[Tensor] = []
    handles = [units[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))]
    handles += [unit.register_forward_hook(lambda _, __, output: seen.append(output)) for unit in units]
    try:
        logits = network(batch)
    finally:
        for handle in handles:
            handle.remove()
    return seen, logits


def _vector(like: Tensor) -> Tensor:
    """A gradient to propagate: standard normal numbers of the shape of ``like``."""
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(11), dtype=like.dtype)


def relative_error(measured: Tensor, expected: Tensor) -> float:
    """Largest absolute difference over the largest absolute entry of ``expected``."""
    return float((measured - expected).abs().max() / expected.abs().max())


def _identity_runs(network: ResidualNetwork) -> Iterator[tuple[int, int]]:
    """Maximal ranges ``[start, stop)`` of units that keep the signal's shape: there ``h`` can be the identity."""
    start = 0
    units = network.residual_units()
    for index, unit in enumerate(units):
        if unit.changes_shape:
            if index > start:
                yield start, index
            start = index + 1
    if start < len(units):
        yield start, len(units)


@torch.no_grad()
def forward_additivity(*, order: Order = "preact", body: Literal["basic", "bottleneck"] = "basic") -> float:
    """Largest relative error of ``x_L = x_l + sum F(x_i)`` over all pairs ``l < L`` of a stage (equation 4)."""
    network = small_network(UnitSpec(order=order, body=body))
    x, _ = signals(network, images())
    branches = [unit.branch(x[index]) for index, unit in enumerate(network.residual_units())]
    return max(
        relative_error(x[low] + torch.stack(branches[low:high]).sum(0), x[high])
        for start, stop in _identity_runs(network)
        for low in range(start, stop)
        for high in range(low + 1, stop + 1)
    )


@torch.no_grad()
def forward_from_input(*, units: int) -> float:
    """Largest relative error of ``x_L = x_0 + sum F(x_i)``, ``L = 1..units``, in a network of one stage."""
    network = small_network(UnitSpec(), units=(units,))
    x, _ = signals(network, images())
    total, worst = x[0], 0.0
    for index, unit in enumerate(network.residual_units()):
        total = total + unit.branch(x[index])
        worst = max(worst, relative_error(total, x[index + 1]))
    return worst


def backward_decomposition(*, order: Order = "preact") -> float:
    """Largest relative error of equation 5 over all pairs ``l < L`` of a stage.

    ``dE/dx_l = dE/dx_L + dE/dx_L d(sum F)/dx_l``: the gradients on the left and in the direct term are those of the
    whole network's forward pass, the last term is the vector-Jacobian product of the branches' sum on its own.
    """
    network = small_network(UnitSpec(order=order))
    x, logits = signals(network, images())
    gradients = torch.autograd.grad(logits.square().sum(), x)
    units = network.residual_units()
    worst = 0.0
    for start, stop in _identity_runs(network):
        for low in range(start, stop):
            leaf = x[low].detach().requires_grad_()
            signal, total = leaf, torch.zeros_like(leaf)
            for high in range(low + 1, stop + 1):
                branch = units[high - 1].branch(signal)
                signal, total = units[high - 1](signal), total + branch
                (through,) = torch.autograd.grad(total, leaf, gradients[high], retain_graph=True)
                worst = max(worst, relative_error(gradients[high] + through, gradients[low]))
    return worst


def gradient_ratio(*, shortcut: Shortcut, weight_scale: float, units: int) -> float:
    """``|dE/dx_0| / |dE/dx_L|`` where every branch is ``weight_scale`` times its initial function.

    BN keeps its initial statistics: measured ones would undo the scaling, as the next BN does in training mode.
    """
    network = small_network(UnitSpec(shortcut=shortcut, branch_scale=weight_scale), units=(units,), lived_in=False)
    x, logits = signals(network, images())
    # A logit, not a square of it: the plain network's logits are themselves of the size of its smallest signals.
    first, last = torch.autograd.grad(logits[:, 0].sum(), [x[0], x[-1]])
    return float(first.norm() / last.norm())


def shortcut_scaling(*, scale: float, units: int) -> list[float]:
    """What ``units`` scaled shortcuts multiply signal and gradient by: [least, greatest] of each.

    The branches are multiplied by zero, so that equation 6's first term is all that is left.
    """
    network = small_network(UnitSpec(shortcut_scale=scale, branch_scale=0.0), units=(units,))
    x, _ = signals(network, images())
    vector = _vector(x[-1])
    (gradient,) = torch.autograd.grad(x[-1], x[0], vector)
    factors = ((x[-1] / x[0])[x[0] != 0].detach(), gradient / vector)
    return [float(extreme) for factor in factors for extreme in (factor.min(), factor.max())]


def product_error(*, shortcut: Literal["conv1x1", "exclusive-gate", "shortcut-gate"], units: int) -> float:
    """Relative error of the shortcuts' part of the gradient against ``prod h_i'``, derived by hand.

    The gradient that reaches ``x_0`` from ``x_L`` by shortcuts alone (the branches are constants) against the product
    of the shortcuts' derivatives at the same signals: ``W`` for a 1x1 convolution, and for ``h(x) = (1 - g(x)) x``
    with ``g = sigmoid(W x + b)``: ``diag(1 - g) - diag(x g (1 - g)) W``.
    """
    network = small_network(UnitSpec(shortcut=shortcut, gate_bias=-1.0), units=(units,))
    x, _ = signals(network, images())
    start = signal = x[0].detach().requires_grad_()
    for index, unit in enumerate(network.residual_units()):
        signal = unit.after(unit.shortcut(signal) + unit.branch(x[index].detach()).detach())
    vector = _vector(signal)
    (measured,) = torch.autograd.grad(signal, start, vector)
    for index, unit in reversed(list(enumerate(network.residual_units()))):
        convolution = _convolution(unit.skip if unit.gate is None else unit.gate)
        matrix = convolution.weight[:, :, 0, 0]
        if unit.gate is None:
            vector = torch.einsum("nohw,oi->nihw", vector, matrix)
            continue
        assert convolution.bias is not None
        here = x[index].detach()
        gate = torch.sigmoid(torch.einsum("nihw,oi->nohw", here, matrix) + convolution.bias[:, None, None])
        through = torch.einsum("nohw,oi->nihw", vector * here * gate * (1 - gate), matrix)
        vector = vector * (1 - gate) - through
    return relative_error(measured, vector.detach())


def _convolution(module: nn.Module) -> CopiesConv2d:
    """The only convolution of a gate or of a 1x1 shortcut."""
    (convolution,) = (layer for layer in module.modules() if isinstance(layer, CopiesConv2d))
    return convolution


@torch.no_grad()
def unit_openness(
    *, gate: Literal["exclusive-gate", "shortcut-gate"], bias: float, weights: Literal["zero", "random"], units: int
) -> list[float]:
    """How far each unit's shortcut is open at initialisation: the mean of ``h(x) / x`` over the entries ``x != 0``.

    Original units (``f = ReLU``) in three equal stages, as in table 1, in training mode.  ``weights``: the gates'
    ``W_g``, all zero or He-initialised as the other convolutions are.
    """
    spec = UnitSpec(order="original", shortcut=gate, gate_bias=bias)
    network = small_network(spec, units=(units // 3,) * 3, lived_in=False, width=8).train()
    for unit in network.residual_units():
        assert unit.gate is not None
        if weights == "zero":
            _convolution(unit.gate).weight.zero_()
    x, _ = signals(network, images())
    means = []
    for signal, unit in zip(x, network.residual_units(), strict=False):
        kept = unit.skip(unit.entry(signal))
        means.append(float((unit.shortcut(signal) / kept)[kept != 0].mean()))
    return means


def gate_openness(
    *, gate: Literal["exclusive-gate", "shortcut-gate"], bias: float, weights: Literal["zero", "random"], units: int
) -> float:
    """The product of :func:`unit_openness` over all units."""
    means = unit_openness(gate=gate, bias=bias, weights=weights, units=units)
    return float(torch.tensor(means, dtype=torch.float64).prod())


@torch.no_grad()
def covers_identity(*, shortcut: Literal["shortcut-gate", "conv1x1"], bias: float = 0.0, units: int = 12) -> float:
    """Relative difference of logits: a network whose shortcuts are set to the identity solution, and the identity's.

    Both have the same weights in stem, branches and classifier.  The identity solution of a gate is ``W_g = 0`` with
    ``b_g = bias`` far below zero, of a 1x1 convolution ``W = I`` (and a BN that changes nothing, eval mode).
    """
    spec = UnitSpec(order="original", down="stride")
    sizes = (units // 3,) * 3
    identity = small_network(spec, units=sizes)
    general = small_network(UnitSpec(order="original", down="stride", shortcut=shortcut, gate_bias=bias), units=sizes)
    general.load_state_dict(general.state_dict() | identity.state_dict())
    for unit in general.residual_units():
        if unit.gate is not None:
            _convolution(unit.gate).weight.zero_()
            continue
        nn.init.dirac_(_convolution(unit.skip).weight)
        for norm in (module for module in unit.skip.modules() if isinstance(module, nn.BatchNorm2d)):
            norm.reset_parameters()
            assert norm.running_var is not None
            norm.running_var.fill_(1.0 - norm.eps)
    return relative_error(general(images()), identity(images()))
