"""Whole networks: residual networks of any unit, and the plain VGG-style comparator of Veit 2016."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resbench.networks.copies import CopiesBatchNorm2d, CopiesConv2d, CopiesLinear, Sequence2d
from resbench.networks.sampling import Sampler
from resbench.networks.units import ComposedUnit, UnitSpec, build_unit

__all__ = ["NetworkSpec", "PlainNetwork", "PlainSpec", "ResidualNetwork", "build", "parameter_count"]


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


class ResidualNetwork(nn.Module):
    """Stem, residual units, head; ``(N, copies * inputs, H, W)`` to logits (see :mod:`resbench.networks.copies`).

    ``sampler``: which units each training pass uses (stochastic depth, effective paths); None uses all.
    ``last_draw`` holds the sampler's latest draw, ``(copies, units)``.
    """

    def __init__(self, spec: NetworkSpec, *, copies: int = 1):
        super().__init__()
        self.spec, self.copies = spec, copies
        self.sampler: Sampler | None = None
        self.last_draw: Tensor | None = None
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

    def head(self, x: Tensor) -> Tensor:
        """The last activation (pre-activation networks), global average pooling, the classifier."""
        return self.classifier(self.head_activation(x).mean((2, 3)))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        if self.sampler is None or not self.training:
            for unit in self.units:
                x = unit(x)
            return self.head(x)
        self.last_draw = self.sampler.draw()
        for unit, keep in zip(self.units, self.last_draw.unbind(1), strict=True):
            x = unit(x, keep.nonzero().flatten())
        return self.head(x)


class PlainNetwork(nn.Module):
    """The VGG-style comparator; each layer is a removable module (``layers``)."""

    def __init__(self, spec: PlainSpec, *, copies: int = 1):
        super().__init__()
        self.spec, self.copies = spec, copies
        layers: list[nn.Module] = []
        for index in range(spec.layers):
            inputs = spec.inputs if index == 0 else spec.width
            layers.append(
                Sequence2d(
                    CopiesConv2d(inputs, spec.width, 3, copies=copies),
                    CopiesBatchNorm2d(spec.width, copies=copies),
                    nn.ReLU(),
                )
            )
        self.layers = nn.ModuleList(layers)
        self.classifier = CopiesLinear(spec.width, spec.classes, copies=copies)

    def pool_after(self, layer: int, x: Tensor) -> Tensor:
        """The pooling that follows layer ``layer`` (from 0), or ``x`` itself; pooling stays when a layer goes."""
        return F.max_pool2d(x, 2) if layer + 1 in self.spec.pools else x

    def head(self, x: Tensor) -> Tensor:
        return self.classifier(x.mean((2, 3)))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        for index, layer in enumerate(self.layers):
            x = self.pool_after(index, layer(x))
        return self.head(x)


def build(
    spec: NetworkSpec | PlainSpec, *, copies: int = 1, device: torch.device | str | None = None
) -> ResidualNetwork | PlainNetwork:
    """The network of ``spec``; :func:`resbench.networks.copies.initialise` gives it He's initialisation."""
    with torch.device(device or "cpu"):
        if isinstance(spec, PlainSpec):
            return PlainNetwork(spec, copies=copies)
        return ResidualNetwork(spec, copies=copies)


def parameter_count(network: nn.Module, *, batch_norm: bool = True) -> int:
    """The number of learnable parameters; without those of batch normalisation on request."""
    skipped: Sequence[nn.Parameter] = (
        [] if batch_norm else [p for m in network.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()]
    )
    return sum(p.numel() for p in network.parameters()) - sum(p.numel() for p in skipped)


def _stem(spec: NetworkSpec, channels: int, copies: int) -> nn.Module:
    kernel, stride = (7, 2) if spec.stem == "imagenet" else (3, 1)
    layers: list[nn.Module] = [
        CopiesConv2d(spec.inputs, channels, kernel, stride=stride, copies=copies),
        CopiesBatchNorm2d(channels, copies=copies),
        nn.ReLU(),
    ]
    if spec.stem == "imagenet":
        layers.append(nn.MaxPool2d(3, 2, 1))
    return Sequence2d(*layers)


def _head_activation(spec: NetworkSpec, channels: int, copies: int) -> nn.Module:
    if spec.unit.order == "preact":
        return Sequence2d(CopiesBatchNorm2d(channels, copies=copies), nn.ReLU())
    return nn.ReLU() if spec.unit.order == "relu-only-preact" else nn.Identity()
