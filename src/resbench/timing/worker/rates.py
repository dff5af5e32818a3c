"""What this machine can do, measured in the process that times: the roof of the roofline.

Measured instead of looked up: a table of peaks knows neither clocks nor memory of the machine at hand, and a share of a
peak that nothing reaches says little.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial

import torch

from .seen import Rates

__all__ = ["COPIES", "SECONDS", "SIDES", "cpu_seconds", "cuda_seconds", "median_seconds", "rates"]

Seconds = Callable[[Callable[[], object]], float]
"""Times one call."""

SIDES = (256, 512, 1024, 2048, 4096, 8192)
"""Of square matrices; the larger ones are tried while there is time."""

COPIES = {
    "cpu": (2**18, 2**21, 2**24, 2**27),
    "cuda": (2**21, 2**24, 2**27, 2**30),
}
"""Bytes read and written, by factors of 8: from what one core's or the GPU's L2 holds to more than the last cache
(of 32 MiB a core complex, of 50 MiB on an H200)."""

SECONDS = 0.3
"""For the products, and again for the copies: several repeats of what takes one core 10 ms."""

_REPEATS = 3
"""The fewest whose median is not their worst."""


def rates(device: str, dtype: str) -> Rates:
    """Multiply-adds and copied bytes a second on ``device`` (a case's: ``cpu2``, ``cuda``) in its number format.

    Measured once a process, in about two :data:`SECONDS`.  Each size's rate is that of its median repeat; the products'
    best size counts.  A copy of n bytes reads n / 2 and writes n / 2 (as STREAM counts), and includes the call.
    """
    return _measured(device, dtype)


@lru_cache
def _measured(device: str, dtype: str) -> Rates:
    where = torch.device("cuda" if device == "cuda" else "cpu")
    seconds = cuda_seconds if where.type == "cuda" else cpu_seconds
    with torch.inference_mode(), _conditions(device, dtype):
        macs = _products(where, torch.bfloat16 if dtype == "bf16" else torch.float32, seconds)
        copies = _copies(where, seconds)
    return Rates(device, dtype, macs, copies)


def _products(where: torch.device, format: torch.dtype, seconds: Seconds) -> float:
    best, last, until = 0.0, 0.0, time.perf_counter() + SECONDS
    for side in SIDES:
        # The next size takes eight times as long: it is tried only if its repeats, and one to warm up, fit.
        if best and time.perf_counter() + 8 * last * (_REPEATS + 1) > until:
            break
        left, right = (torch.rand(side, side, device=where).to(format) for _ in range(2))
        product = partial(torch.mm, left, right, out=torch.empty_like(left))
        last = median_seconds(product, seconds, SECONDS / len(SIDES))
        best = max(best, side**3 / last)
    return best


def _copies(where: torch.device, seconds: Seconds) -> dict[int, float]:
    found: dict[int, float] = {}
    sizes = COPIES[where.type]
    for size in sizes:
        # Both are written first, so that the system has given their pages before a copy is timed.
        source, target = (torch.ones(size // 8, device=where) for _ in range(2))
        found[size] = size / median_seconds(partial(target.copy_, source), seconds, SECONDS / len(sizes))
    return found


def median_seconds(call: Callable[[], object], seconds: Seconds, share: float) -> float:
    """Of at least three repeats, and as many as begin within ``share`` seconds."""
    call()
    found, until = list[float](), time.perf_counter() + share
    while len(found) < _REPEATS or time.perf_counter() < until:
        found.append(seconds(call))
    return statistics.median(found)


def cpu_seconds(call: Callable[[], object]) -> float:
    """One call on the CPU, by the clock."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def cuda_seconds(call: Callable[[], object]) -> float:
    """What one call launches, from event to event on the GPU; waits for its end."""
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    call()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1e3


@contextmanager
def _conditions(device: str, dtype: str) -> Iterator[None]:
    """Threads or number format as a case has them; put back afterwards."""
    if device == "cuda":
        matmul = torch.backends.cuda.matmul
        before = matmul.fp32_precision
        matmul.fp32_precision = "tf32" if dtype == "tf32" else "ieee"
        try:
            yield
        finally:
            matmul.fp32_precision = before
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(int(device.removeprefix("cpu")))
    try:
        yield
    finally:
        torch.set_num_threads(threads)
