"""What `python -m benchmarks.lesion_speed` measures on: a network, its images, and the lists of lesions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from benchmarks.user_loop import Shortcut, tensor_loader, transform_loader
from resbench.adapters import ResidualUnit
from resbench.errors import UserError
from resbench.lesions.listing import Drawing, excluded_units, list_lesions
from resbench.lesions.plans import Plan
from resbench.networks.residual import ResidualNetwork
from resbench.targets.images import Images
from resbench.targets.load import target_of
from resbench.targets.target import UserTarget

__all__ = ["loader_over", "plans_of", "random_subject", "shortcuts_of", "unit_modules"]

_MEAN, _STD = (0.5,) * 3, (0.25,) * 3
_CLASSES, _FITTED = 10, 512


def random_subject(name: str, images: int, side: int, device: str) -> UserTarget:
    """A network of the zoo with random weights, and noise around ten patterns of colour as its images.

    Batch normalisation has the statistics of such images, and the classifier is fitted to the patterns by least
    squares: without that all images get one class, and the two best logits lie closer together than those of trained
    networks do.

    Raises:
        UserError: not a residual network of the zoo.
    """
    from resbench.networks import zoo

    network = zoo.create(name)
    if not isinstance(network, ResidualNetwork):
        raise UserError(f"--target {name}: a residual network of the zoo, or one of your own with --data")
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randn(_CLASSES, 3, 4, 4, generator=generator)
    fitted, truth = _noise(patterns, _FITTED, side, generator)
    _calibrate(network, fitted.normalised())
    _fit(network, fitted.normalised(), truth)
    made, labels = _noise(patterns, images, side, generator)
    data = Images.of_pixels(made.pixels, labels, mean=_MEAN, std=_STD)
    network.to(device)
    return replace(target_of(network, data.take(range(2), device)[0], data=data), name=name, trained=False)


class _Noise:
    def __init__(self, pixels: Tensor):
        self.pixels = pixels

    def normalised(self) -> Tensor:
        return (self.pixels / 255 - _MEAN[0]) / _STD[0]


def _noise(patterns: Tensor, count: int, side: int, generator: torch.Generator) -> tuple[_Noise, Tensor]:
    labels = torch.arange(count) % len(patterns)
    around = patterns[labels] + 0.7 * torch.randn(count, *patterns.shape[1:], generator=generator)
    smooth = F.interpolate(around, size=(side, side), mode="bilinear")
    values = smooth + 0.5 * torch.randn(count, 3, side, side, generator=generator)
    return _Noise((128 + 48 * values).clamp(0, 255).to(torch.uint8)), labels


@torch.no_grad()
def _calibrate(network: nn.Module, images: Tensor) -> None:
    """Give every batch normalisation the mean statistics of a few batches."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the plain mean over batches
    network.train()
    for batch in images.split(64)[:4]:
        network(batch)
    network.eval()


@torch.no_grad()
def _fit(network: ResidualNetwork, images: Tensor, labels: Tensor) -> None:
    classifier = network.classifier
    seen: list[Tensor] = []
    handle = classifier.register_forward_pre_hook(lambda _, args: seen.append(args[0].flatten(1)))
    for batch in images.split(64):
        network(batch)
    handle.remove()
    features = torch.cat(seen)
    extended = torch.cat([features, torch.ones(len(features), 1)], 1).double()
    wanted = F.one_hot(labels, network.spec.classes).double()
    gram = extended.T @ extended + 1e-3 * len(features) * torch.eye(extended.shape[1], dtype=torch.float64)
    solution = torch.linalg.solve(gram, extended.T @ wanted).float()
    classifier.weight.copy_(solution[:-1].T)
    classifier.bias.copy_(solution[-1])


def plans_of(target: UserTarget, mode: str) -> list[Plan]:
    """``single``, ``multi`` (200 random deletions, k = 1..20) or ``pairs`` (and single); the whole network first."""
    excluded = excluded_units(target.units, None)
    return [each.plan for each in list_lesions(target.units, [mode], Drawing(), excluded, chosen=False)]


def unit_modules(target: UserTarget) -> list[str]:
    """The name of every unit's module, which the user's loop replaces.

    Raises:
        UserError: a unit is no module of its own.
    """
    names = {id(module): name for name, module in target.model.named_modules()}
    for unit in target.units:
        if not (unit.place.whole and unit.deletable and unit.place.argument == 0):
            raise UserError(
                f"unit {unit.name} of {target.name} is no module that can be replaced; choose other --units"
            )
    return [names[id(unit.place.module)] for unit in target.units]


def shortcuts_of(target: UserTarget) -> dict[str, nn.Module]:
    """What the user puts in the place of each unit, by the name of its module."""
    return {name: _shortcut(unit) for name, unit in zip(unit_modules(target), target.units, strict=True)}


def _shortcut(unit: ResidualUnit) -> nn.Module:
    """By hand where the user would write a line; no copies are made that the user's code would not make."""
    shortcut = _itself if unit.shortcut_kind == "identity" else unit.shortcut
    return Shortcut(shortcut, {"identity": _itself, "relu": F.relu}.get(unit.after_kind, unit.after)).eval()


def _itself(x: Tensor) -> Tensor:
    return x


def loader_over(images: Images, kind: str, *, pinned: bool) -> DataLoader[tuple[Tensor, ...]]:
    """The user's: ``tensors`` normalised beforehand, or 8-bit images with ``transforms``.

    Raises:
        UserError: transforms for images that are not 8-bit ones in memory, or without torchvision.
    """
    if kind == "tensors":
        return tensor_loader(*images.take(range(len(images)), "cpu"), pinned=pinned)
    source, chosen = images._source, images._positions
    pixels, normalisation = getattr(source, "_pixels", None), getattr(source, "_normalisation", None)
    if pixels is None or normalisation is None:
        raise UserError("--loader transforms takes 8-bit images: cifar10:ROOT or npz:FILE")
    ordered = pixels[chosen].permute(0, 2, 3, 1).contiguous().numpy()
    count = ordered.shape[-1]
    mean, std = _each(normalisation.mean, 0.0, count), _each(normalisation.std, 1.0, count)
    try:
        return transform_loader(ordered, images.labels.tolist(), mean, std, pinned=pinned)
    except ImportError as error:
        raise UserError("--loader transforms needs torchvision: pip install torchvision") from error


def _each(values: Sequence[float], default: float, count: int) -> list[float]:
    found = list(values) or [default]
    return found * count if len(found) == 1 else found
