"""The path experiments that claims read: norms of single paths' gradients, and of all paths of each length together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch

from resbench.experiments.lesion_target import tested_images
from resbench.experiments.linearised import Linearised, linearised
from resbench.experiments.path_gradients import sample_paths
from resbench.experiments.path_spectrum import coefficients
from resbench.experiments.path_target import linearised_target
from resbench.networks.residual import ResidualNetwork
from resbench.targets.target import UserMember
from resbench.training.target import Member

__all__ = ["path_gradients", "path_spectrum"]

_IMAGES = 16
_GROUP = 4
"""A user's images are larger than the digits, and a path costs what its activations cost.  In groups of 4 to 16 an
image costs about the same (27 units of 32x32 images, sampled: 58 to 88 ms on two quiet cores)."""

_SHORT, _SHORT_PATHS, _LONG_PATHS = 24, 32, 4
"""Paths through up to 24 units carry the gradient and have heavy tails: more of them are sampled."""

_THOROUGH_IMAGES = 2000
"""They tell the factor a unit to 0.02 at 9 units, 0.01 at 15 and 0.002 at 27, where they took 23
minutes of a busy core."""
_EXACT_IMAGES, _THOROUGH_EXACT_IMAGES = 64, 1000


def path_gradients(member: Member | UserMember) -> dict[str, Any]:
    """Norms of the gradients that single paths carry to the input of the first unit (Veit 2016, section 5).

    Returns ``norms``: ``(1 + units, groups, paths)``, row ``k`` sampled from the paths through exactly ``k`` units.
    There is one group of a few images; long paths are sampled less often, and the rest of their rows is NaN.  A network
    that is to be measured thoroughly: groups of four images, of 2,000 (less than a group at the end is left out), and
    in each group one path a length, drawn afresh.
    """
    generator = torch.Generator().manual_seed(member.half)
    if member.thorough:
        passes = _passes(member, _THOROUGH_IMAGES, _GROUP, generator)
        whole = (full for full in passes if len(full.gradient) == _GROUP)
        rows = [sample_paths(full, range(len(full.units) + 1), 1, generator).double().cpu() for full in whole]
        return {"norms": torch.stack(rows, dim=1).numpy()}
    few = _GROUP if isinstance(member, UserMember) else _IMAGES
    (full,) = _passes(member, few, few, generator)
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
    images, 1,000 where the network is to be measured thoroughly.

    Raises:
        NotMeasured: a target without paths.
    """
    count = _THOROUGH_EXACT_IMAGES if member.thorough else _EXACT_IMAGES
    parts = [
        # The loss is the mean over the images of a pass; each image's own is so many times larger.
        coefficients(full).log_norms().cpu() + math.log(len(full.gradient))
        for full in _passes(member, count, _GROUP, torch.Generator().manual_seed(member.half))
    ]
    return {"log_norms": torch.cat(parts, dim=1).numpy()}


def _passes(member: Member | UserMember, count: int, together: int, generator: torch.Generator) -> Iterator[Linearised]:
    """Passes over ``count`` images drawn from those of the training half, as in the paper, or from a user's data.

    Drawn, since neighbours in a data set are often of one class; ``together``: in one pass, all of them at most.
    """
    if isinstance(member, UserMember):
        data = tested_images(member)
    elif isinstance(member.network, ResidualNetwork):
        data = member.train
    else:
        raise TypeError("a plain network has one path")
    drawn = torch.randperm(len(data), generator=generator)[:count]
    for chosen in drawn.split(together):
        if isinstance(member, UserMember):
            yield linearised_target(member.target, *data.take(chosen, member.target.device))
        else:
            assert isinstance(member.network, ResidualNetwork)
            yield linearised(member.network, *data.take(chosen, member.device))
