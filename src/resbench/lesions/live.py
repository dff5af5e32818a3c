"""Lesions of a network that cannot be cut into steps: every one is a whole pass of the edited model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from resbench.adapters import ResidualUnit, edited, output_of
from resbench.lesions.engine import filled, placed, predicted_classes
from resbench.lesions.plans import Plan

if TYPE_CHECKING:
    from resbench.targets.images import Images

__all__ = ["predict_live"]


def predict_live(
    model: nn.Module,
    units: Sequence[ResidualUnit],
    plans: Sequence[Plan],
    images: Images,
    size: int,
    *,
    device: torch.device | str = "cpu",
    finished: Callable[[int], None] = lambda images: None,
) -> NDArray[np.int32]:
    """As :func:`resbench.lesions.engine.predict`, of the live model; ``units``: adapted to ``size`` images."""
    found = np.empty((len(plans), len(images)), dtype=np.int32)
    for start, batch in placed(images.batches(size, device)):
        for row, plan in enumerate(plans):
            with torch.no_grad(), edited(units, plan):
                classes = predicted_classes(output_of(model(filled(batch, size))))
            found[row, start : start + len(batch)] = classes[: len(batch)].cpu().numpy()
        finished(len(batch))
    return found
