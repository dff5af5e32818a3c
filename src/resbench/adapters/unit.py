"""The handle through which an experiment sees one residual unit of any network."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from torch import Tensor, nn

from resbench.adapters.pieces import Piece

__all__ = ["AfterKind", "Place", "ResidualUnit", "ShortcutKind"]

ShortcutKind = Literal["identity", "projection", "padding", "altered", "opaque"]
AfterKind = Literal["identity", "relu", "other"]


@dataclass(frozen=True)
class Place:
    """Where in the live model a unit is.

    ``root``: the model.  ``module``: the module whose call the unit is (``whole``), or in whose call it is one of
    several.  ``argument``: the position or name of the unit's input among the arguments of a whole module.
    ``additions``: for each addition that makes up the sum, in order, the module that calls it, which one of that
    module's additions it is, and the position of the operand that holds the shortcut.
    """

    root: nn.Module
    module: nn.Module
    whole: bool
    argument: int | str = 0
    additions: tuple[tuple[nn.Module, int, int], ...] = ()


@dataclass(eq=False)
class ResidualUnit:
    """``y = after(shortcut(x) + branch(x))`` somewhere in a network; holds no weights of its own.

    ``index``: from 0, in order of execution; ``name``: of its module, with the branch's part of it where a module has
    several units.  Shapes are without the batch dimension.  ``shortcut_kind``: ``identity`` (the input itself),
    ``projection`` (weight layers), ``padding`` (a change of shape without weights, option A), ``altered`` (same shape
    but scaled, normalised, gated or overwritten), ``opaque`` (not visible).  ``after_kind``: what follows the addition
    within the unit.  ``group``: units of one group may take each other's place.  ``branch_end``: name and value of the
    parameters of the last weight layer that every way through the branch passes.  ``example``: the recorded input,
    ``(N, *input_shape)``.
    """

    index: int
    name: str
    place: Place
    example: Tensor
    output_shape: tuple[int, ...]
    shortcut_kind: ShortcutKind
    after_kind: AfterKind
    pieces: dict[str, Piece] = field(repr=False)
    branch_end: tuple[tuple[str, nn.Parameter], ...] = field(default=(), repr=False)
    branch_parameters: tuple[tuple[str, nn.Parameter], ...] = field(default=(), repr=False)
    deletable: bool = True
    reason: str = ""
    stage: int = 0
    group: int | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        return tuple(self.example.shape[1:])

    @property
    def changes_shape(self) -> bool:
        """Whether the unit's output has another shape than its input."""
        return self.input_shape != self.output_shape

    @cached_property
    def downsampling(self) -> bool:
        """Whether the unit makes the feature map (or the sequence) smaller."""
        if len(self.input_shape) != len(self.output_shape):
            return False
        return self.changes_shape and any(o < i for i, o in zip(self.input_shape, self.output_shape, strict=True))

    @property
    def opaque(self) -> bool:
        """Whether nothing is known of the inside: ``shortcut``, ``branch`` and ``after`` cannot be called."""
        return "branch" not in self.pieces

    def run(self, x: Tensor) -> Tensor:
        """The unit's output as the model's own code computes it; ``x`` is left as it is."""
        return self._piece("run")(x.clone())

    def shortcut(self, x: Tensor) -> Tensor:
        """What the shortcut contributes to the addition."""
        return self._piece("shortcut")(x)

    def branch(self, x: Tensor) -> Tensor:
        """What the residual branch contributes to the addition."""
        total = self._piece("branch")(x)
        for name, part in self.pieces.items():
            if name.startswith("branch+"):
                total = total + part(x)
        return total

    def after(self, x: Tensor) -> Tensor:
        """What follows the addition."""
        return self._piece("after")(x)

    def without_branch(self, x: Tensor) -> Tensor:
        """What is left of the unit when it is deleted: ``after(shortcut(x))``; ``x`` where nothing else is known."""
        if self.opaque and not self.changes_shape:
            return x
        return self.after(self.shortcut(x))

    def _piece(self, name: str) -> Piece:
        if name not in self.pieces:
            raise ValueError(f"unit {self.name}: {self.reason or 'its inside is opaque'}")
        return self.pieces[name]
