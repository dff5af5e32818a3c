"""What experiments measure: a trained network of a setting, one member for each half of the data."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from resbench.networks.residual import PlainNetwork, ResidualNetwork
from resbench.targets.images import Images
from resbench.training.loop import Curves
from resbench.training.recipes import Recipe

__all__ = ["Member", "Target"]


@dataclass(frozen=True)
class Member:
    """One trained network (eval mode) with the images it was trained on and those it is tested on.

    ``thorough``: paths are measured on many images, where otherwise a few must do.
    """

    network: ResidualNetwork | PlainNetwork
    half: int
    train: Images
    test: Images
    curves: Curves
    thorough: bool = False

    @property
    def device(self) -> torch.device:
        """Where the network is, and its images go."""
        return next(self.network.parameters()).device


@dataclass(frozen=True)
class Target:
    """The members of one named network; together their tests cover every image once (cross-fitting)."""

    name: str
    recipe: Recipe
    seed: int
    members: tuple[Member, ...]
