"""CIFAR-10, from wherever it is, as one and the same data set; copies that are not the original are refused.

60,000 colour images of 32 x 32 in ten classes, 50,000 to train on (Krizhevsky 2009, "Learning multiple layers of
features from tiny images").  Its copies differ in their order, and some in their pixels: a network scores 17 to 19 %
on a JPEG-ed copy where it scores 7 to 8 % on the original, which no published number can be compared with.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from math import sqrt
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resbench.data.files import Arrays, read_cifar10, read_npz
from resbench.data.sketch import Keys, Sketch, keys_of
from resbench.errors import UserError

__all__ = ["Expected", "ImageSet", "cifar10_expected", "load_cifar10", "split"]

_FORMS = "cifar10:ROOT (torchvision's, which --download fetches) or npz:FOLDER (with train.npz and test.npz)"

_ENOUGH = 0.99
"""Of the images in a sketch, with their labels, so many are there.

Chosen: the sketches hold 1,589 training and 304 test images, so 15 and 3 may be missing.  By the binomial distribution,
a copy in which one image of 500 differs passes (probability 99.6 %; its fingerprint tells it from the original), and
one is refused in which one image of 50 differs (training: 99.9 %, test: 86 %) or one of 20 (99.98 %).
"""


@dataclass(frozen=True)
class ImageSet:
    """``train``, ``test``: uint8 ``(N, 3, 32, 32)``, contiguous; ``train_labels``, ``test_labels``: int64 ``(N,)``.

    The images are in a canonical order, that of a hash of their pixels: the same from every source, and random with
    regard to what they show.  ``mean`` and ``std``: per channel, of all pixels of the training images, scaled to
    [0, 1].  ``fingerprint``: 16 hex digits, of pixels and labels.  ``known``: the share found of a sample of the
    original's images, 0 to 1 (0 where nobody looked); slightly below 1: a few images differ.
    """

    name: str
    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    known: float = 0.0


@dataclass(frozen=True)
class Expected:
    """What a data set must be: its shape (C, H, W), its classes, and sketches of both parts."""

    name: str
    shape: tuple[int, int, int]
    classes: int
    train: Sketch
    test: Sketch


@lru_cache(maxsize=1)
def cifar10_expected() -> Expected:
    """The facts of CIFAR-10; the sketches come with the package (tests/data/make_sketch.py made them)."""
    with resources.files("resbench.data").joinpath("cifar10_sketch.npz").open("rb") as file, np.load(file) as arrays:
        train, test = arrays["train"], arrays["test"]
    return Expected("CIFAR-10", (3, 32, 32), 10, Sketch(50_000, train), Sketch(10_000, test))


def load_cifar10(spec: str, *, download: bool = False, expected: Expected | None = None) -> ImageSet:
    """CIFAR-10 from ``spec``: ``cifar10:ROOT`` (torchvision's folder) or ``npz:FOLDER`` (train.npz and test.npz).

    An npz file holds ``images``, uint8 N x 32 x 32 x 3, and ``labels``.  ``download``: fetch what ``cifar10:ROOT``
    lacks.  ``expected``: other facts than CIFAR-10's.

    Raises:
        UserError: an unknown form, files that are missing or damaged, or images or labels that are not CIFAR-10's.
    """
    facts = expected or cifar10_expected()
    where = f"--data {spec}"
    kind, _, place = spec.partition(":")
    if kind not in ("cifar10", "npz") or not place:
        raise UserError(f"{where}: {facts.name} is wanted; write {_FORMS}")
    if download and kind != "cifar10":
        raise UserError("--download goes with --data cifar10:ROOT")
    read = _of_torchvision(place, where, download) if kind == "cifar10" else _of_npz(place, where)
    train, test = (
        _Part.of(*read(name), facts, f"{where}: the {kind} images")
        for name, kind in (("train", "training"), ("test", "test"))
    )
    known = _share_known(train, test, facts, where)
    mean, std = _moments(train.images)
    return ImageSet(
        name="cifar10",
        train=torch.from_numpy(train.images),
        train_labels=torch.from_numpy(train.labels),
        test=torch.from_numpy(test.images),
        test_labels=torch.from_numpy(test.labels),
        classes=facts.classes,
        mean=mean,
        std=std,
        fingerprint=_fingerprint(train, test),
        known=known,
    )


def split(data: ImageSet, validation: int) -> tuple[Tensor, Tensor]:
    """Indices of the training images to train on and of the ``validation`` held out, int64, ascending.

    Every class gives as many to the latter: those that are first in the canonical order, which is random with regard
    to what the images show.  No generator is involved, whose numbers a library may change, and of two sources that
    differ in a few images the others are held out alike.  Huang et al. hold 5,000 of 50,000 out.

    Raises:
        UserError: ``validation`` is no multiple of the classes, or leaves a class without an image to train on.
    """
    each, rest = divmod(validation, data.classes)
    held = torch.zeros(len(data.train_labels), dtype=torch.bool)
    for label in range(data.classes):
        members = (data.train_labels == label).nonzero().flatten()
        if rest or not 0 <= each < len(members):
            raise UserError(
                f"{validation} validation images: it takes a multiple of {data.classes} (classes), "
                f"less than the {len(data.train_labels)} training images"
            )
        held[members[:each]] = True
    return (~held).nonzero().flatten(), held.nonzero().flatten()


@dataclass(frozen=True)
class _Part:
    """Training or test images in canonical order: ascending by their keys ``(N,)``, which those have too."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    keys: Keys

    @classmethod
    def of(cls, images: NDArray[np.uint8], labels: NDArray[np.int64], facts: Expected, where: str) -> _Part:
        channels, height, width = facts.shape
        if images.shape[1:] != (height, width, channels) or not len(images):
            found, wanted = ("x".join(map(str, shape)) for shape in (images.shape, (height, width, channels)))
            raise UserError(f"{where} are {found}; {facts.name}'s are N x {wanted}")
        if labels.min() < 0 or labels.max() >= facts.classes:
            found = f"{labels.min()} to {labels.max()}"
            raise UserError(f"{where} have labels {found}; {facts.name}'s are 0 to {facts.classes - 1}")
        planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        keys = keys_of(planes, labels)
        order = np.argsort(keys, kind="stable")
        return cls(planes[order], labels[order], keys[order])


def _of_torchvision(root: str, where: str, download: bool) -> Callable[[str], Arrays]:
    return lambda part: read_cifar10(root, where, train=part == "train", download=download)


def _of_npz(place: str, where: str) -> Callable[[str], Arrays]:
    folder = Path(os.path.expanduser(place))
    files = {part: folder / f"{part}.npz" for part in ("train", "test")}
    missing = [file.name for file in files.values() if not os.path.isfile(file)]
    if missing:
        found = "no such folder"
        if os.path.exists(folder):
            found = f"no {' and no '.join(missing)} there" if os.path.isdir(folder) else "a file, a folder is wanted"
        raise UserError(
            f"{where}: {found}; train.npz and test.npz are looked for in it, with arrays images (uint8 "
            "N x 32 x 32 x 3) and labels; --data cifar10:ROOT --download fetches the original (170 MB)"
        )
    return lambda part: read_npz(str(files[part]), f"{where}/{part}.npz")


def _share_known(train: _Part, test: _Part, facts: Expected, where: str) -> float:
    """The share of the sketches' images that is there, in the part that has the smaller one.

    Raises:
        UserError: it is too small, or a part has more or fewer images than it should.
    """
    if min(facts.train.share(test.keys), facts.test.share(train.keys)) >= _ENOUGH:
        raise UserError(f"{where}: the training images are where the test images should be, and vice versa")
    shares = []
    for name, part, sketch in (("training", train, facts.train), ("test", test, facts.test)):
        if len(part.keys) != sketch.count:
            raise UserError(f"{where}: {len(part.keys)} {name} images; {facts.name} has {sketch.count}, all are needed")
        shares.append(sketch.share(part.keys))
        if shares[-1] >= _ENOUGH:
            continue
        if sketch.share_of_pixels(part.keys) >= _ENOUGH:
            raise UserError(
                f"{where}: the {name} images are {facts.name}'s, but only {shares[-1]:.1%} of those looked at have its "
                "labels (shuffled, or classes numbered otherwise?)"
            )
        raise UserError(
            f"{where}: the {name} images are not {facts.name}'s: of a sample of those, {shares[-1]:.1%} are there, "
            "pixel by pixel (others, or a copy that was compressed as JPEG or resized?); the original is "
            "cifar10:ROOT with --download"
        )
    return min(shares)


def _moments(images: NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, of pixels scaled to [0, 1]; of integers, so the same bits anywhere."""
    counts = np.zeros((images.shape[1], 256), np.int64)
    for start in range(0, len(images), 1000):  # bincount makes eight bytes of every pixel
        for channel, count in enumerate(counts):
            count += np.bincount(images[start : start + 1000, channel].ravel(), minlength=256)
    total, values = int(counts[0].sum()), np.arange(256)
    sums = [(int((count * values).sum()), int((count * values**2).sum())) for count in counts]
    mean = tuple(first / (255 * total) for first, _ in sums)
    std = tuple(sqrt((total * second - first**2) / (255 * total) ** 2) for first, second in sums)
    return mean, std


def _fingerprint(*parts: _Part) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part.images.shape} ".encode())
        digest.update(part.images.data)
        digest.update(part.labels.astype(np.uint8).data)
    return digest.hexdigest()[:16]
