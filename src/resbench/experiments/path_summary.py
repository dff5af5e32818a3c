"""What a gradient by path length comes to: shares, the range that carries it, and its decay; with intervals.

Rows are the measurement itself and its bootstrap replicates: of the images where every path was counted, of the paths
where they were sampled.  Values are logarithms, since a long path's gradient may be 1e-60.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from resbench.errors import NotMeasured
from resbench.experiments.path_lengths import central_range
from resbench.experiments.path_sampling import SampledLength
from resbench.experiments.paths import line, resampled_means
from resbench.experiments.resampling import REPLICATES, image_weights
from resbench.statistics import percentile_interval

__all__ = ["Decay", "LengthRows", "over_images", "over_paths", "shares_of_images"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Decay:
    """``r``: the factor by which one more unit changes a path's gradient; the line through its logarithm.

    Lengths count as much as they carry; ``r_squared`` is that of the weighted line.  None: not to be told.
    """

    r: float | None
    interval: tuple[float, float] | None
    r_squared: float | None


@dataclass(frozen=True)
class LengthRows:
    """``logs``: what all paths of each length carry together, ``(1 + replicates, lengths)``, of ``n`` units.

    ``longer``: the same of all longer paths together, where they were not told apart, else None.
    """

    n: int
    logs: Floats
    longer: Floats | None = None

    @cached_property
    def shares(self) -> Floats:
        """Of the sum of all lengths' norms, ``(1 + replicates, lengths)``; a last column for the longer ones."""
        logs = self.logs if self.longer is None else np.concatenate([self.logs, self.longer[:, None]], axis=1)
        top = logs.max(1, keepdims=True)
        weights = np.exp(logs - np.where(np.isfinite(top), top, 0.0))
        return np.asarray(weights / weights.sum(1, keepdims=True))

    @property
    def per_path(self) -> Floats:
        """The logarithm for one path: divided by the number of paths of that length."""
        counts = [math.log(math.comb(self.n, length)) for length in range(self.logs.shape[1])]
        return np.asarray(self.logs - np.array(counts))

    def standard_errors(self, rows: Floats) -> list[float | None]:
        """Of each column of ``rows``, from its replicates; None where there are none."""
        if len(rows) < 2:
            return [None] * rows.shape[1]
        return [float(value) for value in rows[1:].std(0, ddof=1)]

    def ranges(self, mass: float) -> list[tuple[int, int]]:
        """:func:`central_range` of each row's shares."""
        return [central_range(row.tolist(), mass) for row in self.shares]

    def mean_lengths(self) -> Floats:
        """Mean length, weighted with the shares; not defined where longer paths are taken together."""
        return np.asarray(self.shares @ np.arange(self.shares.shape[1]))

    def decay(self) -> Decay:
        """The weighted line through ``log g(k)``."""
        weights = self.shares[0, : self.logs.shape[1]]
        used = np.isfinite(self.per_path).all(0) & (weights > 0)
        length = len(used) if used.all() else int(np.argmin(used))
        if length < 2:
            return Decay(None, None, None)
        with np.errstate(invalid="ignore"):  # a level line explains nothing, of nothing
            slopes, explained = line(self.per_path[:, :length], weights[:length])
        low, high = percentile_interval(np.exp(slopes[1:])) if len(slopes) > 1 else (None, None)
        interval = None if low is None or high is None else (float(low), float(high))
        known = float(explained[0]) if np.isfinite(explained[0]) else None
        return Decay(float(np.exp(slopes[0])), interval, known)


def over_images(log_norms: Floats, n: int, *, longer: bool) -> LengthRows:
    """From logarithms of each image's norms, ``(lengths, images)``; the norm is that of the mean loss of all images.

    ``longer``: the last row is that of all longer paths together.  One image has no replicates; one that drew only
    images without a gradient tells nothing of its shares, and is left out.

    Raises:
        NotMeasured: no image has a gradient.
    """
    if not np.isfinite(log_norms).any():
        raise NotMeasured("no paths: the gradient is zero for every image (is the network sure of all labels?)")
    images = log_norms.shape[1]
    weights = image_weights(images, 0) if images > 1 else np.ones((1, 1))
    top = log_norms.max(1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    squares = np.exp(2 * (log_norms - top))
    weights = weights[weights @ np.isfinite(log_norms).any(0) > 0]
    with np.errstate(divide="ignore"):
        # An image drawn w times counts w times in the mean loss, on its own place: the squares add up.
        logs = 0.5 * np.log(weights @ squares.T) + top.T - math.log(images)
    return LengthRows(n, logs[:, :-1], logs[:, -1]) if longer else LengthRows(n, logs)


def shares_of_images(log_norms: Floats) -> Floats:
    """Each image's shares of its own gradient, ``(lengths, images)``: there an image with a small loss counts like one
    with a large loss.  Images whose gradient is zero are left out.
    """
    top = log_norms.max(0)
    weights = np.exp(log_norms[:, np.isfinite(top)] - top[np.isfinite(top)])
    return np.asarray(weights / weights.sum(0))


def over_paths(found: Sequence[SampledLength], n: int) -> LengthRows:
    """From sampled paths, one entry for each length 0 to ``n``; what is enumerated does not vary."""
    generator = np.random.default_rng(6)
    columns = []
    for one in found:
        means = np.full(1 + REPLICATES, one.mean) if one.every else resampled_means(one.norms, generator)
        columns.append(means)
    counts = np.array([math.log(math.comb(n, length)) for length in range(n + 1)])
    with np.errstate(divide="ignore"):
        return LengthRows(n, np.log(np.stack(columns, axis=1)) + counts)
