"""A data set that a small network learns in a second."""

from __future__ import annotations

import torch
from torch import Tensor

from resbench.data.cifar10 import ImageSet

__all__ = ["small_images"]


def small_images() -> ImageSet:
    """Ten classes that differ by colour: 200 training images, 100 test images of 8x8."""
    generator = torch.Generator().manual_seed(0)

    def part(count: int) -> tuple[Tensor, Tensor]:
        labels = torch.arange(count) % 10
        noise = torch.randint(0, 40, (count, 3, 8, 8), generator=generator)
        colours = torch.randint(0, 215, (10, 3, 1, 1), generator=torch.Generator().manual_seed(1))
        return (colours[labels] + noise).to(torch.uint8), labels

    train, test = part(200), part(100)
    return ImageSet("small", *train, *test, classes=10, mean=(0.5,) * 3, std=(0.25,) * 3, fingerprint="f" * 16)
