"""Lesions of a network that cannot be cut into steps: every one is a whole pass of the edited model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from resbench.adapters import edited, output_of
from resbench.lesions.engine import placed, predicted_classes
from resbench.lesions.executable import Lesionable
from resbench.lesions.plans import Plan

if TYPE_CHECKING:
    from resbench.targets.images import Images

__all__ = ["predict_live"]


def predict_live(
    target: Lesionable,
    plans: Sequence[Plan],
    images: Images,
    size: int,
    *,
    device: torch.device | str = "cpu",
    finished: Callable[[int], None] = lambda images: None,
) -> NDArray[np.int32]:
    """As :func:`resbench.lesions.engine.predict`, of the live model."""
    found = np.empty((len(plans), len(images)), dtype=np.int32)
    for start, batch in placed(images.batches(size, device)):
        for row, plan in enumerate(plans):
            with torch.no_grad(), edited(target.units, plan):
                classes = predicted_classes(output_of(target.model(batch)))
            found[row, start : start + len(batch)] = classes.cpu().numpy()
        finished(len(batch))
    return found
