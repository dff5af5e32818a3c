"""The lesion study that a PyTorch user writes in an afternoon; knows nothing of resbench.

A unit is deleted by putting a module in its place that keeps the unit's shortcut and what follows the addition; then
the whole test set is evaluated as usual, and the unit is put back.  Not naive on purpose: images are normalised once
(or by the usual transforms), gradients are off, a batch is large, torch uses all the threads it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

__all__ = [
    "BATCH",
    "Shortcut",
    "TransformedImages",
    "evaluate",
    "sweep",
    "tensor_loader",
    "transform_loader",
    "without",
]

BATCH = 128

Map = Callable[[Tensor], Tensor]


class Shortcut(nn.Module):
    """What is left of a residual unit without its branch: ``after(shortcut(x))``."""

    def __init__(self, shortcut: Map, after: Map):
        super().__init__()
        self.shortcut, self.after = shortcut, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.shortcut(x))


@contextmanager
def without(model: nn.Module, names: Iterable[str], shortcuts: Mapping[str, nn.Module]) -> Iterator[None]:
    """While it lasts, ``shortcuts[name]`` stands in the place of each module of ``names``."""
    before = {name: model.get_submodule(name) for name in names}
    try:
        for name in before:
            _replace(model, name, shortcuts[name])
        yield
    finally:
        for name, module in before.items():
            _replace(model, name, module)


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)


@torch.inference_mode()
def evaluate(model: nn.Module, loader: Iterable[tuple[Tensor, Tensor]], device: torch.device) -> Tensor:
    """The logits of every image, ``(N, classes)``, on the CPU."""
    return torch.cat([model(images.to(device, non_blocking=True)) for images, _ in loader]).cpu()


def sweep(
    model: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor]],
    lesions: Sequence[Sequence[str]],
    shortcuts: Mapping[str, nn.Module],
    device: torch.device,
) -> Iterator[Tensor]:
    """The logits under each lesion in turn; a lesion is the names of the units that it deletes."""
    for names in lesions:
        with without(model, names, shortcuts):
            yield evaluate(model, loader, device)


def tensor_loader(images: Tensor, labels: Tensor, *, pinned: bool = False) -> DataLoader[tuple[Tensor, ...]]:
    """Over images that are normalised already, ``(N, C, H, W)``."""
    return DataLoader(TensorDataset(images, labels), batch_size=BATCH, pin_memory=pinned)


class TransformedImages(Dataset[tuple[Tensor, int]]):
    """8-bit images ``(N, H, W, C)``, transformed one by one when they are read, as torchvision's data sets do."""

    def __init__(self, pixels: NDArray[np.uint8], labels: Sequence[int], transform: Callable[[object], Tensor]):
        self.pixels, self.labels, self.transform = pixels, labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.pixels[index]), self.labels[index]


def transform_loader(
    pixels: NDArray[np.uint8],
    labels: Sequence[int],
    mean: Sequence[float],
    std: Sequence[float],
    *,
    pinned: bool = False,
) -> DataLoader[tuple[Tensor, int]]:
    """Over 8-bit images ``(N, H, W, C)``, with torchvision's ToTensor and Normalize."""
    from torchvision import transforms

    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])
    return DataLoader(TransformedImages(pixels, labels, transform), batch_size=BATCH, pin_memory=pinned)
