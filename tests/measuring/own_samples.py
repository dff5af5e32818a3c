"""A small setting: two networks of the papers' names, a few random images, and training that takes a second."""

from __future__ import annotations

from typing import Any

import torch

from resbench.data.cifar10 import ImageSet
from resbench.networks.residual import NetworkSpec, PlainSpec
from resbench.training.recipes import Recipe

SETTING = "cifar10"
BATCH, STEPS = 16, 6


def recipes(**changes: Any) -> dict[str, Recipe]:
    common: dict[str, Any] = {"iterations": STEPS, "batch": BATCH, "lr": 0.01, "halves": (0,), **changes}
    residual = NetworkSpec(units=(3, 3, 3), widths=(4, 4, 4))
    return {
        "resnet110-preact": Recipe(residual=residual, **common),
        "resnet110-constant": Recipe(residual=residual, validation=20, tested="best-validation", **common),
        "vgg15": Recipe(plain=PlainSpec(layers=4, width=4, pools=(2,)), **common),
    }


def images(seed: int = 0, fingerprint: str = "0123456789abcdef") -> ImageSet:
    generator = torch.Generator().manual_seed(seed)

    def pixels(count: int) -> torch.Tensor:
        return torch.randint(0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)

    return ImageSet(
        name="cifar10",
        train=pixels(100),
        train_labels=torch.arange(100) % 10,
        test=pixels(30),
        test_labels=torch.arange(30) % 10,
        classes=10,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        fingerprint=fingerprint,
    )
