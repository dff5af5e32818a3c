"""Random crops and flips of 8-bit images, made where the images are: batches without a data loader."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["Crops"]

_STREAM = 1_000_003
"""Apart from the generators of initialisation and unit draws."""


class Crops:
    """Mini-batches of ``pixels``, uint8 ``(N, C, H, W)``: shuffled, shifted by up to ``shift`` pixels, mirrored.

    The border is the mean colour, rounded to 8 bits: nearly zero after normalisation, as in the papers' code, which
    pads afterwards.  Epoch ``e`` depends on ``seed`` and ``e`` alone, so that any of its batches can be made at any
    time.  The last, incomplete batch of an epoch is left out.

    Args:
        share: which of how many processes this is: its part of each batch.
    """

    def __init__(
        self,
        pixels: Tensor,
        labels: Tensor,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        batch: int,
        shift: int,
        flip: bool,
        seed: int,
        share: tuple[int, int] = (0, 1),
    ):
        self.batch, self.per_epoch = batch, len(pixels) // batch
        self._labels, self._shift, self._flip, self._seed, self._share = labels, shift, flip, seed, share
        colour = torch.tensor([round(255 * value) for value in mean], dtype=torch.uint8, device=pixels.device)
        side = (pixels.shape[2] + 2 * shift, pixels.shape[3] + 2 * shift)
        padded = colour.view(1, -1, 1, 1).expand(len(pixels), -1, *side).contiguous()
        padded[:, :, shift : side[0] - shift, shift : side[1] - shift] = pixels
        # Every shifted view of every image, without copying: (N, C, shifts, shifts, H, W).
        self._windows = padded.unfold(2, pixels.shape[2], 1).unfold(3, pixels.shape[3], 1)
        scale = torch.tensor([255.0 * value for value in std], device=pixels.device)
        self._scale = (1.0 / scale).view(1, -1, 1, 1)
        middle = torch.tensor([255.0 * value for value in mean], device=pixels.device)
        self._offset = (-middle / scale).view(1, -1, 1, 1)
        self._epoch = -1
        self._draws: tuple[Tensor, ...] = ()

    def __len__(self) -> int:
        return len(self._labels)

    def make(self, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        """Batch ``index`` of ``epoch``: float32 images in ``channels_last``, and labels."""
        if epoch != self._epoch:
            self._draw(epoch)
        rank, world = self._share
        size = self.batch // world
        start = index * self.batch + rank * size
        order, dy, dx, mirrored = (values[start : start + size] for values in self._draws)
        chosen = self._windows[order, :, dy, dx]
        if self._flip:
            chosen = torch.where(mirrored.view(-1, 1, 1, 1), chosen.flip(3), chosen)
        images = torch.addcmul(self._offset, chosen.to(self._scale.dtype), self._scale)
        return images.contiguous(memory_format=torch.channels_last), self._labels[order]

    def _draw(self, epoch: int) -> None:
        """All choices of an epoch, drawn on the CPU: the same on every device, and moved at once."""
        generator = torch.Generator().manual_seed((self._seed + _STREAM) * 1_000_000 + epoch)
        count = self.per_epoch * self.batch
        order = torch.randperm(len(self), generator=generator)[:count]
        dy, dx = torch.randint(0, 2 * self._shift + 1, (2, count), generator=generator)
        mirrored = torch.rand(count, generator=generator) < 0.5
        device = self._labels.device
        drawn = [order, dy, dx, mirrored]
        if device.type == "cuda":
            drawn = [values.pin_memory().to(device, non_blocking=True) for values in drawn]
        self._draws, self._epoch = tuple(drawn), epoch
