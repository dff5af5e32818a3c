"""The exact gradient by path length of a target, image by image, within a bound of memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resbench.distributed import Ranks
from resbench.errors import NotMeasured, UserError
from resbench.experiments.linearised import Linearised
from resbench.experiments.path_spectrum import Stack, coefficients, signal_by_length, through_units
from resbench.experiments.path_target import linearised_target
from resbench.targets.target import UserTarget

__all__ = ["ExactLengths", "Participation", "exact_lengths", "images_at_once"]

Floats = NDArray[np.float64]

_TOGETHER = 64
"""Images in one pass at most: its own activations are outside the bound, and more images together are no faster."""

_COPIES = 3
"""A stack of rows, the stack that it becomes, and what one block of it needs on the way."""


@dataclass(frozen=True)
class Participation:
    """Of the units, or of the stages, in order.

    ``norms``: of the gradient through each, as a share of the whole gradient's norm.  ``shares``: the part of the whole
    gradient that it makes up along its direction; a unit's is 1 where every path that matters passes its branch.
    """

    norms: tuple[float, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True)
class ExactLengths:
    """``log_norms``: natural logarithms, ``(lengths, images)``, of the gradient of each image's own loss; of all paths
    of one length together.  With ``longer`` the last row is that of all longer paths.

    ``along``: the part of the whole gradient that each row makes up, along its direction; they sum to one.
    ``norm``: of the whole gradient of the mean loss.  ``gap``: the distance of the rows' sum from the gradient that
    autograd finds, relative.
    ``forward``: logarithms, as ``log_norms``, of the linearised signal at the last unit's output, where the first
    unit's input is the change that is followed; None where it was not asked for.
    """

    log_norms: Floats
    longer: bool
    along: Floats
    norm: float
    gap: float
    units: Participation | None
    stages: Participation | None
    forward: Floats | None


def images_at_once(target: UserTarget, rows: int, memory: int) -> int:
    """How many images go through together where ``memory`` bytes may hold ``rows`` gradients of each.

    Raises:
        UserError: not even one.
    """
    largest = max(math.prod(shape) for unit in target.units for shape in (unit.input_shape, unit.output_shape))
    each = _COPIES * rows * largest * target.example.element_size()
    if each > memory:
        raise UserError(
            f"{rows} lengths of one image need {each / 2**30:.2g} GiB, more than {memory / 2**30:.2g}: "
            "give --memory or --max-length"
        )
    return min(memory // each, _TOGETHER)


def exact_lengths(
    target: UserTarget,
    images: Tensor,
    labels: Tensor,
    *,
    longest: int | None = None,
    participation: bool = True,
    forward: bool = False,
    memory: int = 2**30,
    ranks: Ranks | None = None,
) -> ExactLengths | None:
    """Propagate the polynomial through ``target``, some images at a time (their losses are independent of each other).

    None elsewhere than on rank 0 of ``ranks``, which share these groups out: as many at most as there are groups.

    Args:
        longest: lengths 0 to ``longest`` are told apart; by default all.
        participation: also through which units and stages the gradient goes, at about the same cost again.
        forward: also the signal by path length, forwards; at more than the same cost again.
        memory: bytes, for the gradients that are on their way; what ordinary passes over these images (64 at most
            together) take comes on top.

    Raises:
        NotMeasured: the target has no paths (:func:`linearised_target`), or its gradient is not finite, or zero.
        UserError: the memory does not do for one image.
    """
    n = len(target.units)
    lengths = n + 1 if longest is None or longest >= n else longest + 2
    stages = [unit.stage for unit in target.units]
    rows = max(lengths, 1 + len(set(stages)) + n) if participation else lengths
    size = images_at_once(target, rows, memory)
    among = ranks or Ranks()
    groups = list(zip(images.split(size), labels.split(size), strict=True))
    found: dict[int, _Group] = {}
    for index in range(among.rank, len(groups), among.world):
        full = linearised_target(target, *groups[index], between=True)
        group = _of_paths(full, coefficients(full, longest=longest))
        if participation:
            group.through = _of_units(full, stages)
        if forward:
            signal = signal_by_length(full.units, full.units[0].shortcut.source.detach(), longest=longest)
            group.forward = signal.log_norms().cpu().numpy()
        found[index] = group
    parts = among.gather(found)
    if parts is None:
        return None
    sums = _Sums()
    for index, (_, truth) in enumerate(groups):
        # In their order, whoever computed them: sums of floating point numbers depend on it.
        sums.add(parts[index % among.world][index], len(truth))
    return sums.result(len(labels), lengths <= n)


@dataclass
class _Group:
    """What some images come to; their loss is the mean over them.  On the CPU.

    ``along``: products of the rows with the gradient; ``square``: of the gradient, ``gap`` of its distance from the
    rows' sum; ``through``: squares, and products with the gradient, of the units' and the stages' rows.
    """

    log_norms: Floats
    along: Tensor
    square: float
    gap: float
    through: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    forward: Floats | None = None


def _of_paths(full: Linearised, rows: Stack) -> _Group:
    assert full.ordinary is not None
    gradient = full.ordinary.double()
    if not bool(gradient.isfinite().all()):
        raise NotMeasured("no paths: the gradient is not finite")
    products = (rows.values.flatten(1).double() @ gradient.flatten()).cpu() * rows.exponents.double().exp2()
    gap = float((rows.total().double() - gradient).square().sum())
    return _Group(rows.log_norms().cpu().numpy(), products, float(gradient.square().sum()), gap)


def _of_units(full: Linearised, stages: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
    found = through_units(full, stages)
    total = found.total.double()
    stage = total - found.without.double()
    return [
        (rows.flatten(1).square().sum(1).cpu(), (rows.flatten(1) @ total.flatten()).cpu())
        for rows in (found.units.double(), stage)
    ]


class _Sums:
    """Squares and products over all images, of the gradients of their own losses."""

    def __init__(self) -> None:
        self.log_norms: list[Floats] = []
        self.forward: list[Floats] = []
        self.along: Tensor | float = 0.0
        self.squares = self.gaps = 0.0
        self.through: list[tuple[Tensor, Tensor]] = []

    def add(self, group: _Group, images: int) -> None:
        # The loss is the mean over this group; each image's own is so many times larger.
        self.log_norms.append(group.log_norms + math.log(images))
        self.along = self.along + images**2 * group.along
        self.squares += images**2 * group.square
        self.gaps += images**2 * group.gap
        here = [(images**2 * squares, images**2 * products) for squares, products in group.through]
        before = self.through or [(torch.zeros_like(a), torch.zeros_like(b)) for a, b in here]
        self.through = [(a + c, b + d) for (a, b), (c, d) in zip(before, here, strict=True)]
        if group.forward is not None:
            self.forward.append(group.forward)

    def result(self, images: int, longer: bool) -> ExactLengths:
        if self.squares == 0:
            raise NotMeasured("no paths: the gradient at the first unit is zero")
        units, stages = (self._participation(*pair) for pair in self.through) if self.through else (None, None)
        return ExactLengths(
            log_norms=np.concatenate(self.log_norms, axis=1),
            longer=longer,
            along=np.asarray(self.along) / self.squares,
            norm=math.sqrt(self.squares) / images,
            gap=math.sqrt(self.gaps / self.squares),
            units=units,
            stages=stages,
            forward=np.concatenate(self.forward, axis=1) if self.forward else None,
        )

    def _participation(self, squares: Tensor, products: Tensor) -> Participation:
        norms = (squares / self.squares).sqrt()
        return Participation(tuple(norms.tolist()), tuple((products / self.squares).tolist()))
