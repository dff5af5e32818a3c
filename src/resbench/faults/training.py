"""Faults of training: of its rules and of its draws; those of what is kept and tested afterwards are of `trained`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import torch

from resbench.faults import trained
from resbench.faults.described import Function, Injected, described
from resbench.faults.fault import Fault
from resbench.faults.patching import replaced, wrapped
from resbench.networks import copies, sampling
from resbench.training import crops, loop, schedules, trainer

__all__ = ["FAULTS"]


# --- learning rates -------------------------------------------------------------------------------------------------


def rates_reversed() -> Injected:
    """The learning rates are taken from the end of the training to its beginning."""

    def faulty(original: Function) -> Function:
        return lambda recipe, step, images: original(recipe, schedules.total_steps(recipe, images) - 1 - step, images)

    return wrapped(schedules, "learning_rate", faulty)


def rates_constant() -> Injected:
    """Every step has the peak learning rate: the schedule is made and never asked."""
    return replaced(schedules, "learning_rate", lambda recipe, step, images: recipe.lr)


def rates_drop_late() -> Injected:
    """The learning rate drops one epoch (or step) after the one that the paper names."""
    return replaced(schedules, "_tenth_at", lambda drops, now: 0.1 ** sum(now > drop for drop in drops))


def warm_up_forgotten() -> Injected:
    """The first steps already have the full learning rate."""

    def faulty(original: Function) -> Function:
        return lambda recipe, step, images: original(msgspec.structs.replace(recipe, warmup=0), step, images)

    return wrapped(schedules, "learning_rate", faulty)


def rate_never_set() -> Injected:
    """The schedule's rate is computed for every step and not given to the optimiser."""
    return replaced(trainer.Trainer, "_set_rate", lambda self, rate: None)


# --- the step -------------------------------------------------------------------------------------------------------


def _optimiser(change: Callable[[torch.optim.Optimizer], None]) -> Injected:
    def faulty(original: Function) -> Function:
        def made(self: trainer.Trainer, *arguments: Any, **options: Any) -> None:
            original(self, *arguments, **options)
            change(self.optimiser)

        return made

    return wrapped(trainer.Trainer, "__init__", faulty)


def _set(**options: Any) -> Callable[[torch.optim.Optimizer], None]:
    def change(optimiser: torch.optim.Optimizer) -> None:
        for group in optimiser.param_groups:
            group.update(options)

    return change


def _decay_taken_back(optimiser: torch.optim.Optimizer) -> None:
    """Before each step, of all parameters but the weights of convolutions and of the classifier."""
    (group,) = optimiser.param_groups
    others = [parameter for parameter in group["params"] if parameter.dim() < 2]

    def hook(*_: Any) -> None:
        with torch.no_grad():
            for parameter in others:
                parameter.grad.sub_(parameter, alpha=group["weight_decay"])

    optimiser.register_step_pre_hook(hook)


def weight_decay_nowhere() -> Injected:
    """The optimiser is made without the recipe's weight decay."""
    return _optimiser(_set(weight_decay=0.0))


def weight_decay_of_weights_only() -> Injected:
    """Batch normalisation and biases are exempt from weight decay, as in many later recipes."""
    return _optimiser(_decay_taken_back)


def momentum_forgotten() -> Injected:
    """Plain SGD: the recipe's momentum never reaches the optimiser."""
    return _optimiser(_set(momentum=0.0, nesterov=False))


def nesterov_always() -> Injected:
    """Nesterov's momentum whatever the recipe says, as a trainer that has it as its default."""
    return _optimiser(_set(nesterov=True))


def nesterov_forgotten() -> Injected:
    """Heavy-ball momentum in the place of Nesterov's."""
    return _optimiser(_set(nesterov=False))


def gradients_kept() -> Injected:
    """Gradients are not zeroed: they add up from step to step."""
    return _optimiser(lambda optimiser: setattr(optimiser, "zero_grad", lambda set_to_none: None))


def loss_averaged_over_copies() -> Injected:
    """Copies that train as one share a mean loss: each learns at a fraction of its rate."""

    def faulty(original: Function) -> Function:
        return lambda logits, labels: original(logits, labels) / labels.shape[1]

    return wrapped(trainer, "copy_losses", faulty)


# --- seeds ----------------------------------------------------------------------------------------------------------


def seed_of_initialisation_ignored() -> Injected:
    """Every network starts from the same weights, whatever its seed."""

    def faulty(original: Function) -> Function:
        return lambda network, seeds: original(network, [0 for _ in seeds])

    return wrapped(copies, "initialise", faulty)


def augmentation_unseeded() -> Injected:
    """Order and shifts of the images are drawn from the clock instead of the seed."""

    def faulty(original: Function) -> Function:
        def made(self: Any, *arguments: Any) -> None:
            original(self, *arguments)
            for generator in self.generators:
                generator.seed()

        return made

    return wrapped(loop._Batches, "__init__", faulty)


def augmentation_repeats() -> Injected:
    """Every epoch has the same order, crops and flips, as with workers that are seeded anew each epoch."""
    return wrapped(crops.Crops, "_draw", lambda original: lambda self, epoch: _drawn(original, self, epoch))


def _drawn(original: Function, self: Any, epoch: int) -> None:
    original(self, 0)
    self._epoch = epoch


def copies_share_draws() -> Injected:
    """All copies drop the same units: their samplers get one seed."""

    def faulty(original: Function) -> Function:
        return lambda self, seeds: original(self, [next(iter(seeds))] * len(seeds))

    return wrapped(sampling._Seeded, "__init__", faulty)


_STEP = ("he-recipe-step",)

FAULTS: tuple[Fault, ...] = (
    described("training", rates_reversed, "huang-recipe", *_STEP),
    described("training", rates_constant, "huang-recipe", *_STEP),
    described("training", rates_drop_late, "huang-recipe", *_STEP),
    described("training", warm_up_forgotten, *_STEP),
    described("training", rate_never_set, *_STEP),
    described("training", weight_decay_nowhere, *_STEP),
    described("training", weight_decay_of_weights_only, *_STEP),
    described("training", momentum_forgotten, *_STEP),
    described("training", nesterov_always, *_STEP),
    described("training", nesterov_forgotten, *_STEP),
    described("training", gradients_kept, *_STEP),
    described("training", loss_averaged_over_copies, *_STEP),
    described(
        "training",
        seed_of_initialisation_ignored,
        tests=("tests/networks/test_copies.py::test_initialise_seeds_each_copy_as_a_single_network",),
    ),
    described(
        "training", augmentation_unseeded, tests=("tests/training/test_loop.py::test_one_seed_gives_one_network",)
    ),
    described(
        "training",
        augmentation_repeats,
        tests=("tests/training/test_crops.py::test_a_batch_depends_on_seed_and_epoch_alone",),
    ),
    described("training", copies_share_draws, "huang-survival-linear", "huang-expected-depth@any"),
    *trained.FAULTS,
)
