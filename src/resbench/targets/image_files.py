"""Image files as a source of images: decoded by a few threads, a few batches ahead of who reads them."""

from __future__ import annotations

import importlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resbench.errors import UserError
from resbench.targets.models import one_line
from resbench.targets.normalising import Normalisation, moved

__all__ = ["Files"]

_AHEAD = 2
"""Batches that are decoded while the one before them is used."""

_MOST_THREADS = 8


class Files:
    """Image files, by position; a :class:`resbench.targets.images.Source`.

    At most ``1 + _AHEAD`` batches are decoded at a time, as uint8.
    """

    def __init__(self, files: Sequence[Path], size: tuple[int, int, int], normalisation: Normalisation, where: str):
        self._files, self.shape, self._normalisation, self._where = files, size, normalisation, where
        self._load, self._prepare = _loader(), _preparation(size)
        self.home = torch.device("cpu")

    def stream(self, parts: Sequence[Tensor], device: torch.device) -> Iterator[Tensor]:
        """As :class:`resbench.targets.images.Source`.

        Raises:
            UserError: a file cannot be read.
        """
        pool = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1), "decode")
        waiting: deque[list[Future[Tensor]]] = deque()
        try:
            for part in parts:
                waiting.append([pool.submit(self._decoded, position) for position in part.tolist()])
                if len(waiting) > _AHEAD:
                    yield self._stacked(waiting.popleft(), device)
            while waiting:
                yield self._stacked(waiting.popleft(), device)
        finally:  # also where a file is broken, or nobody reads on
            pool.shutdown(cancel_futures=True)

    def _stacked(self, decoded: Sequence[Future[Tensor]], device: torch.device) -> Tensor:
        pixels = torch.stack([one.result() for one in decoded]) if decoded else torch.empty(0, *self.shape)
        return self._normalisation(moved(pixels, device))

    def _decoded(self, position: int) -> Tensor:
        """uint8 ``(C, H, W)``."""
        file = self._files[position]
        try:
            return self._prepare(self._load(str(file)))
        except Exception as error:  # of a damaged file Pillow raises OSError, SyntaxError, ValueError, and more
            raise UserError(f"{self._where}: {file.name} is not readable ({one_line(error, 120)})") from error

    def feed(self, digest: Callable[[bytes], object], positions: Tensor) -> None:
        """The bytes of the files, which are read but not decoded.

        Raises:
            UserError: a file cannot be read.
        """
        digest(f"files {self._normalisation} ".encode())
        for position in positions.tolist():
            file = self._files[position]
            try:
                content = file.read_bytes()
            except OSError as error:
                raise UserError(f"{self._where}: {file.name} is not readable ({one_line(error, 120)})") from error
            digest(f"{len(content)} ".encode())
            digest(content)


def _loader() -> Callable[[str], Any]:
    """From a path to a PIL image (RGB)."""
    loader: Callable[[str], Any] = importlib.import_module("torchvision.datasets.folder").pil_loader
    return loader


def _preparation(size: tuple[int, int, int]) -> Callable[[Any], Tensor]:
    """From a PIL image (RGB) to uint8 ``(C, H, W)``: the shorter side resized, the centre cut out."""
    transforms: Any = importlib.import_module("torchvision.transforms")  # which has no types
    channels, height, width = size
    steps = [
        *([transforms.Grayscale()] if channels == 1 else []),
        transforms.Resize(max(height, width)),
        transforms.CenterCrop((height, width)),
        transforms.PILToTensor(),
    ]
    prepared: Callable[[Any], Tensor] = transforms.Compose(steps)
    return prepared
