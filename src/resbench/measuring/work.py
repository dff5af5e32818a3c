"""How much work a recipe is: training steps, multiply-adds, and the images that an experiment passes forwards."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resbench.networks.residual import NetworkSpec, PlainSpec, VggSpec
    from resbench.networks.units import UnitSpec
    from resbench.training.recipes import Recipe

__all__ = ["estimate", "passes", "step_work", "training_steps"]

_BACKWARDS = 3.0
"""A training step costs about three passes forwards over its images."""
_SIDE, _IMAGES, _TEST_IMAGES = 32, 50_000, 10_000


def training_steps(recipe: Recipe) -> int:
    """Mini-batches of the whole training on CIFAR-10."""
    from resbench.training.schedules import total_steps

    return total_steps(recipe, _IMAGES - recipe.validation)


def step_work(recipe: Recipe) -> float:
    """Multiply-adds of one training step forwards, dropped units at their expected share."""
    from resbench.networks.residual import NetworkSpec
    from resbench.training.loop import make_sampler

    spec = recipe.network
    sampler = make_sampler(recipe, spec.n_units, [0]) if isinstance(spec, NetworkSpec) else None
    shares = () if sampler is None else sampler.inclusion()
    return recipe.batch * _multiply_adds(spec, shares)


def estimate(recipe: Recipe, experiments: Collection[str], step_seconds: float, *, trained: bool = False) -> float:
    """Seconds of training (not where it is ``trained``) and of the experiments, if a step takes ``step_seconds``."""
    image = step_seconds / _BACKWARDS * _multiply_adds(recipe.network, ()) / step_work(recipe)
    images = sum(passes(name, _TEST_IMAGES, _units(recipe.network)) for name in experiments)
    if "evaluation" in experiments:  # of the training images as well
        images += _IMAGES
    return image * images + (0.0 if trained else step_seconds * training_steps(recipe))


def passes(experiment: str, images: int, units: int) -> float:
    """How many images pass the whole network, at most; a pass backwards along a path counts like one forwards.

    Single deletions share their beginnings: half of the network each, on average.
    """
    from resbench.experiments import lesion

    draws = {
        "multiple_deletion": lesion.DRAWS * len(lesion.DELETIONS),
        "reordering": lesion.ORDERS * len(lesion.SWAPS),
        "duplication": lesion.DUPLICATION_DRAWS * len(lesion.DUPLICATIONS),
    }
    if experiment in draws:
        return draws[experiment] * images / lesion.THIRDS
    each = {
        "single_deletion": 1 + units / 2,
        "path_gradients": (1 + units) / 5,
        "path_spectrum": (1 + units) / 10,
        "training_curves": 0.0,
    }
    return images * each.get(experiment, 1.0)


def _units(spec: NetworkSpec | PlainSpec | VggSpec) -> int:
    from resbench.networks.residual import NetworkSpec

    return spec.n_units if isinstance(spec, NetworkSpec) else spec.layers


def _multiply_adds(spec: NetworkSpec | PlainSpec | VggSpec, shares: tuple[float, ...]) -> float:
    """Of one image's pass forwards, convolutions alone; ``shares``: how often each unit's branch is computed."""
    from resbench.networks.residual import NetworkSpec

    if not isinstance(spec, NetworkSpec):
        total, inputs, side = 0.0, spec.inputs, _SIDE
        for layer, width in enumerate(spec.widths, start=1):
            total += 9 * inputs * width * side * side
            inputs, side = width, side // 2 if layer in spec.pools else side
        return total
    channels, side, unit = spec.stem_width or spec.widths[0], _SIDE, 0
    total = 9.0 * spec.inputs * channels * side * side
    for stage, (count, width) in enumerate(zip(spec.units, spec.widths, strict=True)):
        for index in range(count):
            stride = 2 if stage > 0 and index == 0 else 1
            branch, rest = _of_unit(spec.unit, channels, width, stride, unit == 0, side)
            total += rest + branch * (shares[unit] if shares else 1.0)
            channels, side, unit = width * spec.unit.expansion, side // stride, unit + 1
    return total


@lru_cache(maxsize=256)
def _of_unit(spec: UnitSpec, channels: int, width: int, stride: int, first: bool, side: int) -> tuple[float, float]:
    """Multiply-adds of a unit's branch, and of its shortcut and gate, for one image of ``side`` x ``side``."""
    import torch
    from torch import nn

    from resbench.networks.units import build_unit

    with torch.device("meta"):
        unit = build_unit(spec, channels, width, stride, first=first)
    totals = [0.0, 0.0]
    for part, modules in enumerate(((unit.residual,), (unit.skip, unit.gate))):
        for module in modules:
            here = side if part == 0 or module is unit.skip else side // stride
            for layer in module.modules() if module is not None else ():
                if isinstance(layer, nn.Conv2d):
                    here //= layer.stride[0]
                    totals[part] += layer.weight.numel() * here * here
    return totals[0], totals[1]
