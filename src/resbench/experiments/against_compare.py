"""Two networks with the same weights: their outputs and buffers, compared on the same inputs.

A difference is relative and symmetric, ``max |a - b| / max(|a|, |b|)``: 0 for identical, 2 for wholly different.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from resbench.experiments.against_weights import Match, buffers_of, restored, seeded

if TYPE_CHECKING:
    from resbench.adapters import ResidualUnit

__all__ = [
    "MOST",
    "Comparison",
    "Inputs",
    "Mode",
    "Pair",
    "Side",
    "Where",
    "buffers",
    "in_mode",
    "outputs",
    "passed",
    "relative_difference",
    "tolerance_of",
    "unrepeatable",
]

Mode = Literal["eval", "train"]

MOST = 0.5
"""No tolerance is larger: a part that is missing differs by 1."""

WHOLLY = 2.0
"""The difference of ``a`` and ``-a``, and of two tensors that cannot be subtracted."""


@dataclass(frozen=True)
class Side:
    """One of the two networks, with its units in the order of execution."""

    name: str
    network: nn.Module
    units: Sequence[ResidualUnit]


@dataclass(frozen=True)
class Pair:
    """The new network and the old, in one dtype, with the weights that ``match`` says."""

    new: Side
    old: Side
    match: Match
    dtype: torch.dtype
    tolerance: float
    seed: int = 0

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.new, self.old


@dataclass(frozen=True)
class Inputs:
    """Images ``(N, C, H, W)`` that both networks get, in words, with labels ``(N,)`` where there are any."""

    words: str
    images: Tensor
    labels: Tensor | None = None


@dataclass(frozen=True)
class Comparison:
    """How far the networks are from each other in one respect; ``where`` they first differ, '' where they do not.

    ``reason``: why it could not be compared, '' otherwise.
    """

    name: str
    difference: float
    tolerance: float
    where: str = ""
    reason: str = ""

    @property
    def equal(self) -> bool:
        return self.difference <= self.tolerance  # false for NaN


Where = Callable[[Pair, Inputs, Mode], str]


def relative_difference(new: Tensor, old: Tensor, *, floor: float = 0.0) -> float:
    """``max |new - old| / max(max |new|, max |old|, floor)``, between 0 and 2; 2 where the shapes differ.

    NaN where both have entries that are not finite, 2 where one has.
    """
    if new.shape != old.shape:
        return WHOLLY
    a, b = (tensor.detach().cpu().to(torch.float64) for tensor in (new, old))
    sound = [bool(tensor.isfinite().all()) for tensor in (a, b)]
    if not all(sound):
        return WHOLLY if any(sound) else math.nan
    if a.numel() == 0:
        return 0.0
    scale = max(float(a.abs().max()), float(b.abs().max()), floor)
    return float((a - b).abs().max()) / scale if scale else 0.0


def tolerance_of(network: nn.Module, dtype: torch.dtype) -> float:
    """What another order of the same additions may change, relative to the largest entry.

    1e-10 in float64.  Else ``10 eps sum_l sqrt(n_l)``, at most 0.5, over the weight layers, ``n_l`` the products that
    layer ``l`` sums for one entry: rounding errors of a sum of ``n`` terms grow as ``sqrt(n)`` (Higham and Mary 2019,
    "A new approach to probabilistic rounding error analysis", theorem 2.4), and from layer to layer they add up.
    """
    if dtype == torch.float64:
        return 1e-10
    fans = [p[0].numel() for p in network.parameters() if p.ndim > 1]
    return min(MOST, 10.0 * torch.finfo(dtype).eps * sum(math.sqrt(fan) for fan in fans))


@contextmanager
def in_mode(side: Side, mode: Mode, seed: int) -> Iterator[nn.Module]:
    """The network in ``mode``, random numbers from ``seed``; buffers that a pass changes are put back."""
    with restored(side.network, parameters=False), seeded(side.network, seed):
        yield side.network.train(mode == "train")


def passed(pair: Pair, side: Side, images: Tensor, mode: Mode) -> Tensor:
    """The outputs of one pass without gradient; the network may overwrite its input."""
    from resbench.adapters import output_of

    with in_mode(side, mode, pair.seed) as network, torch.no_grad():
        return output_of(network(images.to(pair.dtype, copy=True)))


def outputs(pair: Pair, inputs: Inputs, mode: Mode, where: Where) -> Comparison:
    """The outputs of one pass in ``mode``."""
    name = f"outputs, {mode} mode, {inputs.words}"
    new, old = (passed(pair, side, inputs.images, mode) for side in pair.sides)
    difference = relative_difference(new, old)
    if difference <= pair.tolerance:
        return Comparison(name, difference, pair.tolerance)
    if new.shape != old.shape:
        return Comparison(name, difference, pair.tolerance, f"outputs {tuple(new.shape)}, were {tuple(old.shape)}")
    if math.isnan(difference):
        return Comparison(name, difference, pair.tolerance, "the outputs of both are not finite")
    reason = unrepeatable(pair, inputs, mode)
    return Comparison(name, difference, pair.tolerance, "" if reason else where(pair, inputs, mode), reason)


def unrepeatable(pair: Pair, inputs: Inputs, mode: Mode) -> str:
    """Why a difference in ``mode`` would mean nothing: random numbers that no seed of ours reaches; '' if it means."""
    for side in pair.sides:
        one, other = (passed(pair, side, inputs.images, mode) for _ in range(2))
        again = relative_difference(one, other)
        if again > pair.tolerance:
            return f"{side.name} is not repeatable from one seed in {mode} mode: a second pass differs by {again:.1g}"
    return ""


def buffers(pair: Pair, inputs: Inputs) -> Comparison:
    """The buffers (the running statistics of BN) after one pass in train mode."""
    from resbench.adapters import output_of

    name = f"buffers after a train step, {inputs.words}"
    if pair.match.how == "own":
        return Comparison(name, 0.0, pair.tolerance, reason="buffers cannot be matched: " + pair.match.detail)
    after: list[dict[str, Tensor]] = []
    for side in pair.sides:
        with in_mode(side, "train", pair.seed) as network, torch.no_grad():
            output_of(network(inputs.images.to(pair.dtype, copy=True)))
            after.append({key: buffer.clone() for key, buffer in buffers_of(network).items()})
    new, old = after
    found = [(relative_difference(new[mine], old[theirs]), mine) for mine, theirs in pair.match.buffers]
    differing = [(difference, mine) for difference, mine in found if not difference <= pair.tolerance]
    if not differing:
        return Comparison(name, max((difference for difference, _ in found), default=0.0), pair.tolerance)
    first = f"{differing[0][1]} differs by {differing[0][0]:.2g} ({len(differing)} of {len(found)} buffers differ)"
    worst = math.nan if any(math.isnan(d) for d, _ in differing) else max(d for d, _ in differing)
    return Comparison(name, worst, pair.tolerance, first, unrepeatable(pair, inputs, "train"))
