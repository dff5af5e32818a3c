"""The paper's procedure (Veit 2016, section 5.2, figure 6b): the gradient along single paths, sampled for each length.

How many paths a length needs depends on how much its gradients differ and on how much of the whole it carries.  Every
length begins with a few; then those are added to whose mean makes the shares uncertain, until all shares are known to
the precision asked for.  Because the sampling stops on what it saw, its standard errors are slightly too small where
few paths were drawn.  A length with few paths in all is enumerated instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resbench.distributed import Ranks
from resbench.experiments.linearised import Linearised
from resbench.experiments.path_gradients import draw_paths, path_norms
from resbench.experiments.path_spectrum import block_rows

__all__ = ["SampledLength", "sample_adaptively"]

_GROWTH = 4
"""A length's sample grows at most so many times a round: the first paths tell little of the spread."""


@dataclass(frozen=True)
class SampledLength:
    """The paths through ``length`` units: norms of the gradient along some of them, or along every one of them."""

    length: int
    norms: NDArray[np.float64]
    every: bool

    @property
    def mean(self) -> float:
        return float(self.norms.mean())

    @property
    def standard_error(self) -> float:
        """Of the mean, over paths; 0 where every path was followed."""
        return 0.0 if self.every else float(self.norms.std(ddof=1)) / math.sqrt(len(self.norms))


def sample_adaptively(
    full: Linearised,
    generator: torch.Generator,
    *,
    precision: float = 0.01,
    first: int = 8,
    most: int = 1000,
    ranks: Ranks | None = None,
) -> list[SampledLength]:
    """Path gradients of every length, more of them where they decide.

    Args:
        full: the linearised network and images; a norm is that of the whole batch's gradient of the mean loss.
        precision: of each length's share of the gradient: its standard error, as a fraction.
        first: paths of each length to begin with, at least 2; ``most``: at the end.
        ranks: processes that share the paths out.  Each draws all of them, and knows all norms after every round.
    """
    if first < 2 or most < first or precision <= 0:
        raise ValueError("sampling needs a positive precision, 2 paths to begin with and no fewer at the end")
    n, among = len(full.units), ranks or Ranks()
    every = [math.comb(n, length) <= first for length in range(n + 1)]
    drawn = [
        _every(n, length) if every[length] else draw_paths(n, [length], first, generator)[0] for length in range(n + 1)
    ]
    norms = _norms(full, drawn, among)
    found = [SampledLength(length, norms[length], every[length]) for length in range(n + 1)]
    while True:
        missing = [
            (one, count) for one, count in zip(found, _missing(found, n, precision, most), strict=True) if count > 0
        ]
        if not missing:
            return found
        drawn = [draw_paths(n, [one.length], count, generator)[0] for one, count in missing]
        for (one, _), added in zip(missing, _norms(full, drawn, among), strict=True):
            found[one.length] = SampledLength(one.length, np.concatenate([one.norms, added]), False)


def _missing(found: list[SampledLength], n: int, precision: float, most: int) -> list[int]:
    """How many more paths each length gets in the next round."""
    carried = [math.log(math.comb(n, one.length)) + math.log(one.mean) if one.mean > 0 else -math.inf for one in found]
    top = max(carried)
    if top == -math.inf:
        return [0] * len(found)
    weights = [math.exp(value - top) for value in carried]
    total = math.fsum(weights)
    wanted = []
    for one, weight in zip(found, weights, strict=True):
        share = weight / total
        error = share * (1 - share) * one.standard_error / one.mean if weight > 0 else 0.0
        size = len(one.norms)
        needed = math.ceil(size * (error / precision) ** 2)
        wanted.append(max(0, min(needed, _GROWTH * size, most) - size))
    return wanted


def _norms(full: Linearised, paths: Sequence[Tensor], ranks: Ranks) -> list[NDArray[np.float64]]:
    """The norms of each group of paths; what goes through a unit together is the same for any number of ranks."""
    block = min((block_rows(unit) for unit in full.units), default=1)
    chunks = [(group, rows) for group, every in enumerate(paths) for rows in every.split(block)]
    mine = [path_norms(full, rows, chunk=block).cpu().numpy() for _, rows in chunks[ranks.rank :: ranks.world]]
    parts = ranks.share(mine)
    found: list[list[NDArray[np.float64]]] = [[] for _ in paths]
    for index, (group, _) in enumerate(chunks):
        found[group].append(parts[index % ranks.world][index // ranks.world])
    return [np.concatenate(group) for group in found]


def _every(n: int, length: int) -> Tensor:
    paths = torch.zeros(math.comb(n, length), n, dtype=torch.bool)
    for row, units in zip(paths, combinations(range(n), length), strict=True):
        row[list(units)] = True
    return paths
