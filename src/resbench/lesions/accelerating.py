"""What a unit's own code can gain on top: compilation, CUDA graphs, and what float32 stands for on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from resbench.adapters import ResidualUnit

__all__ = ["Compiled", "Graphed", "arithmetic", "compile_units", "graphed"]

Map = Callable[[Tensor], Tensor]

_TIMED = 5
"""Runs of a unit, of which the fastest counts, before and after compilation."""


@contextmanager
def arithmetic(precision: str) -> Generator[None]:
    """Inside, float32 is float32, also on a GPU: convolutions there use TF32 unless told otherwise; ``tf32`` lets them.

    The switches are the process's; afterwards they are as they were.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before


@dataclass(frozen=True)
class Compiled:
    """``units``: how many run compiled, of those that could; ``seconds``: what compiling and trying took."""

    units: int
    seconds: float


def compile_units(workers: Sequence[Sequence[ResidualUnit]], *, backend: str = "inductor") -> Compiled:
    """Compile units with ``torch.compile``, once for all of one shape, where that makes them faster.

    On two cores with AVX-512 it gained nothing: 2 of ResNet-56's 27 units were faster compiled, 17.5 s were spent,
    and sweeps in turns took 0.95 to 1.11 times as long.  Hence it is done on request only.

    Args:
        workers: for each thread its units, on modules of its own; a unit that is no whole module is left alone.
        backend: of ``torch.compile``.
    """
    began = time.perf_counter()
    kinds: dict[tuple[type, torch.Size, tuple[int, ...]], list[nn.Module]] = {}
    examples: dict[tuple[type, torch.Size, tuple[int, ...]], ResidualUnit] = {}
    for units in workers:
        for unit in units:
            if unit.place.whole and not unit.opaque:
                kind = (type(unit.place.module), unit.example.shape, unit.output_shape)
                kinds.setdefault(kind, []).append(unit.place.module)
                examples.setdefault(kind, unit)
    count = 0
    for kind, modules in kinds.items():
        if _faster(examples[kind], modules[0], backend):
            for module in modules[1:]:
                module.compile(backend=backend, dynamic=False)
            count += len(modules)
    return Compiled(count // max(len(workers), 1), time.perf_counter() - began)


def _faster(unit: ResidualUnit, module: nn.Module, backend: str) -> bool:
    """Compile the module; undone where that fails or gains nothing."""
    with torch.inference_mode():
        run = unit.pieces["run"]
        eager = _seconds(lambda: run(unit.example))
        module.compile(backend=backend, dynamic=False)
        try:
            compiled = _seconds(lambda: run(unit.example))
        except Exception:  # whatever a compiler meets in a user's code
            compiled = float("inf")
    if compiled >= eager:
        module._compiled_call_impl = None
        return False
    return True


def _seconds(work: Callable[[], Tensor]) -> float:
    """The fastest of some runs, after one that is not counted."""
    times = []
    for _ in range(1 + _TIMED):
        began = time.perf_counter()
        result = work()
        if result.is_cuda:
            torch.cuda.synchronize(result.device)
        times.append(time.perf_counter() - began)
    return min(times[1:])


class Graphed:
    """A map as a CUDA graph: its kernels are launched together, for inputs of one shape; others run as they are."""

    def __init__(self, run: Map, example: Tensor, pool: Any = None):
        self._run, self._input = run, example.clone()
        side = torch.cuda.Stream(example.device)
        side.wait_stream(torch.cuda.current_stream(example.device))
        with torch.cuda.stream(side):  # what is allocated and chosen once (cuDNN's algorithms) is not captured
            for _ in range(3):
                run(self._input)
        torch.cuda.current_stream(example.device).wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=pool):
            self._output = run(self._input)

    def __call__(self, x: Tensor) -> Tensor:
        if x.shape != self._input.shape or x.dtype != self._input.dtype:
            return self._run(x)
        self._input.copy_(x)
        self._graph.replay()
        # The next replay writes to the same place.
        return self._output.clone(memory_format=torch.preserve_format)


def graphed(units: Sequence[ResidualUnit]) -> list[Map]:
    """What runs each unit, as a CUDA graph where it can be captured; they share their memory.

    Graphs that share memory must not be replayed at the same time; a network's units follow each other.
    """
    pool = torch.cuda.graph_pool_handle()
    found: list[Map] = []
    for unit in units:
        run: Map = unit.pieces["run"]
        try:
            with torch.inference_mode():
                found.append(Graphed(run, unit.example, pool))
        except RuntimeError:  # it waits for the GPU, or allocates on the CPU
            torch.cuda.synchronize()
            found.append(run)
    return found
