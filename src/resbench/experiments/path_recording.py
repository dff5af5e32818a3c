"""The path experiments that claims read: norms of single paths' gradients, and of all paths of each length together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from resbench.errors import NotMeasured
from resbench.experiments.lesion_target import tested_images
from resbench.experiments.linearised import Linearised, linearised
from resbench.experiments.path_exact import exact_lengths
from resbench.experiments.path_gradients import sample_paths
from resbench.experiments.path_target import linearised_target
from resbench.networks.residual import ResidualNetwork
from resbench.targets.target import UserMember
from resbench.training.target import Member

__all__ = ["path_gradients", "path_spectrum"]

_IMAGES = 16
_TARGET_IMAGES = 4
"""A user's images are larger than the digits, and a path costs what its activations cost; more together leave the
processor's cache (27 units of 32x32 images: 69 ms an image in groups of 4, 149 ms in groups of 16, two cores)."""

_SHORT, _SHORT_PATHS, _LONG_PATHS = 24, 32, 4
"""Paths through up to 24 units carry the gradient and have heavy tails: more of them are sampled."""

_THOROUGH_IMAGES = 2000
"""They tell the factor a unit to 0.02 at 9 units, 0.01 at 15 and 0.002 at 27, where they took 23
minutes of a busy core."""
_EXACT_IMAGES, _THOROUGH_EXACT_IMAGES = 64, 1000


def path_gradients(member: Member | UserMember) -> dict[str, Any]:
    """Norms of the gradients that single paths carry to the input of the first unit (Veit 2016, section 5).

    Returns ``norms``: ``(1 + units, groups, paths)``, row ``k`` sampled from the paths through exactly ``k`` units.
    There is one group of a few images; long paths are sampled less often, and the rest of their rows is NaN.  A user's
    network that is to be measured thoroughly: groups of four images, of 2,000 (less than a group at the end is left
    out), and in each group one path a length, drawn afresh.
    """
    generator = torch.Generator().manual_seed(member.half)
    if isinstance(member, UserMember) and member.target.thorough:
        groups = _groups(member, generator)
        rows = [sample_paths(full, range(len(full.units) + 1), 1, generator).double().cpu() for full in groups]
        return {"norms": torch.stack(rows, dim=1).numpy()}
    full = _linearised(member, generator)
    norms = torch.full((len(full.units) + 1, 1, _SHORT_PATHS), torch.nan, dtype=torch.float64)
    split = min(_SHORT, len(full.units)) + 1
    for lengths, paths in ((range(split), _SHORT_PATHS), (range(split, len(norms)), _LONG_PATHS)):
        if lengths:
            sampled = sample_paths(full, lengths, paths, generator)
            norms[lengths.start : lengths.stop, 0, :paths] = sampled.double().cpu()
    return {"norms": norms.numpy()}


def path_spectrum(member: Member | UserMember) -> dict[str, Any]:
    """What *all* paths of each length carry together, exactly, to the input of the first unit; images one by one.

    Returns ``log_norms``: natural logarithms ``(1 + units, images)`` of the gradient of each image's own loss.  64
    images of a user's data, 1,000 where it is to be measured thoroughly.

    Raises:
        NotMeasured: one of this package's networks (nothing is claimed of those), or a target without paths.
    """
    if not isinstance(member, UserMember):
        raise NotMeasured("the exact spectrum is measured of users' networks")
    data = tested_images(member)
    count = _THOROUGH_EXACT_IMAGES if member.target.thorough else _EXACT_IMAGES
    chosen = _chosen(len(data), count, torch.Generator().manual_seed(member.half))
    images, labels = data.take(chosen, member.target.device)
    found = exact_lengths(member.target, images, labels, participation=False)
    assert found is not None
    return {"log_norms": found.log_norms}


def _linearised(member: Member | UserMember, generator: torch.Generator) -> Linearised:
    """A pass over a few images: those of the training half, or of a user's data."""
    if isinstance(member, UserMember):
        data = tested_images(member)
        chosen = _chosen(len(data), _TARGET_IMAGES, generator)
        return linearised_target(member.target, *data.take(chosen, member.target.device))
    if not isinstance(member.network, ResidualNetwork):
        raise TypeError("a plain network has one path")
    chosen = _chosen(len(member.train), _IMAGES, generator)
    return linearised(member.network, *member.train.take(chosen, member.device))


def _groups(member: UserMember, generator: torch.Generator) -> Iterator[Linearised]:
    """Passes over images drawn from all: neighbours in a data set are often of one class."""
    data = tested_images(member)
    order = _chosen(len(data), _THOROUGH_IMAGES, generator)
    for chosen in order[: len(order) // _TARGET_IMAGES * _TARGET_IMAGES].split(_TARGET_IMAGES):
        yield linearised_target(member.target, *data.take(chosen, member.target.device))


def _chosen(images: int, count: int, generator: torch.Generator) -> Tensor:
    return torch.randperm(images, generator=generator)[:count]
