"""Whether errors are fewer than those of guessing."""

from __future__ import annotations

from torch import Tensor

__all__ = ["below_chance"]


def below_chance(wrong: int, labels: Tensor) -> bool:
    """Whether ``wrong`` errors on ``labels`` ``(N,)`` are clearly fewer than by always naming the commonest class.

    Clearly: the 95 % Wilson interval of the error lies below.
    """
    from resbench.statistics import wilson

    chance = 1.0 - float(labels.bincount().max()) / len(labels)
    return bool(wilson(wrong, len(labels))[1] < chance)
