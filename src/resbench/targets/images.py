"""The images that a target is measured on, with their labels: read, moved and normalised batch by batch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from resbench.errors import UserError
from resbench.targets.normalising import Normalisation, moved

__all__ = ["Images", "Source", "as_images"]

Device = torch.device | str | None
Indices = Tensor | Sequence[int]

_SHARE_OF_FREE = 0.5
"""Pixels live on a GPU where they take at most so much of its free memory (chosen: networks need the rest)."""

_MOVED_AT_ONCE = 2**28
"""Bytes of pixels in pinned memory on their way to a GPU."""


class Source(Protocol):
    """Where images come from, by position; ``shape``: (C, H, W); ``home``: where they are if no device is named."""

    @property
    def shape(self) -> tuple[int, int, int]: ...
    @property
    def home(self) -> torch.device: ...
    def stream(self, parts: Sequence[Tensor], device: torch.device) -> Iterator[Tensor]:
        """The images at each of ``parts``, positions ``(n,)``, in turn: normalised ``(n, C, H, W)``, contiguous."""
        ...

    def feed(self, digest: Callable[[bytes], object], positions: Tensor) -> None:
        """Everything besides ``shape`` that determines the images at ``positions``, as bytes."""
        ...


class Images:
    """Labelled images, normalised when read; nothing holds all of them as float32.

    ``labels``: int64 ``(N,)``, on the CPU.  Make them with :meth:`of_pixels`, :meth:`of_tensors` or :meth:`of_files`.
    """

    def __init__(self, source: Source, labels: Tensor, positions: Tensor | None = None):
        self._source = source
        self._positions = torch.arange(len(labels)) if positions is None else positions
        self.labels = labels.to("cpu", torch.int64)

    @classmethod
    def of_pixels(
        cls,
        pixels: Tensor,
        labels: Tensor,
        *,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
        channels_last: bool = False,
    ) -> Images:
        """uint8 ``pixels``, ``(N, C, H, W)`` or, ``channels_last``, ``(N, H, W, C)``; they stay uint8, on GPUs too.

        Raises:
            UserError: they are not that, or ``mean`` and ``std`` do not fit.
        """
        if pixels.dtype != torch.uint8 or pixels.ndim != 4:
            raise UserError(f"pixels are {_described(pixels)}; they must be uint8, with 4 dimensions")
        _check_pair(pixels, labels)
        ordered = pixels.permute(0, 3, 1, 2) if channels_last else pixels
        return cls(_Pixels(ordered, Normalisation(ordered.shape[1], tuple(mean), tuple(std))), labels)

    @classmethod
    def of_tensors(cls, images: Tensor, labels: Tensor) -> Images:
        """Normalised ``images``, ``(N, C, H, W)``, of any floating-point type; they stay where they are.

        Raises:
            UserError: they are not that.
        """
        if not images.is_floating_point() or images.ndim != 4:
            raise UserError(f"the images are {_described(images)}; they must be normalised, N x C x H x W")
        _check_pair(images, labels)
        return cls(_Given(images), labels)

    @classmethod
    def of_files(
        cls,
        files: Sequence[Path],
        labels: Tensor,
        size: tuple[int, int, int],
        *,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
        where: str = "images",
    ) -> Images:
        """Image files, decoded when read, a few batches ahead; the shorter side is resized, the centre cut out.

        ``size``: (C, H, W), C = 1 or 3.  ``where``: said of a file that cannot be read, which is a ``UserError`` then.

        Raises:
            UserError: ``mean`` and ``std`` do not fit.
        """
        from resbench.targets.image_files import Files

        return cls(Files(files, size, Normalisation(size[0], tuple(mean), tuple(std)), where), labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self._source.shape

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int, device: Device = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Images ``(n, C, H, W)``, contiguous, float32 (or as given), and labels ``(n,)``, in order, on ``device``.

        ``n`` is ``size``, less in the last batch.  Where no device is named: the CPU, or that of tensors given.
        """
        place = self._place(device)
        stream = self._source.stream(self._positions.split(size), place)
        for images, labels in zip(stream, self.labels.split(size), strict=True):
            yield images, moved(labels, place)

    def take(self, indices: Indices, device: Device = None) -> tuple[Tensor, Tensor]:
        """The images at ``indices`` and their labels, in that order; as :meth:`batches`."""
        place, chosen = self._place(device), _positions(indices)
        (images,) = self._source.stream([self._positions[chosen]], place)
        return images, moved(self.labels[chosen], place)

    def subset(self, indices: Indices) -> Images:
        """Those at ``indices``, in that order; nothing is copied or read."""
        chosen = _positions(indices)
        return Images(self._source, self.labels[chosen], self._positions[chosen])

    def fingerprint(self) -> str:
        """SHA-256 over pixels, normalisation and labels, in order; of files: over their bytes and the size."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256(f"{tuple(self.shape)} {len(self)} ".encode())
        self._source.feed(digest.update, self._positions)
        digest.update(self.labels.numpy().tobytes())
        return digest.hexdigest()

    def _place(self, device: Device) -> torch.device:
        # A tensor there knows which one of several GPUs "cuda" is.
        return self._source.home if device is None else torch.empty(0, device=device).device


class _Pixels:
    """uint8 ``(N, C, H, W)``, any strides, in memory; a GPU gets them once, where they fit."""

    def __init__(self, pixels: Tensor, normalisation: Normalisation):
        self._pixels, self._normalisation = pixels, normalisation
        self._placed = {pixels.device: pixels}
        self.home = pixels.device
        self.shape = (pixels.shape[1], pixels.shape[2], pixels.shape[3])

    def stream(self, parts: Sequence[Tensor], device: torch.device) -> Iterator[Tensor]:
        pixels = self._on(device)
        for part in parts:
            chosen = pixels[moved(part, pixels.device)]
            yield self._normalisation(moved(chosen, device))

    def _on(self, device: torch.device) -> Tensor:
        """All pixels on ``device``, or where they are if they do not fit (they go there batch by batch then)."""
        if device not in self._placed and device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if self._pixels.nbytes <= _SHARE_OF_FREE * free:
                self._placed[device] = self._copied(device)
        return self._placed.get(device, self._pixels)

    def _copied(self, device: torch.device) -> Tensor:
        with torch.inference_mode(False):
            copy = torch.empty_like(self._pixels, device=device)
            step = max(1, _MOVED_AT_ONCE // max(1, self._pixels[0].nbytes))
            for ours, theirs in zip(self._pixels.split(step), copy.split(step), strict=True):
                theirs.copy_(ours.pin_memory(), non_blocking=True)
            return copy

    def feed(self, digest: Callable[[bytes], object], positions: Tensor) -> None:
        digest(f"pixels {self._normalisation} ".encode())
        for part in positions.split(1024):
            digest(self._pixels[part.to(self.home)].cpu().contiguous().numpy().tobytes())


class _Given:
    """Normalised ``(N, C, H, W)`` in memory."""

    def __init__(self, images: Tensor):
        self._images = images.detach()
        self.home = images.device
        self.shape = (images.shape[1], images.shape[2], images.shape[3])

    def stream(self, parts: Sequence[Tensor], device: torch.device) -> Iterator[Tensor]:
        for part in parts:
            yield moved(self._images[part.to(self.home)].contiguous(), device)

    def feed(self, digest: Callable[[bytes], object], positions: Tensor) -> None:
        digest(f"normalised {self._images.dtype} ".encode())
        for part in positions.split(1024):
            values = self._images[part.to(self.home)].cpu().contiguous()
            digest(values.view(torch.uint8).numpy().tobytes())  # numpy has no bfloat16


def as_images(data: Images | tuple[Tensor, Tensor]) -> Images:
    """Normalised images and their labels as :class:`Images`.

    Raises:
        UserError: they are not that.
    """
    if isinstance(data, Images):
        return data
    if not (len(data) == 2 and all(isinstance(part, Tensor) for part in data)):
        raise UserError("data is not a pair of tensors: images and labels")
    return Images.of_tensors(*data)


def _positions(indices: Indices) -> Tensor:
    found = torch.as_tensor(indices, device="cpu")
    if found.dtype == torch.bool:
        raise TypeError("positions are wanted, not a mask")
    return found.long()


def _check_pair(images: Tensor, labels: Tensor) -> None:
    integers = not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
    if not integers or labels.shape != images.shape[:1]:
        raise UserError(f"the labels are {_described(labels)}; they must be {len(images)} integers")


def _described(values: Tensor) -> str:
    """``uint8 10x3x32x32``."""
    return f"{str(values.dtype).removeprefix('torch.')} {'x'.join(map(str, values.shape)) or 'a single value'}"
