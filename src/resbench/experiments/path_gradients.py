"""The gradient that travels along single paths of a residual network (Veit 2016, section 5).

A forward pass through the *whole* network fixes every unit's activations.  Backwards, a path passes a unit either
through its residual branch or through its shortcut, each linearised at those activations, so the path's gradient is a
product of vector-Jacobian products, and the sum over all ``2^n`` paths is the ordinary gradient.  Only this linearised
sum is additive; forwards the terms are nested.

Many paths go through one unit at a time, stacked along a new first dimension and differentiated in one batched call: a
path costs what its cotangents cost, never a backward pass of its own.  Because the stack is beside the image batch and
not inside it, batch statistics (networks in training mode) are differentiated as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from resbench.experiments.linearised import Linearised, Unrollable, linearised
from resbench.experiments.path_spectrum import coefficients

__all__ = [
    "draw_paths",
    "gradient_by_length_exact",
    "path_gradients",
    "path_norms",
    "sample_path_gradients",
    "sample_paths",
]

Point = Literal["first unit", "images"]
"""Where the gradient is read: at the input of the first unit, or at the network's input."""


def path_gradients(
    network: Unrollable, images: Tensor, labels: Tensor, paths: Tensor, *, at: Point = "first unit"
) -> Tensor:
    """The gradient of the mean cross-entropy along each of ``paths``.

    ``images`` ``(N, C, H, W)``, ``labels`` ``(N,)``; ``paths`` booleans ``(P, units)``, True where the path goes
    through the residual branch.  Returns ``(P, *shape)``, ``shape`` that of the first unit's input, or of the images.
    The network's mode and running statistics stay as they are.
    """
    gradients, log_scale = _backward(linearised(network, images, labels), paths, at)
    return gradients * log_scale.exp().to(gradients.dtype).view(-1, *(1,) * images.dim())


def draw_paths(n: int, lengths: Sequence[int], paths_per_length: int, generator: torch.Generator) -> Tensor:
    """Random paths, booleans ``(lengths, paths_per_length, n)``: exactly ``k`` of ``n`` units each, uniformly."""
    if any(not 0 <= k <= n for k in lengths):
        raise ValueError(f"a path through {n} units has 0 to {n} of them, not {list(lengths)}")
    order = torch.rand(len(lengths), paths_per_length, n, generator=generator).argsort(-1)
    return order < torch.tensor(list(lengths)).view(-1, 1, 1)


def sample_path_gradients(
    network: Unrollable,
    images: Tensor,
    labels: Tensor,
    lengths: Sequence[int],
    paths_per_length: int,
    generator: torch.Generator,
    *,
    at: Point = "first unit",
    chunk: int = 256,
) -> Tensor:
    """Norms of the gradients of random paths, float64 ``(lengths, paths_per_length)`` (Veit 2016, figure 6b).

    The norm is that of the whole batch's gradient of the mean cross-entropy.  ``lengths``: in units; the ``k`` units of
    a path are drawn uniformly.  ``chunk``: paths held at once; memory is ``chunk`` activations of the largest unit.
    Norms far below float32's range (a long path's 1e-60) are still resolved.
    """
    return sample_paths(linearised(network, images, labels), lengths, paths_per_length, generator, at=at, chunk=chunk)


def sample_paths(
    full: Linearised,
    lengths: Sequence[int],
    paths_per_length: int,
    generator: torch.Generator,
    *,
    at: Point = "first unit",
    chunk: int = 256,
) -> Tensor:
    """:func:`sample_path_gradients` of a pass that has been linearised already."""
    paths = draw_paths(len(full.units), lengths, paths_per_length, generator).flatten(0, 1)
    return path_norms(full, paths, at=at, chunk=chunk).view(len(lengths), paths_per_length)


def path_norms(full: Linearised, paths: Tensor, *, at: Point = "first unit", chunk: int = 256) -> Tensor:
    """Norms of the gradients along ``paths``, booleans ``(P, units)``; float64 ``(P,)``."""
    norms = []
    for rows in paths.to(full.gradient.device).split(chunk):
        gradients, log_scale = _backward(full, rows, at)
        norms.append(gradients.flatten(1).norm(dim=1).double() * log_scale.exp())
    return torch.cat(norms)


def _backward(full: Linearised, paths: Tensor, at: Point) -> tuple[Tensor, Tensor]:
    """Gradients ``(P, *shape)`` up to a factor, and the logarithm of that factor, float64 ``(P,)``.

    Rows are kept at norm one on their way, since float32 would lose a long path to underflow.
    """
    if paths.dim() != 2 or paths.shape[1] != len(full.units):
        raise ValueError(f"paths must be (paths, {len(full.units)}), not {tuple(paths.shape)}")
    device = full.gradient.device
    rows = full.gradient.expand(len(paths), *full.gradient.shape)
    log_scale = torch.zeros(len(paths), dtype=torch.float64, device=device)
    for unit, through in zip(reversed(full.units), paths.to(device).flip(1).unbind(1), strict=True):
        arrived = unit.after.vjp(rows)
        branch, skip = through.nonzero().flatten(), (~through).nonzero().flatten()
        rows = arrived.new_empty(len(paths), *unit.shortcut.source.shape)
        rows.index_copy_(0, branch, unit.branch.vjp(arrived[branch]))
        rows.index_copy_(0, skip, unit.shortcut.vjp(arrived[skip]))
        size = rows.flatten(1).norm(dim=1)
        size = torch.where(size > 0, size, torch.ones_like(size))
        rows /= size.view(-1, *(1,) * (rows.dim() - 1))
        log_scale += size.double().log()
    return (full.stem.vjp(rows) if at == "images" else rows), log_scale


def gradient_by_length_exact(
    network: Unrollable, images: Tensor, labels: Tensor, *, at: Point = "first unit"
) -> Tensor:
    """The gradient carried by *all* paths of each length together, ``(units + 1, *shape)``; no sampling.

    Row ``k`` is the coefficient of ``z^k`` in the product of the units' ``shortcut + z * branch`` (transposed
    Jacobians), multiplied out unit by unit; the rows sum to the ordinary gradient.  A row's norm is that of the *sum*
    of ``C(n, k)`` path gradients, which may cancel: it is not ``C(n, k)`` times the norm of one.
    """
    full = linearised(network, images, labels)
    rows = coefficients(full).plain()
    return full.stem.vjp(rows) if at == "images" else rows
