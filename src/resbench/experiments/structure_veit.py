"""Veit 2016, sections 3 to 6, on real networks: what the unraveled view says of any of them, trained or not.

Networks are this package's, small, with images of random numbers.  Where equality is claimed they are in float64 and
the largest error is given relative to the largest entry; the sampled gradients are those of untrained networks in
training mode (batch statistics), measured exactly as for the trained ones.  Units are counted from 1, as in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resbench.experiments import paths
from resbench.experiments.lesion import body
from resbench.experiments.path_gradients import draw_paths, path_gradients, sample_path_gradients
from resbench.experiments.structure_he import images, relative_error, small_network
from resbench.networks.copies import CopiesConv2d, initialise
from resbench.networks.residual import NetworkSpec, PlainNetwork, PlainSpec, ResidualNetwork, build
from resbench.networks.sampling import ExactlyK
from resbench.networks.units import Order, UnitSpec
from resbench.records.measurement import Measurement

__all__ = [
    "branch_layers",
    "drawn_path_lengths",
    "exchanged_units",
    "excluded_units",
    "half_open_gate_gap",
    "highway_equation_gap",
    "initial_gate_biases",
    "nested_form_gap",
    "path_gradient_sum_gap",
    "plain_widths",
    "removable_layers",
    "sampled_path_gap",
    "transform_gate_means",
    "units_per_draw",
    "untrained_decay_fit",
    "untrained_decay_rate",
    "untrained_effective_range",
    "untrained_mean_length",
    "untrained_share_over",
]

_IMAGE_SIZE = {1: 4, 3: 8}
"""Image size by number of stages: the last maps are at least 2x2."""


# --- the unraveled view ---------------------------------------------------------------------------------------------


@torch.no_grad()
def nested_form_gap() -> float:
    """Relative error of equation 6, every term evaluated on its own, against the forward pass of three units."""
    network = small_network(UnitSpec(), units=(3,))
    f1, f2, f3 = (unit.branch for unit in network.residual_units())
    y0 = network.stem(images())
    y3 = (y0 + f1(y0) + f2(y0 + f1(y0))) + f3(y0 + f1(y0) + f2(y0 + f1(y0)))
    return relative_error(network.head(y3), network(images()))


@lru_cache(maxsize=4)
def _small(n: int, order: Order) -> tuple[ResidualNetwork, Tensor, Tensor]:
    if n % 3:
        raise ValueError(f"{n} units do not make three equal stages")
    network = small_network(UnitSpec(order=order), units=(n // 3,) * 3)
    return network, images(), torch.arange(len(images())) % network.spec.classes


def _ordinary_gradient(network: ResidualNetwork, batch: Tensor, labels: Tensor) -> Tensor:
    """The gradient of the mean cross-entropy at the first unit's input, by autograd alone."""
    start = x = network.stem(batch).detach().requires_grad_()
    for unit in network.residual_units():
        x = unit(x)
    gradient: Tensor = torch.autograd.grad(F.cross_entropy(network.head(x), labels), start)[0]
    return gradient


def path_gradient_sum_gap(n: int, order: Order = "preact") -> float:
    """Relative error of the sum over all ``2^n`` path gradients against the ordinary gradient (eval mode)."""
    network, batch, labels = _small(n, order)
    every = torch.tensor(list(product((False, True), repeat=n)))
    total = path_gradients(network, batch, labels, every).sum(0)
    return relative_error(total, _ordinary_gradient(network, batch, labels))


def sampled_path_gap(n: int, order: Order = "preact") -> float:
    """Largest relative error of a sampled path's gradient against the same path differentiated in one piece.

    The reference runs the path forwards: in its units the branch carries the derivative and the shortcut is a constant,
    in the others the reverse, all at the values of the full pass.  Autograd does the rest.
    """
    network, batch, labels = _small(n, order)
    drawn = draw_paths(n, range(n + 1), 2, torch.Generator().manual_seed(3)).flatten(0, 1)
    measured = path_gradients(network, batch, labels, drawn)
    worst = 0.0
    for path, gradient in zip(drawn, measured, strict=True):
        start = x = network.stem(batch).detach().requires_grad_()
        for unit, through in zip(network.residual_units(), path.tolist(), strict=True):
            shortcut, branch = unit.shortcut(x), unit.branch(x)
            x = unit.after(shortcut.detach() + branch if through else shortcut + branch.detach())
        (expected,) = torch.autograd.grad(F.cross_entropy(network.head(x), labels), start)
        worst = max(worst, relative_error(gradient, expected))
    return worst


def drawn_path_lengths(n: int, lengths: Sequence[int], paths_per_length: int) -> list[int]:
    """The distinct numbers of units on the paths drawn for each length, one list after the other."""
    drawn = draw_paths(n, lengths, paths_per_length, torch.Generator().manual_seed(5)).sum(2)
    return [int(length) for row in drawn for length in row.unique()]


# --- gradients of untrained networks --------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _untrained(stages: int, units: int, paths_per_length: int) -> tuple[dict[str, Any], ...]:
    """The result of the experiment ``path_gradients`` on an untrained thin network, paths of every length 0..units.

    Pre-activation units of 4 channels (doubled from stage to stage), He initialisation, BN weights 1, four images.
    """
    spec = NetworkSpec(units=(units // stages,) * stages, widths=tuple(4 * 2**stage for stage in range(stages)))
    network = build(spec)
    assert isinstance(network, ResidualNetwork)
    initialise(network, [0])
    batch = images(size=_IMAGE_SIZE[stages]).float()
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(len(batch))
    norms = sample_path_gradients(network.train(), batch, labels, range(units + 1), paths_per_length, generator)
    return ({"norms": norms[:, None].numpy()},)


def untrained_decay_fit(stages: int = 3, units: int = 54, paths_per_length: int = 8) -> Measurement:
    """``R^2`` of the straight line through the logarithm of the mean path gradient against the path length."""
    return paths.decay_fit(_untrained(stages, units, paths_per_length), network="untrained")


def untrained_decay_rate(stages: int = 3, units: int = 54, paths_per_length: int = 8) -> Measurement:
    """The factor by which one more unit changes a path's gradient."""
    return paths.decay_rate(_untrained(stages, units, paths_per_length), network="untrained")


def untrained_mean_length(stages: int = 3, units: int = 54, paths_per_length: int = 8) -> Measurement:
    """Mean length of a path, weighted with the gradient it carries, in units."""
    return paths.mean_length(_untrained(stages, units, paths_per_length), network="untrained")


def untrained_effective_range(stages: int = 1, units: int = 54, paths_per_length: int = 16) -> Measurement:
    """The lengths, in units, that carry the middle 95 % of the gradient."""
    return paths.effective_range(_untrained(stages, units, paths_per_length), network="untrained")


def untrained_share_over(length: int, stages: int = 1, units: int = 54, paths_per_length: int = 16) -> Measurement:
    """Share of the gradient on paths longer than ``length`` units, percent."""
    return paths.share_over(_untrained(stages, units, paths_per_length), network="untrained", length=length)


# --- what the protocols assume of the networks ----------------------------------------------------------------------


@torch.no_grad()
def _thin(units: Sequence[int]) -> ResidualNetwork:
    network = build(NetworkSpec(units=tuple(units), widths=tuple(2 * 2**stage for stage in range(len(units)))))
    assert isinstance(network, ResidualNetwork)
    return network


def excluded_units(units: Sequence[int]) -> list[int]:
    """The units that the lesion experiments of this package never delete at random, nor exchange."""
    return sorted(1 + index for index in body(_thin(units)).stage_firsts)


def exchanged_units(units: Sequence[int]) -> list[int]:
    """The units that they draw from."""
    return [1 + index for index in body(_thin(units)).ordinary]


def branch_layers(units: Sequence[int] = (18, 18, 18)) -> list[int]:
    """The distinct numbers of convolutions in the residual branches of a network of basic units."""
    counts = {
        sum(isinstance(layer, CopiesConv2d) for layer in unit.residual.modules())
        for unit in _thin(units).residual_units()
    }
    return sorted(counts)


def units_per_draw(n: int, k: int, draws: int = 200) -> list[int]:
    """The distinct numbers of units in use over many draws of effective-path training's sampler."""
    sampler = ExactlyK(n, k, [0])
    return sorted({int(sampler.draw().sum()) for _ in range(draws)})


def _plain(layers: int, width: int) -> PlainNetwork:
    network = build(PlainSpec(layers=layers, width=width))
    assert isinstance(network, PlainNetwork)
    return network.eval()


def plain_widths(layers: int = 15, width: int = 128) -> list[int]:
    """The distinct output widths of the plain comparator's layers."""
    convolutions = [m for layer in _plain(layers, width).layers for m in layer.modules() if isinstance(m, nn.Conv2d)]
    return sorted({convolution.out_channels for convolution in convolutions})


@torch.no_grad()
def removable_layers(layers: int = 15, width: int = 128) -> list[int]:
    """The layers (from 1) of the plain comparator without which the others still fit together."""
    network = _plain(layers, width)
    removable, x = [], images(1).float()
    for index, layer in enumerate(network.layers):
        output = layer(x)
        if output.shape == x.shape:
            removable.append(index + 1)
        x = network.pool_after(index, output)
    return removable


# --- highway networks -----------------------------------------------------------------------------------------------


def _gated(bias: float, order: Order = "preact") -> ResidualNetwork:
    """Units ``y = T F(x) + (1 - T) x``: exclusive gating (He 2016) is the highway layer with a branch for ``H``."""
    return small_network(UnitSpec(order=order, shortcut="exclusive-gate", gate_bias=bias))


def _gate_convolution(gate: nn.Module | None) -> CopiesConv2d:
    assert gate is not None
    (convolution,) = (layer for layer in gate.modules() if isinstance(layer, CopiesConv2d))
    return convolution


@torch.no_grad()
def half_open_gate_gap(bias: float = 0.0, order: Order = "preact") -> float:
    """Largest relative error of ``highway unit = 1/2 residual unit`` where ``W_g = 0`` and so ``T = sigmoid(bias)``.

    Both have the same branch and are fed the same signal.  With ``T`` one half all over the two are proportional, also
    through a final ReLU.
    """
    gated, residual = _gated(bias, order), small_network(UnitSpec(order=order))
    residual.load_state_dict({name: value for name, value in gated.state_dict().items() if ".gate." not in name})
    x, worst = gated.stem(images()), 0.0
    for highway, plain in zip(gated.residual_units(), residual.residual_units(), strict=True):
        _gate_convolution(highway.gate).weight.zero_()
        y = plain(x)
        worst = max(worst, relative_error(highway(x), 0.5 * y))
        x = y
    return worst


@torch.no_grad()
def highway_equation_gap(bias: float) -> float:
    """Largest relative error of ``y = H(x) T(x) + x (1 - T(x))``, ``T = sigmoid(W x + b)`` written out, over units.

    Units that keep the signal's shape; in the others ``x`` is its pooled, zero-padded shortcut.
    """
    network = _gated(bias)
    x, worst = network.stem(images()), 0.0
    for unit in network.residual_units():
        y = unit(x)
        if not unit.changes_shape:
            gate = _gate_convolution(unit.gate)
            assert gate.bias is not None
            score = torch.einsum("nihw,oi->nohw", x, gate.weight[:, :, 0, 0]) + gate.bias[:, None, None]
            carried = 1 / (1 + score.exp())
            worst = max(worst, relative_error(y, unit.residual(x) * (1 - carried) + x * carried))
        x = y
    return worst


def initial_gate_biases(bias: float) -> list[float]:
    """The distinct biases of an untrained gated network's gates."""
    convolutions = [_gate_convolution(unit.gate) for unit in _gated(bias).residual_units()]
    return sorted({value for layer in convolutions if layer.bias is not None for value in layer.bias.tolist()})


@torch.no_grad()
def transform_gate_means(bias: float) -> list[float]:
    """The mean of the transform gate ``T`` of every unit of an untrained gated network, in order."""
    network = _gated(bias)
    x, means = network.stem(images()), []
    for unit in network.residual_units():
        assert unit.gate is not None
        means.append(float(unit.gate(unit.skip(x)).mean()))
        x = unit(x)
    return means
