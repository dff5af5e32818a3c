"""What ``--data`` names, as :class:`Images`: the digits, CIFAR-10, a folder of images, or arrays in a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from resbench.data.files import Arrays, read_cifar10, read_npz, torchvision
from resbench.errors import UserError
from resbench.targets.images import Images
from resbench.targets.models import one_line

__all__ = ["DataOptions", "load_data"]

_MOST_BYTES = 8 * 2**30
"""Of pixels in memory (one byte each): where arrays lie.  Image files are read batch by batch."""

_FORMS = "digits, cifar10:ROOT, imagefolder:ROOT or npz:FILE"


@dataclass(frozen=True)
class DataOptions:
    """``size``: (channels, height, width), None where the data decide; ``limit``: at most so many images, drawn.

    ``download``: fetch CIFAR-10 where it is missing.
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    size: tuple[int, int, int] | None = None
    download: bool = False
    limit: int | None = None
    seed: int = 0


def load_data(spec: str, options: DataOptions) -> Images:
    """The data that ``spec`` names.

    Raises:
        UserError: an unknown form, files that are missing, damaged or of the wrong shape or type, or no image at all.
    """
    kind, _, place = spec.partition(":")
    if spec == "digits":
        return _digits(options)
    readers: dict[str, Callable[[str, DataOptions], Images]] = {
        "cifar10": _cifar10,
        "imagefolder": _imagefolder,
        "npz": _npz,
    }
    if kind not in readers or not place:
        raise UserError(f"--data {spec}: write {_FORMS}")
    return readers[kind](place, options)


def _digits(options: DataOptions) -> Images:
    from resbench.data import load_dataset

    if options.mean:
        raise UserError("--data digits has its own normalisation; leave out --mean and --std")
    data = load_dataset("digits")
    _check_size(tuple(data.images.shape[1:]), options, "--data digits")
    chosen = _chosen(len(data.labels), options)
    return Images.of_tensors(data.images[chosen], data.labels[chosen])


def _cifar10(root: str, options: DataOptions) -> Images:
    where = f"--data cifar10:{root}"
    return _arrays(read_cifar10(root, where, train=False, download=options.download), options, where)


def _npz(path: str, options: DataOptions) -> Images:
    where = f"--data npz:{path}"
    return _arrays(read_npz(path, where), options, where)


def _arrays(arrays: Arrays, options: DataOptions, where: str) -> Images:
    images, labels = arrays
    if len(images) < 2:
        raise UserError(f"{where}: {len(images)} images; at least 2 are needed")
    height, width, channels = images.shape[1:]
    _check_size((channels, height, width), options, where)
    chosen = _chosen(len(images), options).numpy()
    _check_memory(len(chosen), (channels, height, width), where)
    pixels = torch.from_numpy(images if len(chosen) == len(images) else images[chosen])
    truth = torch.from_numpy(labels[chosen])
    return Images.of_pixels(pixels, truth, mean=options.mean, std=options.std, channels_last=True)


def _imagefolder(root: str, options: DataOptions) -> Images:
    """One folder a class, in alphabetical order."""
    where = f"--data imagefolder:{root}"
    if options.size is None:
        raise UserError(f"{where} needs the size of the input: give --input 3x224x224")
    if options.size[0] not in (1, 3):
        raise UserError(f"{where}: images have 1 or 3 channels, not {options.size[0]} (--input)")
    try:
        folder = torchvision("datasets").ImageFolder(root, allow_empty=True)
    except (OSError, RuntimeError) as error:
        raise UserError(f"{where}: no folder of one folder a class ({one_line(error, 120)})") from error
    files, labels = [Path(file) for file, _ in folder.samples], [label for _, label in folder.samples]
    empty = [name for name, number in folder.class_to_idx.items() if number not in labels]
    if empty:
        raise UserError(f"{where}: no image in the folder of class {empty[0]!r}; remove the folder, or fill it")
    images = Images.of_files(files, torch.tensor(labels), options.size, mean=options.mean, std=options.std, where=where)
    images.take(range(min(2, len(files))))  # files that cannot be read are told of before anything is measured
    if len(files) < 2:
        raise UserError(f"{where}: {len(files)} images; at least 2 are needed")
    return images.subset(_chosen(len(files), options))


def _check_size(found: Sequence[int], options: DataOptions, where: str) -> None:
    if options.size is not None and tuple(found) != options.size:
        shapes = ["x".join(map(str, shape)) for shape in (found, options.size)]
        raise UserError(f"{where}: the images are {shapes[0]}, --input says {shapes[1]}; leave out --input")


def _check_memory(count: int, size: tuple[int, int, int], where: str) -> None:
    bytes_each = size[0] * size[1] * size[2]
    if count * bytes_each > _MOST_BYTES:
        most = _MOST_BYTES // bytes_each
        raise UserError(
            f"{where}: {count} images take {count * bytes_each / 2**30:.0f} GiB; give --limit {most} or less"
        )


def _chosen(count: int, options: DataOptions) -> Tensor:
    """All, or ``limit`` of them drawn by the seed: files are often sorted by class."""
    if options.limit is None or options.limit >= count:
        return torch.arange(count)
    generator = torch.Generator().manual_seed(options.seed)
    return torch.randperm(count, generator=generator)[: options.limit].sort().values
