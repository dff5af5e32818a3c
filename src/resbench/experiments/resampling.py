"""Uncertainty of what lesions and tests show: resampling of images, and of random draws.

One bootstrap of the *images* serves everything measured on one target, so differences between lesions are paired.
Where lesions were drawn at random the draws are resampled as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resbench.records.results import Result
from resbench.statistics import bootstrap_weights

__all__ = ["REPLICATES", "image_weights", "pooled_errors", "resampled_draws", "weighted"]

REPLICATES = 1000
_SEED = 95

Floats = NDArray[np.float64]


@lru_cache(maxsize=8)
def image_weights(images: int, member: int) -> Floats:
    """Bootstrap weights ``(1 + REPLICATES, images)``; row 0 counts every image once, the rest are multinomial.

    The same for every quantity of one half of the data, so that comparisons between networks are paired by image.
    """
    drawn = bootstrap_weights(images, REPLICATES, _SEED + member)
    return np.concatenate([np.ones((1, images)), drawn.astype(np.float64)])


def weighted(values: NDArray[Any], member: int) -> Floats:
    """Means ``(1 + REPLICATES, rows)`` of ``values`` ``(rows, images)`` under the bootstrap of the images."""
    images = values.shape[1]
    return np.asarray(image_weights(images, member) @ values.T.astype(np.float64) / images)


def pooled_errors(result: Result, key: str = "wrong") -> Floats:
    """Error in percent, ``(1 + REPLICATES, rows)``, of booleans ``(rows, images)``, pooled over the members."""
    total: Floats | float = 0.0
    images = 0
    for index, member in enumerate(result):
        wrong = np.atleast_2d(np.asarray(member[key]))
        total = total + weighted(wrong, index) * wrong.shape[1]
        images += wrong.shape[1]
    return np.asarray(100.0 * total / images)


def resampled_draws(groups: Sequence[Any]) -> NDArray[np.int64]:
    """Indices ``(1 + REPLICATES, runs)`` that redraw each run from the runs of its own group; row 0 is the identity."""
    labels = np.asarray(groups)
    generator = np.random.default_rng((_SEED, len(labels)))
    rows = np.tile(np.arange(len(labels)), (1 + REPLICATES, 1))
    for label in np.unique(labels):
        (members,) = np.nonzero(labels == label)
        rows[1:, members] = generator.choice(members, size=(REPLICATES, len(members)))
    return rows
