"""Networks that a forward pass changes for good: trying sizes on them must leave no marks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resbench.adapters import adapt
from resbench.experiments.unit_draws import unit_draws
from resbench.experiments.unit_training import unit_training
from resbench.targets.load import example_for
from resbench.targets.target import UserMember, UserTarget


class Shrinking(nn.Module):
    """Like transformers' Swin: the window becomes as small as the smallest image ever seen."""

    def __init__(self, least: int = 0) -> None:
        super().__init__()
        self.default_cfg = {"input_size": (3, 96, 96)}
        self.window, self.least = 96, least
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        self.window = min(self.window, x.shape[-1])
        if x.shape[-1] < self.least:
            raise ValueError("too small")
        return (x + self.conv(x).relu() * self.window).flatten(1)


def _target(model: nn.Module, example: Tensor) -> UserTarget:
    units = adapt(model, example)
    return UserTarget("own", model, example, units, (0.5,) * len(units), None, trained=False, seed=0)


def test_trying_a_small_size_leaves_no_marks() -> None:
    model = Shrinking(least=80).eval()
    assert example_for(model, "timm:shrinking").shape == (2, 3, 96, 96)
    assert model.window == 96


def test_counting_draws_leaves_no_marks() -> None:
    model = Shrinking().eval()
    unit_draws(UserMember(_target(model, torch.randn(2, 3, 96, 96))))
    assert model.window == 96


def test_a_batch_of_opposite_images_moves_the_variance_alone() -> None:
    """Two images at 1x1 leave a normalisation as +1 and -1: the mean of the next one stays exactly 0."""

    class Pixel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 8)
            self.first, self.second = nn.BatchNorm2d(4), nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            return (x + self.second(self.first(x))).flatten(1)

    model = Pixel().eval()
    result = unit_training(UserMember(_target(model, torch.randn(2, 3, 8, 8))))
    assert result["normalisations"] == 2
    assert result["frozen"].tolist() == []
