"""A data set known by a sample of its images' hashes: enough to notice a copy that is not the same, in few bytes.

An image's *key* is a number of 64 bits: 56 bits of the BLAKE2b hash of its pixels, then 8 bits of its label.  A
*sketch* of a data set holds the keys in a fixed part of their range (the lowest 1/32), whose images are therefore a
random sample that everybody draws alike, whatever the order of the images.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

__all__ = ["Keys", "Sketch", "keys_of", "sampled"]

Keys = NDArray[np.uint64]

_LABEL_BITS = np.uint64(8)
_LIMIT = np.uint64(2**64 // 32)


def keys_of(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Keys:
    """The keys of ``images`` (N, C, H, W), in memory in that order, and ``labels`` (N,), 0 to 255; ``(N,)``.

    Two images of 60,000 have one hash by chance with probability 3e-8.
    """
    digests = (blake2b(image.data, digest_size=7).digest() for image in images)
    joined = b"".join(digest + bytes((label,)) for digest, label in zip(digests, labels.tolist(), strict=True))
    return np.frombuffer(joined, ">u8").astype(np.uint64)


def sampled(keys: Keys) -> NDArray[np.bool_]:
    """Which of ``keys`` belong into a sketch: about one of 32."""
    return keys < _LIMIT


@dataclass(frozen=True)
class Sketch:
    """``count``: the images of the whole set; ``keys``: those sampled of them, each once."""

    count: int
    keys: Keys

    def share(self, found: Keys) -> float:
        """Of the sketch's images, with their labels, the share that is among those with keys ``found``, 0 to 1."""
        return float(np.isin(self.keys, found).mean())

    def share_of_pixels(self, found: Keys) -> float:
        """The same, whatever the labels."""
        return float(np.isin(self.keys >> _LABEL_BITS, found >> _LABEL_BITS).mean())
