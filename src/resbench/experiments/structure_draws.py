"""What training with stochastic depth really draws, computes and saves (Huang 2016, sections 3 and 5).

The sampler is the one that :mod:`resbench.training` uses; what counts is the branches that are computed, not the
draw that the network reports.  Expected values come from :mod:`resbench.experiments.schedules`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resbench.experiments import schedules
from resbench.experiments.schedules import Schedule
from resbench.experiments.structure_huang import (
    N_UNITS,
    THIN,
    freeze_statistics,
    random_images,
    stochastic_recipe,
    thin_network,
)
from resbench.networks.copies import CopiesConv2d
from resbench.networks.residual import NetworkSpec, ResidualNetwork
from resbench.networks.sampling import ExactlyK
from resbench.networks.units import UnitSpec
from resbench.records.measurement import Measurement
from resbench.training.loop import make_sampler, prepare_for_test
from resbench.training.recipes import Recipe
from resbench.training.schedules import learning_rate

__all__ = [
    "branch_factor_gap",
    "branches_not_skipped",
    "depth_as_drawn",
    "flop_saving",
    "initial_gradient_by_units",
    "initial_gradient_ratios",
    "outputs_in_and_over_minibatches",
    "step_learning_rates",
    "survival_outside_interval",
    "units_saved",
]


@torch.no_grad()
def outputs_in_and_over_minibatches(passes: int = 12) -> list[int]:
    """How many different outputs ``[one mini-batch of equal images, passes mini-batches]`` give.

    BN keeps its statistics here, so images do not influence each other: a draw per image would show in the first
    number, a draw that is never renewed in the second.
    """
    network = thin_network()
    network.sampler = make_sampler(stochastic_recipe("linear", 0.5), N_UNITS, [0])
    freeze_statistics(network)
    images = random_images(1).expand(6, -1, -1, -1)
    outputs = [network(images) for _ in range(passes)]
    return [max(_distinct(batch) for batch in outputs), _distinct(torch.stack([batch[0] for batch in outputs]))]


def _distinct(rows: Tensor) -> int:
    """The number of rows that differ by more than rounding."""
    found: list[Tensor] = []
    for row in rows:
        if not any(torch.allclose(row, other, rtol=1e-9, atol=1e-12) for other in found):
            found.append(row)
    return len(found)


class _CountingBranch(nn.Module):
    """Stands where a residual branch does, counts the copies that it is computed for, and contributes nothing."""

    def __init__(self, stride: int):
        super().__init__()
        self.stride, self.computed = stride, 0

    def forward(self, input: Tensor, active: Tensor | None = None) -> Tensor:
        self.computed += input.shape[1]
        return torch.zeros_like(input[:, :, :: self.stride, :: self.stride])


@lru_cache(maxsize=4)
@torch.no_grad()
def _executed(schedule: Schedule, p_last: float, draws: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """How often each unit's branch was computed in ``draws`` draws, and the depth of each draw.

    The draws are those of 500 copies of a network one channel wide, whose branches only count: a branch that is
    computed for ``m`` copies is handed ``m`` channels.  So this is what was computed, not what was drawn.
    """
    copies = 500
    if draws % copies:
        raise ValueError(f"the number of draws is a multiple of {copies}, not {draws}")
    spec = NetworkSpec(widths=(1, 1, 1), unit=UnitSpec(order="original"), inputs=1)
    network = ResidualNetwork(spec, copies=copies).train()
    network.sampler = make_sampler(stochastic_recipe(schedule, p_last, spec), N_UNITS, range(copies))
    branches = [_CountingBranch(2 if unit.changes_shape else 1) for unit in network.residual_units()]
    for unit, branch in zip(network.residual_units(), branches, strict=True):
        unit.register_module("residual", branch)
    images = torch.zeros(2, copies, 4, 4)
    depths: list[int] = []
    for _ in range(draws // copies):
        network(images)
        depths += [N_UNITS] * copies if network.last_draw is None else network.last_draw.sum(1).tolist()
    return tuple(branch.computed for branch in branches), tuple(depths)


def survival_outside_interval(schedule: Schedule, p_last: float, draws: int = 10_000) -> Measurement:
    """How many of the 54 units were used implausibly often or seldom for their ``p_l``.

    Implausible: outside the simultaneous (Bonferroni) binomial interval of 99.9 %.  A schedule that starts at
    ``p_1 = 1``, as ``(l - 1) / (L - 1)`` does, or units that never drop are outside it.
    """
    from scipy.special import bdtr

    counts, _ = _executed(schedule, p_last, draws)
    tail = 0.001 / (2 * N_UNITS)
    outside = []
    for unit, used in enumerate(counts, start=1):
        p = float(schedules.survival(N_UNITS, str(p_last), unit, schedule))
        no_more, no_less = bdtr(used, draws, p), bdtr(draws - used, draws, 1.0 - p)
        if min(no_more, no_less) < tail:
            outside.append(unit)
    frequencies = [used / draws for used in counts]
    return Measurement(
        len(outside), samples={"frequency": frequencies}, n=draws, detail=f"units outside the interval: {outside}"
    )


def depth_as_drawn(schedule: Schedule, p_last: float, draws: int = 10_000) -> Measurement:
    """Mean number of branches that a training pass computes, units."""
    counts, depths = _executed(schedule, p_last, draws)
    mean = sum(counts) / draws
    spread = math.sqrt(sum((depth - mean) ** 2 for depth in depths) / (draws - 1))
    half = 1.96 * spread / math.sqrt(draws)
    return Measurement(
        mean,
        interval=(mean - half, mean + half),
        method="normal approximation of the mean over draws",
        samples={"draws_of_depth": [depths.count(depth) for depth in range(N_UNITS + 1)]},
        n=draws,
        detail=f"standard deviation {spread:.2f} units, range {min(depths)} to {max(depths)}",
    )


def units_saved(schedule: Schedule, p_last: float, draws: int = 10_000) -> Measurement:
    """Share of the branches that training passes do not compute, %."""
    depth = depth_as_drawn(schedule, p_last, draws)
    assert isinstance(depth.value, float)
    assert depth.interval is not None
    low, high = (100.0 * (1.0 - bound / N_UNITS) for bound in reversed(depth.interval))
    return Measurement(
        100.0 * (1.0 - depth.value / N_UNITS), (low, high), method=depth.method, n=draws, detail=depth.detail
    )


def branches_not_skipped(passes: int = 4) -> Measurement:
    """Disagreements between the draw of a training pass and what it did with each unit's branch.

    A drawn branch is computed once and its weights receive a gradient; another is not computed at all and
    receives none.  (Multiplying by zero computes it, and saves no time.)
    """
    network = thin_network(dtype=torch.float32)
    network.sampler = make_sampler(stochastic_recipe("linear", 0.5), N_UNITS, [0])
    calls = [0] * N_UNITS

    def count(index: int) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_: nn.Module, __: object, ___: Tensor) -> None:
            calls[index] += 1

        return hook

    for index, unit in enumerate(network.residual_units()):
        unit.residual.register_forward_hook(count(index))
    wrong, computed = 0, 0
    for _ in range(passes):
        calls[:] = [0] * N_UNITS
        network.zero_grad(set_to_none=True)
        torch.autograd.backward([network(random_images(4, dtype=torch.float32)).sum()])
        drawn = [True] * N_UNITS if network.last_draw is None else network.last_draw[0].tolist()
        for unit, keep, called in zip(network.residual_units(), drawn, calls, strict=True):
            reached = [parameter.grad is not None for parameter in unit.residual.parameters()]
            wrong += called != int(keep) or any(reached) != keep or all(reached) != keep
        computed += sum(calls)
    return Measurement(wrong, n=passes, detail=f"{computed} of {passes * N_UNITS} branches were computed")


@torch.no_grad()
def flop_saving(schedule: Schedule, p_last: float) -> float:
    """Share of a pass's multiplications that stochastic depth saves on average, %.

    Those of one forward pass of the paper's own network (16/32/64 filters, 32x32 images), each branch weighted with
    the probability by which the sampler of training drops it.
    """
    spec = NetworkSpec(unit=UnitSpec(order="original"))
    network = ResidualNetwork(spec).eval()
    costs: dict[nn.Module, int] = {}

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        costs[layer] = output[0].numel() * weight[0].numel()

    for module in network.modules():
        if hasattr(module, "weight") and not isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(count)
    network(torch.zeros(1, 3, 32, 32))
    sampler = make_sampler(stochastic_recipe(schedule, p_last, spec), spec.n_units, [0])
    used = sampler.inclusion() if sampler is not None else (1.0,) * spec.n_units
    branches = [sum(costs.get(m, 0) for m in unit.residual.modules()) for unit in network.residual_units()]
    saved = sum(cost * (1.0 - p) for cost, p in zip(branches, used, strict=True))
    return 100.0 * saved / sum(costs.values())


def branch_factor_gap(schedule: Schedule, p_last: float) -> float:
    """Largest difference between a unit's factor in the test network and its survival probability."""
    network = thin_network()
    recipe = stochastic_recipe(schedule, p_last)
    network.sampler = make_sampler(recipe, N_UNITS, [0])
    prepare_for_test(network, recipe, random_images(2))
    expected = [float(schedules.survival(N_UNITS, str(p_last), unit, schedule)) for unit in range(1, N_UNITS + 1)]
    return max(abs(unit.scale - p) for unit, p in zip(network.residual_units(), expected, strict=True))


def _stem_gradients(active: int | None, seeds: int) -> Tensor:
    """Mean absolute gradient of the first convolution at initialisation, one value per seed.

    ``active``: exactly so many units (drawn) are used; None: stochastic depth, linear decay to 1/2.
    """
    spec = NetworkSpec(widths=(8, 16, 32), unit=UnitSpec(order="original"))
    network = thin_network(spec, copies=seeds, dtype=torch.float32)
    recipe = stochastic_recipe("linear", 0.5, spec)
    network.sampler = (
        make_sampler(recipe, N_UNITS, range(seeds)) if active is None else ExactlyK(N_UNITS, active, range(seeds))
    )
    labels = torch.randint(0, spec.classes, (16,), generator=torch.Generator().manual_seed(1))
    logits = network(random_images(16, dtype=torch.float32).repeat(1, seeds, 1, 1))
    loss = F.cross_entropy(logits.flatten(0, 1), labels.repeat_interleave(seeds), reduction="sum") / len(labels)
    weight = next(m for m in network.stem.modules() if isinstance(m, CopiesConv2d)).weight
    (gradient,) = torch.autograd.grad(loss, [weight])
    return gradient.view(seeds, -1).abs().mean(1)


def initial_gradient_ratios(seeds: int = 8) -> list[float]:
    """Gradient of the first convolution with stochastic depth over that of the full network, at initialisation."""
    return [float(ratio) for ratio in _stem_gradients(None, seeds) / _stem_gradients(N_UNITS, seeds)]


def initial_gradient_by_units(units: Sequence[int], seeds: int = 8) -> list[float]:
    """The same gradient with exactly ``units`` of 54 units in use, mean over seeds, relative to the full network."""
    full = _stem_gradients(N_UNITS, seeds)
    return [float((_stem_gradients(active, seeds) / full).mean()) for active in units]


def step_learning_rates(epochs: int, at: Sequence[int]) -> list[float]:
    """The learning rate of this package's stepwise schedule at the start of the epochs ``at``, of ``epochs`` in all."""
    recipe = Recipe(residual=THIN, epochs=epochs, schedule="steps")  # one batch an epoch
    return [learning_rate(recipe, epoch, recipe.batch) for epoch in at]
