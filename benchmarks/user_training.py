"""The training of a CIFAR ResNet as public PyTorch code has it; knows nothing of resbench.

A data set of PIL images with torchvision's transforms, a DataLoader with workers, plain modules, ``torch.optim.SGD``
and a loop that reads the loss at every step.  Not naive on purpose: memory is pinned and copied without waiting on a
GPU, cuDNN chooses its algorithms, mixed precision is autocast's, workers outlive an epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

__all__ = ["CifarResNet", "PilImages", "batches_for_ever", "train_loader", "train_steps"]

Down = Literal["stride", "pool"]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions; option A where the shape changes (He 2015)."""

    def __init__(self, inputs: int, outputs: int, stride: int, down: Down):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.added, self.down = stride, outputs - inputs, down

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + shortcut(x, self.stride, self.added, self.down))


class PreActBlock(nn.Module):
    """The pre-activation unit (He 2016); the stem has activated the ``first`` one's input already."""

    def __init__(self, inputs: int, outputs: int, stride: int, down: Down, first: bool):
        super().__init__()
        self.bn1 = nn.Identity() if first else nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.first, self.stride, self.added, self.down = first, stride, outputs - inputs, down

    def forward(self, x: Tensor) -> Tensor:
        out = x if self.first else F.relu(self.bn1(x))
        out = self.conv1(out)
        out = self.conv2(F.relu(self.bn2(out)))
        return out + shortcut(x, self.stride, self.added, self.down)


def shortcut(x: Tensor, stride: int, added: int, down: Down) -> Tensor:
    """Option A: a smaller map and zero channels."""
    if stride > 1:
        x = F.avg_pool2d(x, stride) if down == "pool" else x[:, :, ::stride, ::stride]
    return F.pad(x, (0, 0, 0, 0, 0, added)) if added else x


class CifarResNet(nn.Module):
    """Three stages of ``blocks`` basic blocks with 16, 32 and 64 channels; ``(N, 3, H, W)`` to ``(N, classes)``."""

    def __init__(self, blocks: int, *, preact: bool = False, down: Down = "stride", classes: int = 10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        layers: list[nn.Module] = []
        inputs = 16
        for stage, width in enumerate((16, 32, 64)):
            for index in range(blocks):
                stride = 2 if stage > 0 and index == 0 else 1
                if preact:
                    layers.append(PreActBlock(inputs, width, stride, down, first=not layers))
                else:
                    layers.append(BasicBlock(inputs, width, stride, down))
                inputs = width
        self.layers = nn.Sequential(*layers)
        self.bn2 = nn.BatchNorm2d(64) if preact else None
        self.linear = nn.Linear(64, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        out = self.layers(F.relu(self.bn1(self.conv1(x))))
        if self.bn2 is not None:
            out = F.relu(self.bn2(out))
        return self.linear(F.adaptive_avg_pool2d(out, 1).flatten(1))


class PilImages(Dataset[tuple[Tensor, int]]):
    """8-bit images ``(N, H, W, 3)`` in memory, each made a PIL image when it is read, as in torchvision's CIFAR10.

    Raises:
        ImportError: there is no torchvision.
    """

    def __init__(self, pixels: NDArray[np.uint8], labels: Sequence[int], mean: Sequence[float], std: Sequence[float]):
        from torchvision import transforms

        self.pixels, self.labels = pixels, list(labels)
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(pixels.shape[1], padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(mean, std),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def train_loader(
    images: PilImages, batch: int, workers: int, device: torch.device
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Shuffled; the last, incomplete mini-batch is left out."""
    return DataLoader(
        images,  # type: ignore[arg-type]
        batch_size=batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
    )


def batches_for_ever(loader: DataLoader[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch after the other."""
    while True:
        yield from loader


def train_steps(
    model: nn.Module,
    batches: Iterator[tuple[Tensor, Tensor]],
    optimiser: torch.optim.Optimizer,
    device: torch.device,
    steps: int,
    *,
    mixed: bool = False,
) -> float:
    """Train for so many steps; the mean of their losses.  ``mixed``: autocast to bfloat16."""
    criterion = nn.CrossEntropyLoss()
    total = 0.0
    for _ in range(steps):
        images, labels = next(batches)
        images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        optimiser.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            loss = criterion(model(images), labels)
        loss.backward()
        optimiser.step()
        total += loss.item()
    return total / steps
