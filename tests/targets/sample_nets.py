"""Small networks that no part of resbench has seen before."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """A basic unit; where it widens, the shortcut is strided and padded with zeros (option A)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 1 if inputs == outputs else 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.new = outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        branch = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        shortcut = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.new)) if self.new else x
        return F.relu(shortcut + branch)


class Net(nn.Module):
    """``units`` a stage, two stages; ``(N, channels, H, W)`` to ``(N, classes)``."""

    def __init__(self, units: int = 2, channels: int = 3, classes: int = 10, width: int = 8):
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, 1, 1)
        self.layer1 = nn.Sequential(*[Block(width, width) for _ in range(units)])
        self.layer2 = nn.Sequential(*[Block(width if i == 0 else 2 * width, 2 * width) for i in range(units)])
        self.head = nn.Linear(2 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer2(self.layer1(F.relu(self.stem(x)))).mean((2, 3)))


class Plain(nn.Module):
    """No shortcut anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU())
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x).mean((2, 3)))


def build() -> nn.Module:
    return Net()


def grey() -> nn.Module:
    return Net(units=3, channels=1)


def plain() -> nn.Module:
    return Plain()


def with_survival() -> nn.Module:
    net = Net()
    net.survival_probabilities = [0.9, 0.8, 0.7, 0.6]
    return net


def with_wrong_survival() -> nn.Module:
    net = Net()
    net.survival_probabilities = [0.9, 0.8]
    return net


def needs_depth(depth: int, width: int) -> nn.Module:
    return Net(depth, width=width)


def raises() -> nn.Module:
    raise RuntimeError("the width must be\n even")


def returns_class() -> type[nn.Module]:
    return Net


def returns_list() -> list[nn.Module]:
    return [Net()]


def returns_nothing() -> None:
    Net()


class ForwardRaises(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.stem(x)
        raise ValueError("not for images")


class Segments(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 1, 1)
        self.block = Block(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(self.stem(x))


class Sums(nn.Module):
    """One number for the whole batch."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net()

    def forward(self, x: Tensor) -> Tensor:
        return torch.sum(self.net(x))


instance = Net()
number = 5


class Nested:
    @staticmethod
    def build() -> nn.Module:
        return Net()
