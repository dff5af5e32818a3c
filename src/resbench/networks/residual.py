"""Whole networks: residual networks of any unit, and the plain VGG-style comparator of Veit 2016."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Literal

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resbench.networks.checkpointing import recomputed
from resbench.networks.copies import CopiesBatchNorm2d, CopiesConv2d, CopiesLinear, Sequence2d
from resbench.networks.sampling import Sampler, Survival
from resbench.networks.units import ComposedUnit, UnitSpec, build_unit

__all__ = ["NetworkSpec", "PlainNetwork", "PlainSpec", "ResidualNetwork", "VggSpec", "build", "parameter_count"]


class NetworkSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A residual network: ``units[s]`` units of width ``widths[s]`` in stage ``s``, stride 2 between stages.

    ``stem``: ``cifar`` is a 3x3 convolution to ``stem_width`` channels (He 2015, section 4.2); ``imagenet`` a 7x7
    convolution of stride 2 to 64 channels and a 3x3 max pooling of stride 2.
    """

    units: tuple[int, ...] = (18, 18, 18)
    widths: tuple[int, ...] = (16, 32, 64)
    unit: UnitSpec = UnitSpec()
    inputs: int = 3
    classes: int = 10
    stem: Literal["cifar", "imagenet"] = "cifar"
    stem_width: int | None = None

    @property
    def n_units(self) -> int:
        return sum(self.units)


class PlainSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A VGG-style network: ``layers`` 3x3 convolutions, each followed by BN and ReLU, all of one ``width``.

    One width, so that any layer but the first can be removed (Veit 2016, figure 3).  ``pools``: after which layers
    (counted from 1) a 2x2 max pooling stands.
    """

    layers: int = 15
    width: int = 128
    pools: tuple[int, ...] = (5, 10)
    inputs: int = 3
    classes: int = 10

    @property
    def widths(self) -> tuple[int, ...]:
        """The channels that each layer makes."""
        return (self.width,) * self.layers


class VggSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The convolutions of a VGG net (Simonyan 2014, table 1): ``stages[s]`` holds the widths of stage ``s``'s layers.

    A 2x2 max pooling follows each stage.  As in the CIFAR nets of that name: batch normalisation, and global average
    pooling with one linear layer in the place of the three fully connected ones.
    """

    stages: tuple[tuple[int, ...], ...]
    inputs: int = 3
    classes: int = 10

    @property
    def layers(self) -> int:
        return sum(map(len, self.stages))

    @property
    def widths(self) -> tuple[int, ...]:
        """The channels that each layer makes."""
        return sum(self.stages, ())

    @property
    def pools(self) -> tuple[int, ...]:
        """After which layers (counted from 1) a pooling stands."""
        return tuple(accumulate(map(len, self.stages)))


class ResidualNetwork(nn.Module):
    """Stem, residual units, head; ``(N, copies * inputs, H, W)`` to logits (see :mod:`resbench.networks.copies`).

    ``sampler``: which units each training pass uses (stochastic depth, effective paths); None uses all.
    ``last_draw`` holds the sampler's latest draw, ``(copies, units)``.  ``checkpointing``: compute each unit's
    activations again in the backward pass instead of keeping them (same outputs, gradients and BN statistics).
    """

    def __init__(self, spec: NetworkSpec, *, copies: int = 1):
        super().__init__()
        self.spec, self.copies = spec, copies
        self.sampler: Sampler | None = None
        self.last_draw: Tensor | None = None
        self.checkpointing = False
        channels = spec.stem_width or (64 if spec.stem == "imagenet" else spec.widths[0])
        self.stem = _stem(spec, channels, copies)
        units: list[ComposedUnit] = []
        for stage, (count, width) in enumerate(zip(spec.units, spec.widths, strict=True)):
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                units.append(build_unit(spec.unit, channels, width, stride, first=not units, copies=copies))
                channels = width * spec.unit.expansion
        self.units = nn.ModuleList(units)
        self.head_activation = _head_activation(spec, channels, copies)
        self.classifier = CopiesLinear(channels, spec.classes, copies=copies)

    def residual_units(self) -> list[ComposedUnit]:
        """The units in order."""
        return [unit for unit in self.units if isinstance(unit, ComposedUnit)]

    @property
    def survival_probabilities(self) -> tuple[float, ...] | None:
        """Each unit's probability to be used in training (Huang 2016); None without stochastic depth."""
        return self.sampler.inclusion() if isinstance(self.sampler, Survival) else None

    def head(self, x: Tensor) -> Tensor:
        """The last activation (pre-activation networks), global average pooling, the classifier."""
        return self.classifier(self.head_activation(x).mean((2, 3)))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        if self.sampler is None or not self.training:
            for unit in self.units:
                x = recomputed(unit, x) if self.checkpointing else unit(x)
            return self.head(x)
        self.last_draw = self.sampler.draw()
        for unit, keep in zip(self.units, self.last_draw.unbind(1), strict=True):
            active = keep.nonzero().flatten()
            x = recomputed(unit, x, active) if self.checkpointing else unit(x, active)
        return self.head(x)


class PlainNetwork(nn.Module):
    """The VGG-style comparator; each layer is a removable module (``layers``).

    ``checkpointing``: as in :class:`ResidualNetwork`.
    """

    def __init__(self, spec: PlainSpec | VggSpec, *, copies: int = 1):
        super().__init__()
        self.spec, self.copies = spec, copies
        self.checkpointing = False
        layers: list[nn.Module] = []
        inputs = spec.inputs
        for width in spec.widths:
            layers.append(
                Sequence2d(
                    CopiesConv2d(inputs, width, 3, copies=copies), CopiesBatchNorm2d(width, copies=copies), nn.ReLU()
                )
            )
            inputs = width
        self.layers = nn.ModuleList(layers)
        self.classifier = CopiesLinear(inputs, spec.classes, copies=copies)

    def pool_after(self, layer: int, x: Tensor) -> Tensor:
        """The pooling that follows layer ``layer`` (from 0), or ``x`` itself; pooling stays when a layer goes."""
        return F.max_pool2d(x, 2) if layer + 1 in self.spec.pools else x

    def head(self, x: Tensor) -> Tensor:
        return self.classifier(x.mean((2, 3)))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        for index, layer in enumerate(self.layers):
            x = self.pool_after(index, recomputed(layer, x) if self.checkpointing else layer(x))
        return self.head(x)


def build(
    spec: NetworkSpec | PlainSpec | VggSpec, *, copies: int = 1, device: torch.device | str | None = None
) -> ResidualNetwork | PlainNetwork:
    """The network of ``spec``; :func:`resbench.networks.copies.initialise` gives it He's initialisation."""
    with torch.device(device or "cpu"):
        if isinstance(spec, NetworkSpec):
            return ResidualNetwork(spec, copies=copies)
        return PlainNetwork(spec, copies=copies)


def parameter_count(network: nn.Module, *, batch_norm: bool = True) -> int:
    """The number of learnable parameters; without those of batch normalisation on request."""
    skipped: Sequence[nn.Parameter] = (
        [] if batch_norm else [p for m in network.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()]
    )
    return sum(p.numel() for p in network.parameters()) - sum(p.numel() for p in skipped)


def _stem(spec: NetworkSpec, channels: int, copies: int) -> nn.Module:
    kernel, stride = (7, 2) if spec.stem == "imagenet" else (3, 1)
    normalised = spec.unit.order != "no-norm"
    layers: list[nn.Module] = [
        CopiesConv2d(spec.inputs, channels, kernel, stride=stride, bias=not normalised, copies=copies)
    ]
    if normalised:
        layers.append(CopiesBatchNorm2d(channels, copies=copies))
    layers.append(nn.ReLU())
    if spec.stem == "imagenet":
        layers.append(nn.MaxPool2d(3, 2, 1))
    return Sequence2d(*layers)


def _head_activation(spec: NetworkSpec, channels: int, copies: int) -> nn.Module:
    if spec.unit.order == "preact":
        return Sequence2d(CopiesBatchNorm2d(channels, copies=copies), nn.ReLU())
    return nn.ReLU() if spec.unit.order == "relu-only-preact" else nn.Identity()
