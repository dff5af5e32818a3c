"""The rates of this machine that floors are made of: multiply-adds a second.

Two, since a product of large matrices need not be the faster one: that of ``torch.mm`` (as ``resbench bench`` measures
it), and that of a network's own convolutions, each alone, in channels-last order with weights as they are, without
anything around it: forwards, or forwards and backwards as in a training step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resbench.lesions.accelerating import arithmetic
from resbench.timing.worker.rates import cpu_seconds, cuda_seconds, median_seconds, rates
from resbench.timing.worker.seen import Rates

__all__ = ["PASSES", "Convolution", "convolution_rate", "convolutions", "machine_rates", "matrix_rate"]

_BATCH = 64
"""Images in a timed convolution: what the engine's batches have at 32x32."""

_SECONDS = 0.25
"""For each shape."""

PASSES = 3
"""Of a training step: the output, the gradient of the input and that of the weight, of equally many multiply-adds."""


def machine_rates(device: str, threads: int, format: str) -> Rates:
    """Of matrix products and copies.  ``format``: float32, tf32 or bfloat16."""
    word = {"float32": "fp32", "bfloat16": "bf16"}.get(format, format)
    return rates("cuda" if device.startswith("cuda") else f"cpu{threads}", word)


def matrix_rate(device: str, threads: int, format: str) -> float:
    """Multiply-adds a second of the best square matrix product.  ``format``: float32, tf32 or bfloat16."""
    return machine_rates(device, threads, format).macs


@dataclass(frozen=True)
class Convolution:
    """One layer's: ``shape`` of an input image ``(C, H, W)``, ``weight``'s shape, multiply-adds ``macs`` an image."""

    shape: tuple[int, ...]
    weight: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    groups: int
    macs: int


def convolutions(model: nn.Module, example: Tensor) -> Counter[Convolution]:
    """Those of a forward pass of a model, with how often each is."""
    found: Counter[Convolution] = Counter()

    def seen(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        padding = module.padding if isinstance(module.padding, tuple) else (0, 0)
        macs = output[0].numel() * module.weight[0].numel()
        shapes = tuple(args[0].shape[1:]), tuple(module.weight.shape)
        found[Convolution(*shapes, tuple(module.stride), padding, module.groups, macs)] += 1

    handles = [m.register_forward_hook(seen) for m in model.modules() if isinstance(m, nn.Conv2d)]
    try:
        with torch.no_grad():
            model(example)
    finally:
        for handle in handles:
            handle.remove()
    return found


def convolution_rate(
    layers: Mapping[Convolution, int], device: str, threads: int, format: str, *, training: bool = False
) -> float:
    """Multiply-adds a second over all ``layers``; on a CPU every thread runs a convolution of its own.

    ``training``: forwards and backwards, as :data:`PASSES` times the multiply-adds of a forward pass.
    """
    dtype = torch.bfloat16 if format == "bfloat16" else torch.float32
    macs = sum(layer.macs * count for layer, count in layers.items()) * (PASSES if training else 1)
    with arithmetic(format):
        needed = sum(_image_seconds(layer, device, threads, dtype, training) * n for layer, n in layers.items())
    return macs / needed if needed else float("nan")


def _image_seconds(layer: Convolution, device: str, threads: int, dtype: torch.dtype, training: bool) -> float:
    """Seconds for one image."""
    if device.startswith("cuda"):
        return median_seconds(_call(layer, device, dtype, training), cuda_seconds, _SECONDS) / _BATCH
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            calls = [_call(layer, device, dtype, training) for _ in range(threads)]
            each = list(pool.map(lambda call: median_seconds(call, cpu_seconds, _SECONDS), calls))
    finally:
        torch.set_num_threads(before)
    return 1.0 / sum(_BATCH / taken for taken in each)


def _call(layer: Convolution, device: str, dtype: torch.dtype, training: bool) -> Callable[[], object]:
    x = torch.rand(_BATCH, *layer.shape, device=device).to(dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.rand(layer.weight, device=device).to(dtype).contiguous(memory_format=torch.channels_last)
    forward = partial(F.conv2d, x, weight, None, layer.stride, layer.padding, 1, layer.groups)
    if not training:
        return torch.inference_mode()(forward)
    x.requires_grad_()
    weight.requires_grad_()
    at_output = torch.ones_like(forward())
    return lambda: torch.autograd.grad(forward(), (x, weight), at_output)
