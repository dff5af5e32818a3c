"""Evaluation of a trained network as it stands: errors on its test images, losses on its training images."""

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from resbench.errors import NotMeasured
from resbench.experiments.lesion_target import tested_images
from resbench.targets.target import UserMember
from resbench.training.target import Member

if TYPE_CHECKING:
    from resbench.experiments.linearised import Linearised

__all__ = ["evaluation", "path_gradients", "training_curves"]

_GLOBAL_GENERATOR = threading.Lock()
"""Dropout draws from the process's own generator, which experiments running beside each other must not share."""

_PATH_IMAGES = 16
_TARGET_PATH_IMAGES = 4
"""A user's images are larger than the digits, and a path costs what its activations cost."""

_SHORT, _SHORT_PATHS, _LONG_PATHS = 24, 32, 4
"""Paths through up to 24 units carry the gradient and have heavy tails: more of them are sampled."""


def evaluation(member: Member | UserMember) -> dict[str, Any]:
    """Test and training behaviour.

    Returns ``wrong``: booleans ``(1, test images)``; ``training_loss``: nats ``(1, training images)``, of the network
    in training mode (batch statistics over the whole half, dropout active, all units) on the images as they are: the
    loss that training minimised, without its augmentation.  Of a user's network ``wrong`` alone: what it was trained
    on is not known.
    """
    if isinstance(member, UserMember):
        tested_images(member)
        return {"wrong": member.target.misclassified[None]}
    network = member.network
    with torch.inference_mode():
        images, labels = member.test
        logits = network(images)
        wrong = (logits.argmax(1) != labels) | ~torch.isfinite(logits).all(1)
        trained = copy.deepcopy(network).train()
        if hasattr(trained, "sampler"):
            trained.sampler = None
        images, labels = member.train
        with _GLOBAL_GENERATOR, torch.random.fork_rng():
            torch.manual_seed(member.half)
            training_loss = F.cross_entropy(trained(images), labels, reduction="none")
    return {
        "wrong": wrong.cpu().numpy()[None],
        "training_loss": training_loss.double().cpu().numpy()[None],
    }


def training_curves(member: Member | UserMember) -> dict[str, Any]:
    """The curves recorded while the network was trained: ``loss``, ``depth``, ``stem_gradient``, one value an epoch."""
    if isinstance(member, UserMember):
        raise NotMeasured("resbench did not train the target: there is no record of its training")
    curves = member.curves
    return {
        "loss": torch.tensor(curves.loss, dtype=torch.float64).numpy(),
        "depth": torch.tensor(curves.depth, dtype=torch.float64).numpy(),
        "stem_gradient": torch.tensor(curves.stem_gradient, dtype=torch.float64).numpy(),
    }


def path_gradients(member: Member | UserMember) -> dict[str, Any]:
    """Norms of the gradients that single paths carry to the input of the first unit (Veit 2016, section 5).

    Returns ``norms``: ``(1 + units, paths)``, row ``k`` sampled from the paths through exactly ``k`` units; long paths
    are sampled less often, the rest of their rows is NaN.
    """
    from resbench.experiments.path_gradients import sample_paths

    generator = torch.Generator().manual_seed(member.half)
    full = _linearised(member, generator)
    norms = torch.full((len(full.units) + 1, _SHORT_PATHS), torch.nan, dtype=torch.float64)
    split = min(_SHORT, len(full.units)) + 1
    for lengths, paths in ((range(split), _SHORT_PATHS), (range(split, len(norms)), _LONG_PATHS)):
        if lengths:
            sampled = sample_paths(full, lengths, paths, generator)
            norms[lengths.start : lengths.stop, :paths] = sampled.double().cpu()
    return {"norms": norms.numpy()}


def _linearised(member: Member | UserMember, generator: torch.Generator) -> Linearised:
    """A pass over a few images: those of the training half, or of a user's data."""
    from resbench.experiments.linearised import linearised
    from resbench.experiments.path_target import linearised_target
    from resbench.networks.residual import ResidualNetwork

    if isinstance(member, UserMember):
        data = tested_images(member)
        chosen = _chosen(len(data), _TARGET_PATH_IMAGES, generator)
        return linearised_target(member.target, *data.take(chosen, member.target.device))
    if not isinstance(member.network, ResidualNetwork):
        raise TypeError("a plain network has one path")
    images, labels = member.train
    chosen = _chosen(len(labels), _PATH_IMAGES, generator).to(labels.device)
    return linearised(member.network, images[chosen], labels[chosen])


def _chosen(images: int, count: int, generator: torch.Generator) -> Tensor:
    return torch.randperm(images, generator=generator)[:count]
