"""How long a recipe trains and its learning rate at every step, as pure functions."""

from __future__ import annotations

import math

from resbench.training.recipes import Recipe

__all__ = ["learning_rate", "steps_per_epoch", "total_steps"]


def steps_per_epoch(recipe: Recipe, images: int) -> int:
    """Mini-batches in an epoch of ``images`` training images, those held out for validation not among them.

    The last, incomplete mini-batch is left out.

    Raises:
        ValueError: there are fewer images than a mini-batch has.
    """
    if images < recipe.batch:
        raise ValueError(f"{images} training images do not fill one mini-batch of {recipe.batch}")
    return images // recipe.batch


def total_steps(recipe: Recipe, images: int) -> int:
    """Mini-batches in all: the recipe's iterations, or its epochs of ``images`` (see :func:`steps_per_epoch`)."""
    if recipe.iterations is not None:
        return recipe.iterations
    return recipe.epochs * steps_per_epoch(recipe, images)


def learning_rate(recipe: Recipe, step: int, images: int) -> float:
    """The learning rate of step ``step``, counted from 0.

    ``one-cycle``: linear from a tenth of the peak to the peak over the first 30 %, cosine to zero after.  ``steps``:
    divided by ten at one half and at three quarters.  ``drops``: the recipe's, after its warm-up.
    """
    if recipe.schedule == "drops":
        if step < recipe.warmup:
            return recipe.warmup_lr
        now = step if recipe.iterations is not None else step // steps_per_epoch(recipe, images) + 1
        return recipe.lr * _tenth_at(recipe.drops, now)
    done = step / total_steps(recipe, images)
    if recipe.schedule == "steps":
        return recipe.lr * _tenth_at((0.5, 0.75), done)
    if done < 0.3:
        return recipe.lr * (0.1 + 0.9 * done / 0.3)
    return recipe.lr * 0.5 * (1.0 + math.cos(math.pi * (done - 0.3) / 0.7))


def _tenth_at(drops: tuple[float, ...], now: float) -> float:
    """One, and a tenth of it for every drop that is reached."""
    return 0.1 ** sum(now >= drop for drop in drops)
