"""Makes src/resbench/data/cifar10_sketch.npz of a copy of CIFAR-10 with few images that are not the original's.

Usage: python -m tests.data.make_sketch FOLDER (with train.npz and test.npz)

The copy that it was made of has 93 images (73 + 20 of 60,000) from a JPEG copy, all others are pixel-exact.  Which
these are can be seen, so they are left out: a JPEG file holds multiples of a step for every frequency of an 8 x 8
block, and the steps of quality 75 still show in the pixels of exactly so many images, and of no other.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

from resbench.data.sketch import Keys, keys_of, sampled

STEPS_AT_50 = np.array(
    """16 11 10 16 24 40 51 61  12 12 14 19 26 58 60 55  14 13 16 24 40 57 69 56  14 17 22 29 51 87 80 62
    18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92  49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99
    """.split(),
    float,
).reshape(8, 8)
"""Of luminance: table K.1 of ITU-T T.81, at libjpeg's quality 50."""

AT_MOST = 0.18
"""Mean distance from a multiple, in steps: 0.25 by chance.  Of the 60,000 images, 93 are below, at 0.03 to 0.17, and
the next are at 0.20 (training) and 0.22 (test)."""


def from_jpeg(images: NDArray[np.uint8], quality: int = 75) -> NDArray[np.bool_]:
    """Which of ``images`` (N, 3, H, W) were JPEG files of ``quality`` (50 or more); ``(N,)``."""
    count, _, height, width = images.shape
    luminance = np.tensordot([0.299, 0.587, 0.114], images.astype(float), (0, 1)) - 128
    blocks = luminance.reshape(count, height // 8, 8, width // 8, 8).swapaxes(2, 3)
    in_steps = dctn(blocks, axes=(3, 4), norm="ortho") / np.floor((STEPS_AT_50 * (200 - 2 * quality) + 50) / 100)
    away, shown = np.abs(in_steps - in_steps.round()), np.abs(in_steps) > 0.5
    distance = np.where(shown, away, 0).sum((1, 2, 3, 4)) / np.maximum(1, shown.sum((1, 2, 3, 4)))
    return np.asarray(distance < AT_MOST)


def sketch(file: Path) -> Keys:
    """The sampled keys, ascending, of ``file`` (arrays ``images`` uint8 NHWC, ``labels``)."""
    with np.load(file) as arrays:
        images, labels = np.ascontiguousarray(arrays["images"].transpose(0, 3, 1, 2)), arrays["labels"]
    keys = keys_of(images, labels)
    chosen = sampled(keys)
    return np.unique(keys[chosen][~from_jpeg(images[chosen])])


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    target = Path(__file__).parents[2] / "src/resbench/data/cifar10_sketch.npz"
    np.savez(target, train=sketch(folder / "train.npz"), test=sketch(folder / "test.npz"))
