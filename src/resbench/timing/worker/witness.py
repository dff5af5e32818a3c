"""What a step does, counted without noise: the witness beside a timing.

Counting twice gives equal numbers, on any machine; a change of them is a change of the code (or of torch).
"""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from .seen import Counts

__all__ = ["Countable", "Dispatched", "count"]


def _convolution_backward(
    gradient: Tensor, input: Tensor, weight: Tensor, *rest: Any, out_val: Any = None, **_: Any
) -> int:
    """The gradients of input and weight each cost what the convolution did.

    torch's own formula counts the weight's once a group too often: four times as much for four groups (torch 2.15).
    """
    transposed, mask = rest[4], rest[7]
    places = (input if transposed else gradient).shape
    return 2 * places[0] * math.prod(places[2:]) * weight.numel() * (int(mask[0]) + int(mask[1]))


_FORMULAS = {torch.ops.aten.convolution_backward: _convolution_backward}


_CONVOLUTIONS = (torch.ops.aten.convolution, torch.ops.aten._convolution)


def _padding_share(func: Any, args: Any, result: Any) -> float:
    """The share of an operator's products that have a zero of the padding as a factor."""
    if func._overloadpacket in _CONVOLUTIONS:
        (input, weight), (stride, padding, dilation, transposed) = args[:2], args[3:7]
        outputs = result.shape[2:]
    elif func._overloadpacket is torch.ops.aten.convolution_backward:
        (gradient, input, weight), (stride, padding, dilation, transposed) = args[:3], args[4:8]
        outputs = gradient.shape[2:]
    else:
        return 0.0
    if transposed:
        return 0.0
    shares = [
        _inside(size, out, kernel, *(values[min(index, len(values) - 1)] for values in (stride, padding, dilation)))
        for index, (size, out, kernel) in enumerate(zip(input.shape[2:], outputs, weight.shape[2:], strict=True))
    ]
    return 1.0 - math.prod(shares)


def _inside(size: int, outputs: int, kernel: int, stride: int, padding: int, dilation: int) -> float:
    """The share of pairs of output and kernel positions along one dimension that meet an input, not the padding."""
    met = sum(
        0 <= output * stride - padding + position * dilation < size
        for output in range(outputs)
        for position in range(kernel)
    )
    return met / (outputs * kernel)


class Countable(Protocol):
    """What is counted: :class:`resbench.timing.worker.steps.Work`, or a test's own.

    ``eager``: one step without compilation and graphs.  ``step``: one as it is timed.  ``cycle``: steps after which
    its draws repeat.  ``restart``: the draws begin anew.  ``least_bytes``: goes into the counts as it is.
    """

    cuda: bool
    cycle: int
    least_bytes: int

    @property
    def eager(self) -> Callable[[], object]: ...

    @property
    def step(self) -> Callable[[], object]: ...

    def restart(self) -> None: ...


class Dispatched(TorchDispatchMode):
    """Counts the operators that reach torch's dispatcher, forward and backward, their work and the storage they make.

    ``operators``: operators that do not consist of others.  ``flops``: two for each multiply-add, by the formulas of
    torch's FlopCounterMode; ``padding``: of them, those on a convolution's zero padding.  ``allocated``: bytes of new
    storage in all.  ``peak``: the most bytes of new storage alive at once.  What an operator allocates and frees inside
    itself is not seen.

    FlopCounterMode itself also follows modules, by hooks that fail under inference mode, so only its formulas are used.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operators = self.flops = self.allocated = self.peak = self._alive = 0
        self.padding = 0.0
        # By id: a storage's Python object lives as long as the storage itself, also where only C++ holds it.
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        # Under inference mode composite operators arrive whole; elsewhere autograd has taken them apart.
        with self:
            parts = func.decompose(*args, **kwargs)
        if parts is not NotImplemented:
            return parts
        self.operators += 1
        self._meet(tree_leaves((args, kwargs)), new=False)
        result = func(*args, **kwargs)
        self._meet(tree_leaves(result), new=True)
        formula = _FORMULAS.get(func._overloadpacket) or flop_registry.get(func._overloadpacket)
        if formula is not None:
            flops = int(formula(*args, **kwargs, out_val=result))
            self.flops += flops
            self.padding += flops * _padding_share(func, args, result)
        return result

    def _meet(self, values: Iterable[Any], *, new: bool) -> None:
        """Know the tensors' storages from now on; count those that are not known yet if they are ``new``."""
        for value in values:
            if not isinstance(value, Tensor) or value.layout is not torch.strided:
                continue
            storage = value.untyped_storage()
            if id(storage) in self._known:
                continue
            size = storage.nbytes() if new else 0
            self.allocated += size
            self._alive += size
            self.peak = max(self.peak, self._alive)
            self._known[id(storage)] = weakref.ref(storage, self._freed(id(storage), size))

    def _freed(self, key: int, size: int) -> Callable[[Any], None]:
        def freed(_: Any) -> None:
            del self._known[key]
            self._alive -= size

        return freed


def count(work: Countable) -> Counts:
    """What a step of ``work`` does: the mean over a cycle of steps, run eagerly; ``peak`` is the cycle's largest.

    On a GPU ``kernels`` and ``peak`` are of the step as it is timed, each in a pass of its own; ``peak`` is None where
    that step allocates nothing, as a CUDA graph, whose memory is held from the beginning.
    """
    _cycle(work, work.eager)  # What only the first steps make, such as momentum, is no part of a step.
    with Dispatched() as seen:
        _cycle(work, work.eager)
    return Counts(
        operators=round(seen.operators / work.cycle),
        macs=round(seen.flops / 2 / work.cycle),
        allocated=round(seen.allocated / work.cycle),
        least_bytes=work.least_bytes,
        padding=round(seen.padding / 2 / work.cycle),
        kernels=_kernels(work) if work.cuda else None,
        peak=_cuda_peak(work) if work.cuda else seen.peak,
    )


def _cycle(work: Countable, step: Callable[[], object]) -> None:
    """A cycle of steps; what hangs in reference cycles stays, so that the peak does not depend on the collector."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        work.restart()
        for _ in range(work.cycle):
            step()
    finally:
        if collecting:
            gc.enable()


def _cuda_peak(work: Countable) -> int | None:
    _cycle(work, work.step)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    _cycle(work, work.step)
    torch.cuda.synchronize()
    return max(0, torch.cuda.max_memory_allocated() - before) or None


def _kernels(work: Countable) -> int | None:
    """Kernels that a step launches; None where the profiler sees none (it needs CUPTI)."""
    from torch.profiler import ProfilerActivity, profile

    torch.cuda.synchronize()
    # The first profile of a process attaches CUPTI, and is thrown away.
    for _ in range(2):
        with profile(activities=[ProfilerActivity.CUDA]) as profiler:
            _cycle(work, work.step)
            torch.cuda.synchronize()
    found = [event.name for event in profiler.events() if _kernel(event)]
    return round(len(found) / work.cycle) or None


def _kernel(event: Any) -> bool:
    """Whether a profiler's event is a kernel on the GPU: not a copy, a fill, or a range that Python code named."""
    on_gpu = event.device_type.name == "CUDA" and not event.is_user_annotation
    return on_gpu and not event.name.startswith(("Memcpy", "Memset"))
