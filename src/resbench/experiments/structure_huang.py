"""What stochastic depth is in any correct implementation, trained or not (Huang 2016, section 3).

Measured on this package's networks: 54 units after a Conv-BN-ReLU stem, but thin and on small images, which none of
the statements depends on.  Expected values come from :mod:`resbench.experiments.schedules` or are written out here,
never from the code under test.  What training really draws is in :mod:`resbench.experiments.structure_draws`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resbench.experiments import schedules
from resbench.experiments.schedules import Schedule
from resbench.networks.copies import CopiesConv2d, Sequence2d, initialise
from resbench.networks.residual import NetworkSpec, ResidualNetwork
from resbench.networks.sampling import Survival
from resbench.networks.units import ComposedUnit, UnitSpec
from resbench.records.measurement import Measurement
from resbench.training.loop import make_sampler, prepare_for_test
from resbench.training.recipes import Recipe

__all__ = [
    "N_UNITS",
    "THIN",
    "Forced",
    "branch_layers",
    "drops_that_change_the_signal",
    "freeze_statistics",
    "least_unit_input",
    "mean_against_test_linear_network",
    "mean_against_test_one_unit",
    "mean_against_test_z",
    "random_images",
    "stochastic_recipe",
    "thin_network",
    "transition_shortcut_difference",
    "unit_table",
    "update_rule_difference",
    "weight_layers",
]

N_UNITS = 54
THIN = NetworkSpec(widths=(4, 8, 16), unit=UnitSpec(order="original"))


class Forced:
    """A sampler that draws the given gate vectors, one a pass, in turn."""

    def __init__(self, *gates: Sequence[bool]):
        self._gates = [torch.tensor([list(row)], dtype=torch.bool) for row in gates]
        self._next = 0

    def draw(self) -> Tensor:
        self._next += 1
        return self._gates[(self._next - 1) % len(self._gates)]

    def inclusion(self) -> tuple[float, ...]:
        return tuple(torch.cat(self._gates).double().mean(0).tolist())


def thin_network(spec: NetworkSpec = THIN, *, copies: int = 1, dtype: torch.dtype = torch.float64) -> ResidualNetwork:
    """A network of ``spec`` in train mode, He-initialised with seeds 0, 1, ..."""
    network = ResidualNetwork(spec, copies=copies)
    initialise(network, range(copies))
    return network.to(dtype).train()


def random_images(count: int, *, side: int = 8, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Normal noise ``(count, 3, side, side)``."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, side, side, generator=generator, dtype=torch.float64).to(dtype)


def stochastic_recipe(schedule: Schedule, p_last: float, spec: NetworkSpec = THIN) -> Recipe:
    """Training with stochastic depth, tested by equation 5."""
    return Recipe(residual=spec, sampling=schedule, sampling_value=p_last, test_scaling=True)


def freeze_statistics(module: nn.Module) -> None:
    """Let BN use its running statistics although the network trains: images then do not influence each other."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()


@contextmanager
def _recorded(units: Sequence[nn.Module]) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """The (input, output) of each unit in the passes made inside, in the order of execution."""
    seen: list[tuple[Tensor, Tensor]] = []

    def record(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append((inputs[0], output))

    handles = [unit.register_forward_hook(record) for unit in units]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _identity(x: Tensor, unit: ComposedUnit, y: Tensor) -> Tensor:
    """``id(x)`` as the paper defines it: ``x``, or average pooling and zero channels where the shape changes."""
    if not unit.changes_shape:
        return x
    pooled = F.avg_pool2d(x, 2)
    return torch.cat([pooled, pooled.new_zeros(len(x), y.shape[1] - x.shape[1], *pooled.shape[2:])], 1)


def _gate_vectors() -> list[list[bool]]:
    """All units, none, every other one, and three random draws."""
    generator = torch.Generator().manual_seed(5)
    regular = [[True] * N_UNITS, [False] * N_UNITS] + [[u % 2 == odd for u in range(N_UNITS)] for odd in (0, 1)]
    return regular + (torch.rand(3, N_UNITS, generator=generator) < 0.5).tolist()


@torch.no_grad()
def update_rule_difference() -> float:
    """Largest difference of a unit's output from ``ReLU(b f(H) + id(H))`` (equation 2), gates forced; float64.

    The units' test-time factors are set to 1/2, which training must ignore.
    """
    network, images, worst = thin_network(), random_images(4), 0.0
    for unit in network.residual_units():
        unit.test_scale = 0.5
    for gates in _gate_vectors():
        network.sampler = Forced(gates)
        with _recorded(network.residual_units()) as seen:
            network(images)
        for b, unit, (x, y) in zip(gates, network.residual_units(), seen, strict=True):
            expected = torch.relu(float(b) * unit.residual(x) + _identity(x, unit, y))
            worst = max(worst, float((y - expected).abs().max()))
    return worst


@torch.no_grad()
def drops_that_change_the_signal() -> Measurement:
    """How many dropped units do not pass on ``id(H)`` bit by bit (equation 3), the first unit included; float32."""
    network, images = thin_network(dtype=torch.float32), random_images(4, dtype=torch.float32)
    wrong: set[int] = set()
    dropped = 0
    for gates in _gate_vectors():
        network.sampler = Forced(gates)
        with _recorded(network.residual_units()) as seen:
            network(images)
        for index, (b, unit, (x, y)) in enumerate(zip(gates, network.residual_units(), seen, strict=True), start=1):
            dropped += not b
            if not b and not torch.equal(y, _identity(x, unit, y)):
                wrong.add(index)
    return Measurement(len(wrong), n=dropped, detail=f"{dropped} drops; units that changed the signal: {sorted(wrong)}")


@torch.no_grad()
def least_unit_input() -> float:
    """The smallest element of any unit's input, the stem's output included: what makes ReLU(id(H)) = id(H)."""
    network, least = thin_network(), math.inf
    for gates in _gate_vectors():
        network.sampler = Forced(gates)
        with _recorded(network.residual_units()) as seen:
            network(random_images(4))
        least = min(least, *(float(x.min()) for x, _ in seen))
    return least


def _linear_unit(seed: int, channels: int = 4) -> ComposedUnit:
    """A unit whose branch is one convolution: linear, nothing after the addition; float64."""
    convolution = CopiesConv2d(channels, channels, 3)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        convolution.weight.copy_(torch.randn(convolution.weight.shape, generator=generator) / 6.0)
    return ComposedUnit(Sequence2d(convolution), nn.Identity(), nn.Identity()).double()


def _relative(difference: Tensor, reference: Tensor) -> float:
    return float(difference.abs().max() / reference.abs().max())


@torch.no_grad()
def mean_against_test_one_unit(p: float = 0.7) -> float:
    """Largest relative difference between a unit's mean over ``b`` and its test output (equation 5); float64.

    The unit is the paper's own, Conv-BN-ReLU-Conv-BN, before the ReLU that follows the addition.
    """
    unit = thin_network().residual_units()[1].train()
    unit.post = nn.Identity()
    freeze_statistics(unit.residual)
    x = torch.relu(random_images(4)[:, :1].expand(-1, 4, -1, -1) + torch.arange(4.0).view(1, 4, 1, 1))
    kept, dropped = unit(x, torch.tensor([0])), unit(x, torch.tensor([], dtype=torch.int64))
    unit.eval().test_scale = p
    tested = unit(x)
    return _relative(p * kept + (1 - p) * dropped - tested, tested - dropped)


@torch.no_grad()
def mean_against_test_linear_network(n: int = 6, p_last: float = 0.5) -> float:
    """As :func:`mean_against_test_one_unit`, for a network of ``n`` linear units: all ``2^n`` gate vectors, weighted.

    The test network is the one that training leaves behind; draws are independent, so the mean of the product of
    the units is the product of their means.
    """
    spec = NetworkSpec(units=(n,), widths=(4,), unit=UnitSpec(order="original"))
    network = thin_network(spec)
    network.units = nn.ModuleList(_linear_unit(seed) for seed in range(n))
    network.train()
    freeze_statistics(network.stem)
    images = random_images(2)
    gates = [list(row) for row in product((False, True), repeat=n)]
    survival = [float(schedules.survival(n, str(p_last), unit)) for unit in range(1, n + 1)]
    network.sampler = Forced(*gates)
    mean = torch.zeros(2, spec.classes, dtype=torch.float64)
    for row in gates:
        mean += math.prod(p if b else 1 - p for p, b in zip(survival, row, strict=True)) * network(images)
    recipe = stochastic_recipe("linear", p_last, spec)
    network.sampler = make_sampler(recipe, n, [0])
    prepare_for_test(network, recipe, images)
    tested = network(images)
    return _relative(mean - tested, tested)


@torch.no_grad()
def mean_against_test_z(p: float = 0.5, draws: int = 400) -> float:
    """Largest deviation of a linear unit's mean over training passes from its test output, standard errors."""
    spec = NetworkSpec(units=(1,), widths=(4,), unit=UnitSpec(order="original"))
    network = thin_network(spec)
    network.units = nn.ModuleList([_linear_unit(0)])
    network.train()
    freeze_statistics(network.stem)
    network.sampler = Survival((p,), [0])
    images = random_images(1, side=4)
    outputs = torch.stack([network(images) for _ in range(draws)])
    prepare_for_test(network, stochastic_recipe("uniform", p, spec), images)
    error = outputs.std(0) / math.sqrt(draws)
    return float(((outputs.mean(0) - network(images)).abs() / error).max())


def _paper_spec(name: str) -> NetworkSpec:
    """``cifar-L``: the paper's network of ``L = 6 n + 2`` layers; ``imagenet-152``: its bottleneck network."""
    if name == "imagenet-152":
        unit = UnitSpec(order="original", body="bottleneck", down="projection")
        return NetworkSpec(units=(3, 8, 36, 3), widths=(64, 128, 256, 512), unit=unit, classes=1000, stem="imagenet")
    units = schedules.units_of_layers(int(name.removeprefix("cifar-"))) / 3
    if units.denominator != 1:
        raise ValueError(f"{name} has no whole number of units per stage")
    return NetworkSpec(units=(int(units),) * 3, unit=UnitSpec(order="original"))


def _on_meta(spec: NetworkSpec) -> ResidualNetwork:
    with torch.device("meta"):
        return ResidualNetwork(spec).eval()


@torch.no_grad()
def unit_table(network: str = "cifar-110", side: int = 32) -> list[int]:
    """Per map size: units, filters, map side; from the shapes that really occur, flattened."""
    model = ResidualNetwork(_paper_spec(network)).eval()
    rows: dict[tuple[int, int], int] = {}
    with _recorded(model.residual_units()) as seen:
        model(torch.zeros(1, 3, side, side))
    for _, y in seen:
        rows[y.shape[1], y.shape[2]] = rows.get((y.shape[1], y.shape[2]), 0) + 1
    return [value for (filters, size), units in rows.items() for value in (units, filters, size)]


def branch_layers(network: str = "cifar-110") -> list[str]:
    """The layers of a residual branch in order; ValueError unless they are the same in all units."""
    names = {CopiesConv2d: "conv", nn.ReLU: "relu"}
    branches = {
        tuple(names.get(type(layer), "bn" if isinstance(layer, nn.BatchNorm2d) else "other") for layer in unit.residual)
        for unit in _on_meta(_paper_spec(network)).residual_units()
    }
    (branch,) = branches
    return list(branch)


def weight_layers(network: str) -> int:
    """Convolutions and fully connected layers on the longest way through the network; shortcuts do not count."""
    model = _on_meta(_paper_spec(network))
    branches = [m for unit in model.residual_units() for m in unit.residual.modules()]
    return sum(isinstance(m, CopiesConv2d) for m in [*branches, *model.stem.modules()]) + 1


@torch.no_grad()
def transition_shortcut_difference() -> float:
    """Largest difference of the two transitions' shortcuts from average pooling and zero channels."""
    network, worst = thin_network(), 0.0
    transitions = [unit for unit in network.residual_units() if unit.changes_shape]
    for channels, unit in zip(THIN.widths[:2], transitions, strict=True):
        x = random_images(channels * 4).view(4, channels, -1, 8)
        y = unit.shortcut(x)
        worst = max(worst, float((y - _identity(x, unit, y.expand(-1, 2 * channels, -1, -1))).abs().max()))
    return worst
