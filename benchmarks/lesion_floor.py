"""What a sweep of lesions must cost: its multiply-adds over this machine's measured rates.

Two rates, since a product of large matrices need not be the faster one: that of ``torch.mm`` (as ``resbench bench``
measures it), and that of the network's own convolutions, each alone, in channels-last order with weights as they are,
without anything around it.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from resbench.lesions.accelerating import arithmetic
from resbench.lesions.executable import Executable
from resbench.lesions.plans import Plan
from resbench.lesions.trie import Step, build, steps_of

__all__ = ["Convolution", "Work", "convolution_rate", "convolutions", "matrix_rate", "work_of"]

_BATCH = 64
"""Images in a timed convolution: what the engine's batches have at 32x32."""

_SECONDS = 0.25
"""For each shape."""

Macs = float


@dataclass(frozen=True)
class Work:
    """Multiply-adds of one image under a list of lesions: each evaluated ``alone``, and with what they ``share``."""

    alone: Macs
    shared: Macs


def work_of(executable: Executable, plans: Sequence[Plan], example: Tensor) -> Work:
    """Count them.  ``example``: the images that the executable takes, ``(N, C, H, W)``."""
    programs = [steps_of(plan, executable.between) for plan in plans]
    steps, stem, head = _costs(executable, example, {step for program in programs for step in program})
    root = build(programs)
    leaves = sum(bool(node.plans) for node in root)
    alone = sum(stem + head + sum(steps[step] for step in program) for program in programs)
    return Work(alone / len(example), (stem + root.cost(steps) + head * leaves) / len(example))


def _costs(executable: Executable, example: Tensor, wanted: set[Step]) -> tuple[dict[Step, Macs], Macs, Macs]:
    """Multiply-adds of each step, at its own position, of the stem and of the head."""
    costs: dict[Step, Macs] = {}

    def counted(work: Callable[[], Tensor]) -> tuple[Tensor, Macs]:
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            result = work()
        return result, counter.get_total_flops() / 2

    value, stem = counted(lambda: executable.stem(example))
    for position in range(executable.count):
        for step in (Step("without", position), Step("apply", position)):
            if step in wanted or step.kind == "apply":
                after, costs[step] = counted(partial(executable.take, step, value))
        value = after
        if position in executable.between:
            step = Step("between", position)
            value, costs[step] = counted(partial(executable.take, step, value))
    return costs, stem, counted(lambda: executable.head(value))[1]


def matrix_rate(device: str, threads: int, format: str) -> float:
    """Multiply-adds a second of the best square matrix product.  ``format``: float32, tf32 or bfloat16."""
    from resbench.timing.worker.rates import rates

    word = {"float32": "fp32", "bfloat16": "bf16"}.get(format, format)
    return rates("cuda" if device.startswith("cuda") else f"cpu{threads}", word).macs


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


def convolution_rate(layers: Mapping[Convolution, int], device: str, threads: int, format: str) -> float:
    """Multiply-adds a second over all ``layers``; on a CPU every thread runs a convolution of its own."""
    dtype = torch.bfloat16 if format == "bfloat16" else torch.float32
    macs = sum(layer.macs * count for layer, count in layers.items())
    with arithmetic(format):
        needed = sum(_image_seconds(layer, device, threads, dtype) * count for layer, count in layers.items())
    return macs / needed if needed else float("nan")


def _image_seconds(layer: Convolution, device: str, threads: int, dtype: torch.dtype) -> float:
    """Seconds for one image."""
    if device.startswith("cuda"):
        return _repeated(partial(_on_gpu, _call(layer, device, dtype))) / _BATCH
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            calls = [_call(layer, device, dtype) for _ in range(threads)]
            each = list(pool.map(lambda call: _repeated(partial(_seconds, call)), calls))
    finally:
        torch.set_num_threads(before)
    return 1.0 / sum(_BATCH / taken for taken in each)


def _call(layer: Convolution, device: str, dtype: torch.dtype) -> Callable[[], Tensor]:
    x = torch.rand(_BATCH, *layer.shape, device=device).to(dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.rand(layer.weight, device=device).to(dtype).contiguous(memory_format=torch.channels_last)
    return partial(F.conv2d, x, weight, None, layer.stride, layer.padding, 1, layer.groups)


def _repeated(timed: Callable[[], float]) -> float:
    """The median of as many repeats as fit, at least three, after one that is not counted."""
    with torch.inference_mode():
        timed()
        found, until = list[float](), time.perf_counter() + _SECONDS
        while len(found) < 3 or time.perf_counter() < until:
            found.append(timed())
    return statistics.median(found)


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _on_gpu(call: Callable[[], object]) -> float:
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    call()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1e3
