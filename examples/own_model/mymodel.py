"""A residual network that knows nothing of resbench."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(self.shortcut(x) + branch)


class Network(nn.Module):
    """Images ``(N, 3, H, W)`` to logits ``(N, 10)``."""

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64), blocks: int = 2):
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 3, padding=1)
        stages = []
        for before, width in zip((widths[0], *widths), widths, strict=False):
            stages.append(Block(before, width, stride=1 if before == width else 2))
            stages += [Block(width, width) for _ in range(blocks - 1)]
        self.blocks = nn.Sequential(*stages)
        self.head = nn.Linear(widths[-1], 10)

    def forward(self, images: Tensor) -> Tensor:
        features = self.blocks(F.relu(self.stem(images)))
        return self.head(torch.mean(features, dim=(2, 3)))


def build() -> Network:
    """What resbench is told to judge."""
    return Network()
