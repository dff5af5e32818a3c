"""What the networks' code computes is pinned to its version: checkpoints of another one belong to another function.

Every unit that a recipe of the papers' scale uses is built small, given weights that no generator of a library decides,
and its output on a fixed image compared with the number recorded here.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from resbench.networks.residual import NetworkSpec, PlainSpec, build
from resbench.networks.units import UnitSpec
from resbench.records.versions import NETWORKS
from resbench.training.recipes import load_recipes

PINNED: dict[int, dict[str, tuple[float, float]]] = {
    1: {
        "bn-after-add basic identity stride": (-3.162483, 31.237429),
        "bn-after-add bottleneck identity projection": (0.713822, 0.342679),
        "original basic conv1x1 stride": (-2.106481, 33.174964),
        "original basic dropout stride": (1.562151, 25.818529),
        "original basic exclusive-gate stride": (0.209722, 0.133674),
        "original basic exclusive-gate stride gate_bias=-1": (0.124841, 0.083911),
        "original basic exclusive-gate stride gate_bias=-2": (0.145520, 0.061249),
        "original basic exclusive-gate stride gate_bias=-3": (0.169884, 0.053474),
        "original basic exclusive-gate stride gate_bias=-4": (0.186610, 0.051654),
        "original basic exclusive-gate stride gate_bias=-5": (0.194220, 0.051201),
        "original basic exclusive-gate stride gate_bias=-6": (0.197233, 0.051084),
        "original basic exclusive-gate stride gate_bias=-7": (0.198372, 0.051047),
        "original basic identity pool": (1.715389, 25.648748),
        "original basic identity pool dropout=0.3": (1.715389, 25.648748),
        "original basic identity stride": (1.562151, 25.818529),
        "original basic identity stride shortcut_scale=0.5": (0.753126, 21.679921),
        "original basic identity stride shortcut_scale=0.5 branch_scale=0.5": (0.325301, 0.742666),
        "original basic none stride": (0.146954, 18.027484),
        "original basic shortcut-gate stride": (1.145220, 0.807167),
        "original basic shortcut-gate stride gate_bias=-6": (1.462256, 1.212878),
        "original bottleneck identity projection": (-0.960779, 7.843532),
        "original single identity stride": (0.582598, 0.226909),
        "plain": (0.305542, 0.083791),
        "preact basic identity stride": (8.006647, 93.596367),
        "preact bottleneck identity projection": (2.906549, 6.142427),
        "preact single identity stride": (2.211778, 4.497455),
        "relu-before-add basic identity stride": (2.720880, 27.766516),
        "relu-before-add bottleneck identity projection": (0.204584, 10.887461),
        "relu-only-preact basic identity stride": (0.934718, 21.334743),
        "relu-only-preact bottleneck identity projection": (-1.344350, 14.530811),
    }
}
"""Two numbers of each network in eval mode: its first logit and the mean square of all.  Where one changes, raise
NETWORKS, and put the new numbers under it (`python -m tests.networks.test_networks_version` prints them)."""


def name_of(unit: UnitSpec) -> str:
    """``original basic identity stride`` and whatever is not 1 or 0."""
    words = [unit.order, unit.body, unit.shortcut, unit.down]
    for field in ("shortcut_scale", "branch_scale", "gate_bias", "dropout"):
        value = getattr(unit, field)
        if value != (1.0 if field.endswith("scale") else 0.0):
            words.append(f"{field}={value:g}")
    return " ".join(words)


def kinds() -> dict[str, NetworkSpec | PlainSpec]:
    """One small network for each unit of the recipes, and a plain one."""
    found: dict[str, NetworkSpec | PlainSpec] = {"plain": PlainSpec(layers=3, width=4, pools=(2,))}
    for recipe in load_recipes("cifar10").values():
        if recipe.residual is not None:
            unit = recipe.residual.unit
            found[name_of(unit)] = NetworkSpec(units=(2, 1), widths=(4, 8), unit=unit)
    return dict(sorted(found.items()))


def waves(shape: torch.Size, phase: float, scale: float) -> Tensor:
    """Numbers between -scale and scale, the same everywhere."""
    count = math.prod(shape)
    return (scale * torch.sin(phase + 0.7 * torch.arange(count, dtype=torch.float64))).float().reshape(shape)


@torch.no_grad()
def computed(spec: NetworkSpec | PlainSpec) -> tuple[float, float]:
    network = build(spec).eval()
    for index, (name, value) in enumerate(sorted(network.state_dict().items())):
        if name.endswith("num_batches_tracked"):
            continue
        positive = name.endswith("running_var") or (value.dim() == 1 and name.endswith("weight"))
        # A gate's initial bias is a part of what is built.
        given = value.clone() if ".gate." in name and name.endswith("bias") else float(positive)
        value.copy_(waves(value.shape, float(index), 0.3) + given)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.eps == 1e-5
    logits = network(waves(torch.Size((2, 3, 8, 8)), 0.5, 1.0)).double()
    return float(logits[0, 0]), float(logits.square().mean())


@pytest.mark.parametrize("name", kinds())
def test_a_version_stands_for_what_the_networks_compute(name: str) -> None:
    assert name in PINNED[NETWORKS], "a new unit: add its numbers (no new version)"
    assert computed(kinds()[name]) == pytest.approx(PINNED[NETWORKS][name], abs=1e-5, rel=1e-5), (
        "the networks compute something else: raise NETWORKS"
    )


if __name__ == "__main__":
    for kind, small in kinds().items():
        first, square = computed(small)
        print(f'        "{kind}": ({first:.6f}, {square:.6f}),')
