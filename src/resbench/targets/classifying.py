"""A target as it stands on its images: which of them it gets wrong."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resbench.targets.images import Images

__all__ = ["classified_wrong"]

_BATCH = 256
"""Images in one forward pass."""


def classified_wrong(model: nn.Module, data: Images, device: torch.device) -> NDArray[np.bool_]:
    """Whether each image is misclassified, ``(images,)``; one whose logits are not finite is."""
    from resbench.adapters import output_of

    with torch.no_grad():
        found = [_wrong(output_of(model(images)), labels) for images, labels in data.batches(_BATCH, device)]
    return np.concatenate(found)


def _wrong(logits: Tensor, labels: Tensor) -> NDArray[np.bool_]:
    wrong = (logits.argmax(1) != labels) | ~torch.isfinite(logits).all(1)
    return np.asarray(wrong.cpu().numpy(), dtype=bool)
