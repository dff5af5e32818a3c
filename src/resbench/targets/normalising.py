"""8-bit pixels to what a network takes, on the device where it is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from resbench.errors import UserError

__all__ = ["Normalisation", "moved"]


@dataclass(frozen=True)
class Normalisation:
    """``(x / 255 - mean) / std``, channel by channel, of 8-bit pixels; one number serves every channel.

    Without numbers: ``x / 255``.

    Raises:
        UserError: neither one number nor one a channel.
    """

    channels: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in ((1, self.channels) if self.mean or self.std else (0,)):
                raise UserError(f"--{name} has {len(values)} numbers, the images have {self.channels} channels")

    def __call__(self, pixels: Tensor) -> Tensor:
        """uint8 ``(n, C, H, W)``, any strides, to float32, contiguous, on the same device: the same bits on each."""
        images = torch.empty(pixels.shape, device=pixels.device).copy_(pixels)
        images.div_(_constant((255.0,), images.device))
        if self.mean:
            images.sub_(_constant(self.mean, images.device)).div_(_constant(self.std, images.device))
        return images

    def __str__(self) -> str:
        """Every number that is applied, the same for normalisations that do the same."""
        numbers = [(values or (default,)) for values, default in ((self.mean, 0.0), (self.std, 1.0))]
        return str([values * self.channels if len(values) == 1 else values for values in numbers])


@lru_cache(maxsize=64)
def _constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """``(1, C, 1, 1)`` on the device, since CUDA divides by a number on the CPU inexactly: by way of its reciprocal.

    Kept, since to make one waits for the GPU.
    """
    with torch.inference_mode(False):
        return torch.tensor(values, device=device).view(1, -1, 1, 1)


def moved(values: Tensor, device: torch.device) -> Tensor:
    """On ``device``; from the CPU to a GPU through pinned memory, without waiting."""
    if values.device.type == "cpu" and device.type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)
