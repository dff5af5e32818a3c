"""The same work in several processes: each takes of a list what no other is at."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from typing import TypeVar

from resbench.errors import UserError
from resbench.experiments.lab import workers
from resbench.records.aside import notice, noticing

__all__ = ["side_by_side"]

Options = TypeVar("Options")
_BAD_INPUT, _INTERRUPTED = 2, 130
_SET_ASIDE = 3
"""Another code than that of an uncaught exception, which is 1."""


def side_by_side(work: Callable[[Options], str], options: Options, count: int, device: str) -> str:
    """``work(options)`` in ``count`` processes, then once more here, to say what there is.

    The work must be such that what one process is at, or has done, another leaves alone.  On the CPU they divide the
    cores; a GPU is shared as it is, since a thin network cannot fill it.

    Raises:
        UserError: a process ended early; what it said is above.
    """
    if count == 1:
        return work(options)
    threads = max(1, workers() // count) if device == "cpu" else 0
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_child, args=(work, options, threads)) for _ in range(count)]
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    finally:
        for process in processes:
            if process.is_alive():  # interrupted: they were told as well, and keep what they are at
                process.join(timeout=60)
                process.terminate()
    for process in processes:
        if process.exitcode == _SET_ASIDE:
            notice("by a process")
    failed = sum(process.exitcode not in (0, _SET_ASIDE) for process in processes)
    if failed:
        raise UserError(f"{failed} of {count} processes ended early; the same command goes on")
    return work(options)


def _child(work: Callable[[Options], str], options: Options, threads: int) -> None:
    if threads:
        import torch

        torch.set_num_threads(threads)
    with noticing() as aside:
        try:
            work(options)
        except UserError as error:
            print(f"resbench: {error}", file=sys.stderr, flush=True)
            raise SystemExit(_BAD_INPUT) from None
        except KeyboardInterrupt:
            raise SystemExit(_INTERRUPTED) from None
    if aside:
        raise SystemExit(_SET_ASIDE)
