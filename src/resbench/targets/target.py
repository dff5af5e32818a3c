"""A user's network, ready to be measured."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resbench.targets.images import Images

if TYPE_CHECKING:
    from resbench.adapters import ResidualUnit

__all__ = ["UserMember", "UserTarget"]


@dataclass(frozen=True)
class UserTarget:
    """A network that resbench did not build.

    ``name``: as the user gave it.  ``model``: eval mode, float32.  ``example``: ``(N, C, H, W)``, N at least 2.
    ``units``: in the order of execution.  ``survival``: the probability of each unit, None where none is declared.
    ``data``: labelled images; their batches go to ``device``.
    ``trained``: a checkpoint was given, or the error on the data is below chance.
    ``against``: the network that this one is compared with (a refactoring's old one).
    ``globs``: those that chose the units, where the user gave some.
    ``thorough``: random lesions are measured on all images, paths on many, where otherwise some must do.
    """

    name: str
    model: nn.Module
    example: Tensor
    units: list[ResidualUnit]
    survival: tuple[float, ...] | None
    data: Images | None
    trained: bool
    seed: int
    against: UserTarget | None = None
    globs: tuple[str, ...] = ()
    thorough: bool = False

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.example.device

    @cached_property
    def misclassified(self) -> NDArray[np.bool_]:
        """Which of the images the network gets wrong, ``(images,)``; empty without data.  Several experiments ask."""
        from resbench.targets.classifying import classified_wrong

        if self.data is None:
            return np.zeros(0, dtype=bool)
        return classified_wrong(self.model, self.data, self.device)

    def to_json(self) -> dict[str, object]:
        """What was measured, for a report's head; no paths."""
        return {
            "name": self.name,
            "input": "x".join(map(str, self.example.shape[1:])),
            "units": len(self.units),
            "deletable": sum(unit.deletable for unit in self.units),
            "shortcuts": dict(Counter(unit.shortcut_kind for unit in self.units)),
            "survival": None if self.survival is None else list(self.survival),
            "images": 0 if self.data is None else len(self.data),
            "trained": self.trained,
            "seed": self.seed,
            "against": None if self.against is None else self.against.name,
        }

    def __str__(self) -> str:
        """``torchvision:resnet50: 16 units (12 identity, 4 projection), input 3x64x64, untrained, no data``."""
        kinds = Counter(unit.shortcut_kind for unit in self.units)
        parts = [
            f"{len(self.units)} units ({', '.join(f'{number} {kind}' for kind, number in kinds.items())})",
            f"input {'x'.join(map(str, self.example.shape[1:]))}",
            "trained" if self.trained else "untrained",
            "no data" if self.data is None else f"{len(self.data)} images",
        ]
        fixed = sum(not unit.deletable for unit in self.units)
        if fixed:
            parts.insert(1, f"{fixed} not deletable")
        return f"{self.name}: {', '.join(parts)}"

    @property
    def members(self) -> tuple[UserMember]:
        """What the lab runs experiments on: the one network."""
        return (UserMember(self),)


@dataclass(frozen=True)
class UserMember:
    """The network of a target as an experiment sees it: one member, where a recipe's networks come in halves."""

    target: UserTarget
    half: int = 0

    @property
    def network(self) -> nn.Module:
        return self.target.model

    @property
    def thorough(self) -> bool:
        return self.target.thorough

    @property
    def against(self) -> UserTarget | None:
        return self.target.against

    @property
    def test(self) -> Images | None:
        """Labelled images, None where the target was given no data."""
        return self.target.data
