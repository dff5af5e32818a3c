"""What one step of training does, whatever is trained: the recipe's rule, written out here a second time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from resbench.experiments.structure_huang import random_images
from resbench.networks.copies import initialise
from resbench.networks.residual import NetworkSpec, ResidualNetwork
from resbench.records.measurement import Measurement
from resbench.training.recipes import Recipe
from resbench.training.trainer import Trainer

__all__ = ["step_deviation"]

_SPEC = NetworkSpec(units=(1, 1), widths=(4, 8))
_IMAGES, _COPIES = 8, 2


def step_deviation(
    rates: Sequence[float],
    lr: float,
    warmup: int,
    warmup_lr: float,
    drops: Sequence[int],
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> Measurement:
    """Largest relative difference of a parameter from its value by hand, after one step for each of ``rates``.

    By hand, in float64: ``d = g + decay * w``, ``v = momentum * v + d``, ``w = w - rate * v`` (Nesterov's: ``d +
    momentum * v`` for ``v``), for every parameter, those of batch normalisation and biases included.  ``g`` is the
    gradient of the mean loss of the copy's own mini-batch.  The trainer gets a recipe with the other parameters, and
    trains two copies as one.
    """
    recipe = Recipe(
        residual=_SPEC,
        iterations=len(rates),
        batch=_IMAGES,
        lr=lr,
        warmup=warmup,
        warmup_lr=warmup_lr,
        schedule="drops",
        drops=tuple(drops),
        momentum=momentum,
        nesterov=nesterov,
        weight_decay=weight_decay,
    )
    trained = _network(range(_COPIES), _COPIES)
    trainer = Trainer(trained, recipe, _IMAGES)
    alone = [_network([copy], 1) for copy in range(_COPIES)]
    velocities = [[torch.zeros_like(weight) for weight in network.parameters()] for network in alone]
    for step, rate in enumerate(rates):
        images, labels = _batch(step)
        trainer.step(images, labels)
        for copy, network in enumerate(alone):
            own = images.unflatten(1, (_COPIES, -1))[:, copy]
            loss = F.cross_entropy(network(own), labels[:, copy])
            gradients = torch.autograd.grad(loss, list(network.parameters()))
            _by_hand(network, gradients, velocities[copy], rate, recipe)
    gaps = {
        name: _gap(weight, torch.cat([dict(network.named_parameters())[name] for network in alone]))
        for name, weight in trained.named_parameters()
    }
    worst = max(gaps, key=lambda name: gaps[name])
    return Measurement(gaps[worst], n=len(rates), detail=f"largest in {worst}")


def _network(seeds: Sequence[int], copies: int) -> ResidualNetwork:
    """In train mode; the classifier's bias is not zero, so that its weight decay shows."""
    network = ResidualNetwork(_SPEC, copies=copies)
    initialise(network, seeds)
    with torch.no_grad():
        network.classifier.bias.fill_(1.0)
    return network.double().train()


def _batch(step: int) -> tuple[Tensor, Tensor]:
    images = random_images(_IMAGES * _COPIES, seed=step).unflatten(0, (_IMAGES, _COPIES)).flatten(1, 2)
    labels = torch.arange(_IMAGES * _COPIES).view(_IMAGES, _COPIES) % _SPEC.classes
    return images, labels


@torch.no_grad()
def _by_hand(
    network: ResidualNetwork,
    gradients: Sequence[Tensor],
    velocities: Sequence[Tensor],
    rate: float,
    recipe: Recipe,
) -> None:
    for weight, gradient, velocity in zip(network.parameters(), gradients, velocities, strict=True):
        change = gradient + recipe.weight_decay * weight
        velocity.mul_(recipe.momentum).add_(change)
        weight.sub_(rate * (change + recipe.momentum * velocity if recipe.nesterov else velocity))


def _gap(found: Tensor, expected: Tensor) -> float:
    return float(((found - expected).abs().max() / expected.abs().max()).detach())
