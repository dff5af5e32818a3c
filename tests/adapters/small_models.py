"""Small networks whose residual units are known by construction."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)


class PreactUnit(nn.Module):
    """``x + conv(relu(bn(x)))``; ``how`` makes the shortcut wrong in one way."""

    def __init__(self, width: int, how: str = "right"):
        super().__init__()
        self.norm, self.conv, self.how = nn.BatchNorm2d(width), conv(width, width), how
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "in-place":
            return self.conv(self.relu(x)) + x
        kept = {
            "right": lambda: x,
            "scaled": lambda: 0.9 * x,
            "detached": lambda: x.detach(),
            "bn": lambda: self.norm(x),
        }
        return kept[self.how]() + self.conv(self.relu(self.norm(x)))


class Flat(nn.Module):
    """Everything in one forward: two units of one width, one projected, post-activation, then a pooled classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first, self.second = conv(3, 4), conv(4, 4), conv(4, 4)
        self.wide, self.project = conv(4, 8, 2), nn.Conv2d(4, 8, 1, stride=2)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = F.relu(x + self.first(x))
        x += self.second(F.relu(x))
        x = self.project(x) + torch.tanh(self.wide(x))
        return self.head(x.mean((2, 3)))


class Chain(nn.Module):
    """A stem, ``units`` and a head."""

    def __init__(self, *units: nn.Module, width: int = 4, outputs: int | None = None):
        super().__init__()
        self.stem, self.units = conv(3, width), nn.ModuleList(units)
        self.head = nn.Linear(outputs or width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for unit in self.units:
            x = unit(x)
        return self.head(x.mean((2, 3)))


class Block(nn.Module):
    """Two residual branches in one forward, as in a transformer."""

    def __init__(self, width: int):
        super().__init__()
        self.mixer, self.mlp = (
            conv(width, width),
            nn.Sequential(conv(width, 2 * width), nn.GELU(), conv(2 * width, width)),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mixer(x)
        return x + self.mlp(x)


class Function(nn.Module):
    """A module from a function of its input."""

    def __init__(self, function: Callable[[nn.Module, Tensor], Tensor], **parts: nn.Module):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def images(count: int = 2, size: int = 8) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(5))
