"""Evaluation of a trained network as it stands: errors on its test images, losses on its training images."""

from __future__ import annotations

import copy
import math
import threading
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from resbench.errors import NotMeasured
from resbench.experiments.lesion_target import tested_images
from resbench.targets.target import UserMember
from resbench.training.target import Member

__all__ = ["evaluation", "training_curves"]

_GLOBAL_GENERATOR = threading.Lock()
"""Dropout draws from the process's own generator, which experiments running beside each other must not share."""

_BATCH = 1024
"""More than half of the digits, whose training statistics are those of the whole half."""


def evaluation(member: Member | UserMember) -> dict[str, Any]:
    """Test and training behaviour.

    Returns ``wrong``: booleans ``(1, test images)``; ``training_loss``: nats ``(1, training images)``, of the network
    in training mode (batch statistics over 1,024 images, dropout active, all units) on the images as they are: the loss
    that training minimised, without its augmentation.  Of a user's network ``wrong`` alone: what it was trained
    on is not known.

    A network that diverged answers with what is no number: then the image is wrong, and its loss that of a guess,
    ``ln(classes)``.  Its real loss is larger, so a claim that it loses against another network is not helped by this.
    """
    if isinstance(member, UserMember):
        tested_images(member)
        return {"wrong": member.target.misclassified[None]}
    network = member.network
    with torch.inference_mode():
        wrong = [_wrong(network(images), labels) for images, labels in member.test.batches(_BATCH, member.device)]
        trained = copy.deepcopy(network).train()
        if hasattr(trained, "sampler"):
            trained.sampler = None
        batches = member.train.batches(_BATCH, member.device)
        with _GLOBAL_GENERATOR, torch.random.fork_rng():
            torch.manual_seed(member.half)
            losses = [_losses(trained(images), labels) for images, labels in batches]
    return {
        "wrong": torch.cat(wrong).cpu().numpy()[None],
        "training_loss": torch.cat(losses).double().cpu().numpy()[None],
    }


def _wrong(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax(1) != labels) | ~torch.isfinite(logits).all(1)


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    losses = F.cross_entropy(logits, labels, reduction="none")
    return torch.where(torch.isfinite(logits).all(1), losses, math.log(logits.shape[1]))


def training_curves(member: Member | UserMember) -> dict[str, Any]:
    """The curves recorded while the network was trained, one value an epoch.

    ``loss``, ``depth``, ``stem_gradient``, and where they were measured ``training_error``, ``validation_error`` and
    ``test_error`` (percent): see :class:`resbench.training.loop.Curves`.
    """
    if isinstance(member, UserMember):
        raise NotMeasured("resbench did not train the target: there is no record of its training")
    return {name: np.array(values, dtype=np.float64) for name, values in asdict(member.curves).items() if values}
