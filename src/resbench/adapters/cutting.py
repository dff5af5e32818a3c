"""A network cut at its residual units into functions that can be called one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from resbench.adapters.adapting import found_in
from resbench.adapters.errors import CannotAdapt
from resbench.adapters.pieces import NotSelfContained, Piece, piece
from resbench.adapters.unit import ResidualUnit

__all__ = ["Cut", "cut"]


@dataclass(frozen=True)
class Cut:
    """``model(x) = head(unit_n(... between_0(unit_0(stem(x)))))``, for batches of the example's size.

    ``between``: from every unit's output to the next one's input; trivial where they are one value.
    """

    units: list[ResidualUnit]
    stem: Piece
    between: tuple[Piece, ...]
    head: Piece


def cut(model: nn.Module, example: Tensor, *, units: Sequence[str] = ()) -> Cut:
    """Cut ``model`` at its units, on the live modules and weights.

    Args:
        example: ``(N, C, H, W)``; the pieces take batches of N images, since a forward pass may have fixed the number.
        units: as for :func:`resbench.adapt`.

    Raises:
        CannotAdapt: as :func:`resbench.adapt`; or the units do not follow each other: something leads past one.
    """
    found = found_in(model, example, units)
    ends = [(extent.entry, extent.output) for extent in found.extents]
    recording = found.graph.recording
    if len(recording.output) < 1:
        raise CannotAdapt("the model's output is not computed by torch functions")
    starts = [recording.input, *(output for _, output in ends)]
    targets = [*(entry for entry, _ in ends), recording.output[0]]
    names = ["the input", *(unit.name for unit in found.units), "the output"]
    pieces = []
    for place, (start, end) in enumerate(zip(starts, targets, strict=True)):
        try:
            pieces.append(piece(recording, start, end, None))
        except NotSelfContained as error:
            raise CannotAdapt(f"something leads past the way from {names[place]} to {names[place + 1]}") from error
    return Cut(found.units, pieces[0], tuple(pieces[1:-1]), pieces[-1])
