"""A residual network cut into linear maps: one forward pass fixes every unit's activations, at which each unit's
shortcut, branch and ``after`` are linearised and can be differentiated one by one, for many vectors at once.

Vectors are stacked along a new first dimension, beside the image batch and not inside it: batch statistics (networks in
training mode) are differentiated as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Chain", "LinearUnit", "Linearised", "Map", "Unit", "Unrollable", "linear_units", "linearised"]


class Unit(Protocol):
    """``y = after(shortcut(x) + branch(x))``."""

    def shortcut(self, x: Tensor) -> Tensor: ...

    def branch(self, x: Tensor) -> Tensor: ...

    def after(self, x: Tensor) -> Tensor: ...


class Unrollable(Protocol):
    """A residual network as its path gradients see it: ``head(unit_n(... unit_1(stem(x))))``."""

    @property
    def stem(self) -> torch.nn.Module: ...

    def residual_units(self) -> Sequence[Unit]: ...

    def head(self, x: Tensor) -> Tensor: ...

    def modules(self) -> Iterator[torch.nn.Module]: ...


@dataclass(frozen=True)
class Map:
    """One differentiable map at one input: the graph from the leaf ``source`` to ``target``."""

    source: Tensor
    target: Tensor

    def vjp(self, cotangents: Tensor) -> Tensor:
        """Cotangents ``(rows, *target.shape)`` to ``(rows, *source.shape)``, all rows in one batched call."""
        if self.target is self.source or len(cotangents) == 0:
            return cotangents.new_zeros(0, *self.source.shape) if len(cotangents) == 0 else cotangents
        if not self.target.requires_grad:  # the absent shortcut of a plain network is a constant
            return cotangents.new_zeros(len(cotangents), *self.source.shape)
        # Not autograd's own is_grads_batched: that falls back to one convolution a row.
        return torch.vmap(self._vjp)(cotangents)

    def jvp(self, tangents: Tensor) -> Tensor:
        """Tangents ``(rows, *source.shape)`` to ``(rows, *target.shape)``, all rows in one batched call.

        The graph knows only the transposed map; that is linear in its cotangent, and its own transpose is this map.
        """
        if self.target is self.source:
            return tangents
        if len(tangents) == 0 or not self.target.requires_grad:
            return tangents.new_zeros(len(tangents), *self.target.shape)
        with torch.enable_grad():
            cotangent = torch.zeros_like(self.target, requires_grad=True)
            (pulled,) = torch.autograd.grad(self.target, self.source, cotangent, create_graph=True)
        return torch.vmap(Map(cotangent, pulled)._vjp)(tangents)

    def _vjp(self, cotangent: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(self.target, self.source, cotangent, retain_graph=True)
        return gradient


@dataclass(frozen=True)
class Chain:
    """``second`` after ``first``."""

    first: Map
    second: Map

    @property
    def target(self) -> Tensor:
        return self.second.target

    def vjp(self, cotangents: Tensor) -> Tensor:
        return self.first.vjp(self.second.vjp(cotangents))

    def jvp(self, tangents: Tensor) -> Tensor:
        return self.second.jvp(self.first.jvp(tangents))


@dataclass(frozen=True)
class LinearUnit:
    """A unit's three maps at the activations of the full forward pass; ``after`` leads to the next unit."""

    shortcut: Map
    branch: Map
    after: Map | Chain


@dataclass(frozen=True)
class Linearised:
    """One full forward pass; ``gradient`` is that of the mean cross-entropy at the last unit's output.

    ``ordinary``: the gradient at the first unit's input as autograd found it in the whole network; None where it was
    not asked for.
    """

    stem: Map
    units: tuple[LinearUnit, ...]
    gradient: Tensor
    ordinary: Tensor | None = None


@contextmanager
def _buffers_kept(network: Unrollable) -> Iterator[None]:
    """Let a pass in training mode write its running statistics into copies, which its graph then owns."""
    owners = [module._buffers for module in network.modules()]
    kept = [dict(buffers) for buffers in owners]
    for buffers in owners:
        buffers.update({name: value.clone() for name, value in buffers.items() if value is not None})
    try:
        yield
    finally:
        for buffers, originals in zip(owners, kept, strict=True):
            buffers.update(originals)


def _leaf(value: Tensor) -> Tensor:
    return value.detach().requires_grad_()


def linear_units(units: Sequence[Unit], x: Tensor) -> tuple[tuple[LinearUnit, ...], Tensor]:
    """``units`` applied to ``x`` one after the other and cut into maps; also the output of the last."""
    found = []
    for unit in units:
        x = _leaf(x)
        shortcut, branch = Map(x, unit.shortcut(x)), Map(x, unit.branch(x))
        total = _leaf(shortcut.target + branch.target)
        after = Map(total, unit.after(total))
        found.append(LinearUnit(shortcut, branch, after))
        x = after.target
    return tuple(found), x


def linearised(network: Unrollable, images: Tensor, labels: Tensor) -> Linearised:
    """The full forward pass in the network's present mode, cut into maps that can be differentiated one by one."""
    with _buffers_kept(network), torch.enable_grad():
        source = _leaf(images)
        stem = Map(source, network.stem(source))
        units, x = linear_units(network.residual_units(), stem.target)
        x = _leaf(x)
        logits = network.head(x)
        if logits.dim() != 2:
            raise ValueError("path gradients need a network of one copy: logits (N, classes)")
        (gradient,) = torch.autograd.grad(F.cross_entropy(logits, labels), x)
    return Linearised(stem, units, gradient)
