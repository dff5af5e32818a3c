"""scikit-learn's handwritten digits: 1,797 real 8x8 images in ten classes, shipped with the library, no download.

The set is split into two halves of equal class proportions.  A network trained on one half is tested on the
other; two networks, one a half, test every image once (cross-fitting), which halves the variance of an error rate
against a single hold-out of the usual size.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["Dataset", "digits"]

_SPLIT_SEED = 2016


@dataclass(frozen=True)
class Dataset:
    """``images`` float32 ``(N, C, H, W)``, normalised; ``labels`` int64 ``(N,)``; ``half`` int64 ``(N,)`` in {0, 1}.

    ``fingerprint`` is a hash of pixels, labels and split.
    """

    name: str
    images: Tensor
    labels: Tensor
    half: Tensor
    classes: int
    fingerprint: str

    def train(self, half: int) -> tuple[Tensor, Tensor]:
        """The images and labels a network of ``half`` is trained on."""
        keep = self.half == half
        return self.images[keep], self.labels[keep]

    def test(self, half: int) -> tuple[Tensor, Tensor]:
        """The images and labels a network of ``half`` is tested on: the other half."""
        keep = self.half != half
        return self.images[keep], self.labels[keep]


@lru_cache(maxsize=1)
def digits() -> Dataset:
    """The digits, normalised by the mean and standard deviation of all pixels."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    pixels = torch.as_tensor(raw.images, dtype=torch.float32).unsqueeze(1)
    labels = torch.as_tensor(raw.target, dtype=torch.int64)
    half = torch.empty(len(labels), dtype=torch.int64)
    generator = torch.Generator().manual_seed(_SPLIT_SEED)
    turn = 0
    for label in range(10):
        members = (labels == label).nonzero().flatten()
        shuffled = members[torch.randperm(len(members), generator=generator)]
        # Odd classes give their spare image to the halves in turn, so that the halves stay of one size.
        half[shuffled] = (torch.arange(len(members)) + turn) % 2
        turn = (turn + len(members)) % 2
    digest = hashlib.sha256()
    for array in (pixels.to(torch.uint8), labels, half):
        digest.update(array.numpy().tobytes())
    images = (pixels - pixels.mean()) / pixels.std()
    return Dataset("digits", images, labels, half, 10, digest.hexdigest()[:16])
