"""The layers of residual units written out in numpy, independent of torch's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import nn

Array = NDArray[np.float64]


def convolved(x: Array, weight: Array, stride: int = 1) -> Array:
    """Cross-correlation with zero padding ``kernel // 2``, written out as sums over the kernel."""
    size = weight.shape[-1]
    padded = np.pad(x, [(0, 0), (0, 0), (size // 2,) * 2, (size // 2,) * 2])
    rows, columns = ((side - 1) // stride + 1 for side in x.shape[2:])
    out = np.zeros((len(x), len(weight), rows, columns))
    for dy in range(size):
        for dx in range(size):
            window = padded[:, :, dy : dy + stride * rows : stride, dx : dx + stride * columns : stride]
            out += np.einsum("nchw,oc->nohw", window[:, :, :rows, :columns], weight[:, :, dy, dx])
    return out


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def normalised(x: Array, norm: nn.BatchNorm2d) -> Array:
    """Batch normalisation: of the batch (biased variance) in train mode, by the running statistics in eval mode."""
    if norm.training:
        mean, variance = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
    else:
        mean, variance = (values.numpy()[:, None, None] for values in (norm.running_mean, norm.running_var))
    scale, shift = (values.detach().numpy()[:, None, None] for values in (norm.weight, norm.bias))
    return (x - mean) / np.sqrt(variance + norm.eps) * scale + shift


def pooled(x: Array) -> Array:
    return (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4


def biased(values: Array, layer: nn.Conv2d) -> Array:
    """A convolution's output with its bias."""
    assert layer.bias is not None
    return values + layer.bias.detach().numpy()[:, None, None]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))
