"""Labelled images from files that others made: an npz, and CIFAR-10 as torchvision keeps it; nothing is believed."""

from __future__ import annotations

import importlib
import os
import sys
import tarfile
import warnings
import zipfile
import zlib
from contextlib import redirect_stdout
from http.client import HTTPException
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resbench.errors import UserError
from resbench.targets.models import one_line

__all__ = ["Arrays", "read_cifar10", "read_npz", "torchvision"]

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Images ``(N, H, W, 1 or 3)`` and their labels ``(N,)``."""

_DAMAGED = (
    *(ValueError, EOFError, TypeError, AttributeError, KeyError, SyntaxError, MemoryError, RuntimeError),
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error),
)
"""What numpy and zipfile raise for a file that is no npz, or one with wrong bytes in it."""

_BATCHES = "cifar-10-batches-py"


def read_npz(path: str, where: str) -> Arrays:
    """``images`` and ``labels`` of an npz file of plain arrays (nothing in it is executed).

    ``where``: the option and its value, which errors begin with.

    Raises:
        UserError: no such file, no npz, truncated, an array that is missing or of another type or shape.
    """
    try:
        # numpy leaves a file of its own open where it is no archive.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError("one array, not an npz file")
            missing = [name for name in ("images", "labels") if name not in arrays.files]
            if missing:
                known = ", ".join(arrays.files) or "nothing"
                raise UserError(f"{where}: no array {missing[0]!r} (there is {known}); it needs images and labels")
            images, labels = arrays["images"], arrays["labels"]
    except OSError as error:
        raise UserError(f"{where}: {error.strerror or one_line(error)}") from error
    except _DAMAGED as error:
        raise UserError(f"{where}: not an npz file of plain arrays, or truncated ({one_line(error, 120)})") from error
    return _checked(images, labels, where)


def read_cifar10(root: str, where: str, *, train: bool, download: bool = False) -> Arrays:
    """CIFAR-10's training or test images from torchvision's folder in ``root``; ``download``: fetched where missing.

    torchvision compares the files' MD5 sums before it reads them.

    Raises:
        UserError: they are not there, not the original's, or cannot be fetched.
    """
    try:
        with redirect_stdout(sys.stderr), warnings.catch_warnings():  # what it says of a download: ours may be JSON
            warnings.filterwarnings("ignore", r"dtype\(\): align")  # NumPy 2.4.0 to 2.4.4, of pickles as old as these
            data = torchvision("datasets").CIFAR10(root, train=train, download=download)
    except (OSError, RuntimeError, EOFError, HTTPException, tarfile.TarError, zlib.error) as error:
        if download:
            raise UserError(
                f"{where}: not fetched ({one_line(error, 120)}); that takes a network and a folder that can be written"
            ) from error
        if os.path.isdir(os.path.join(os.path.expanduser(root), _BATCHES)):
            problem = f"the CIFAR-10 in its folder {_BATCHES} is damaged or a part of it (MD5); --download fetches it"
        else:
            problem = f"no CIFAR-10 there: its folder {_BATCHES} is looked for in {root}; --download fetches it"
        raise UserError(f"{where}: {problem} (170 MB)") from error
    return _checked(np.asarray(data.data), np.asarray(data.targets), where)


def torchvision(module: str) -> Any:
    """One of torchvision's modules, which have no types; imported when needed, since it takes a second."""
    return importlib.import_module(f"torchvision.{module}")


def _checked(images: NDArray[Any], labels: NDArray[Any], where: str) -> Arrays:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        shape = "x".join(map(str, images.shape))
        raise UserError(f"{where}: images are {images.dtype} {shape}; they must be uint8, N x height x width x 1 or 3")
    if labels.dtype.kind not in "iu" or labels.shape != (len(images),):
        shape = "x".join(map(str, labels.shape)) or "a single value"
        raise UserError(f"{where}: labels are {labels.dtype} {shape}; they must be {len(images)} integers")
    return images, labels.astype(np.int64)
