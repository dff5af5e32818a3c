"""A shared machine on request: programs beside the tools that compute and rest in turn, at random."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["MEAN_SECONDS", "neighbours", "words"]

MEAN_SECONDS = 1.0
"""Of a burst of work, and of a rest: exponential times, so that nothing can fall into step with them."""

_PROGRAM = """
import random, sys, time
import numpy as np

generator = random.Random(int(sys.argv[1]))
left, right = (np.random.default_rng(seed).random((512, 512), dtype=np.float32) for seed in (0, 1))
while True:
    until = time.monotonic() + generator.expovariate(1 / float(sys.argv[2]))
    while time.monotonic() < until:
        left @ right
    time.sleep(generator.expovariate(1 / float(sys.argv[2])))
"""


def words(count: int) -> str:
    """What stands in the record about ``count`` neighbours; empty for none."""
    return f"; beside {count} programs that compute half of the time, in bursts of {MEAN_SECONDS:g} s" if count else ""


@contextmanager
def neighbours(count: int) -> Iterator[list[int]]:
    """``count`` programs of one thread each, until the end of the context; their process numbers."""
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    running = [
        subprocess.Popen([sys.executable, "-c", _PROGRAM, str(seed), str(MEAN_SECONDS)], env=environment)
        for seed in range(count)
    ]
    try:
        yield [one.pid for one in running]
    finally:
        for one in running:
            one.kill()
            one.wait()
