"""Worker processes that take many jobs each, are killed at a time limit, and are replaced when they die."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

__all__ = ["Failed", "run_each"]

_START = 120.0
"""Seconds that a worker may take to begin: it imports torch first."""


@dataclass(frozen=True)
class Failed:
    """Why a job has no result: its process was killed at the time limit, or it died."""

    reason: str


def run_each(
    work: Callable[[Any], Any],
    jobs: Sequence[Any],
    *,
    processes: int,
    timeout: float,
    memory: int | None = None,
    imported: Sequence[str] | None = None,
) -> Iterator[tuple[int, Any]]:
    """Do ``work(job)`` for every job in processes of its own, several at a time.

    Yields (number of the job, result or :class:`Failed`) in the order in which they are finished.
    When the caller stops reading, the processes are killed.

    Args:
        work: a function that a fresh Python process can import; its result can be pickled.
        processes: how many run at a time.
        timeout: seconds for each job.
        memory: bytes that a process may allocate; more raises MemoryError or torch's RuntimeError in it (Linux).
        imported: names of modules; where given every job gets a fresh process of its own, in which these are imported
            already (a fork of a process that has done nothing else).  They may start processes themselves, which end
            with them.
    """
    forked = None if imported is None else _fork_server(imported)
    waiting = list(enumerate(jobs))[::-1]
    workers: list[_Worker] = []
    try:
        while waiting or workers:
            while waiting and len(workers) < processes:
                workers.append(_Worker(work, memory, forked))
            for worker in _ready(workers):
                finished = worker.read(timeout)
                if finished is not None:
                    yield finished
                if finished is not None and forked is not None:
                    worker.stop()
                    workers.remove(worker)
                elif worker.alive and waiting:
                    worker.give(waiting.pop(), timeout)
                elif worker.number is None:
                    worker.stop()
                    workers.remove(worker)
    finally:
        for worker in workers:
            worker.stop()


def _fork_server(imported: Sequence[str]) -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(imported))
    return context


def _ready(workers: Sequence[_Worker]) -> list[_Worker]:
    """Wait for the workers that have said something, have died, or are past their time."""
    earliest = min(worker.deadline for worker in workers)
    said = wait([worker.connection for worker in workers], timeout=max(0.0, earliest - time.monotonic()))
    now = time.monotonic()
    return [worker for worker in workers if worker.connection in said or worker.deadline <= now]


class _Worker:
    """One process and the job that it is at; ``number`` is None while it has none."""

    def __init__(self, work: Callable[[Any], Any], memory: int | None, forked: Any):
        context: Any = forked or multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        # A daemon could not start processes.
        self._group = forked is not None
        daemon = not self._group
        self._process = context.Process(target=_serve, args=(theirs, work, memory, self._group), daemon=daemon)
        self._process.start()
        theirs.close()
        self.number: int | None = None
        self.alive = True
        self.deadline = time.monotonic() + _START

    def give(self, job: tuple[int, Any], timeout: float) -> None:
        self.number = job[0]
        self.deadline = time.monotonic() + timeout
        self.connection.send(job[1])

    def read(self, timeout: float) -> tuple[int, Any] | None:
        """What has become of the job; None where the worker has only begun.

        Raises:
            RuntimeError: the worker could not begin.
        """
        result: Any
        if not self.connection.poll():
            self.stop()
            result = Failed(f"no result within {timeout:g} s")
        else:
            try:
                result = self.connection.recv()
            except (EOFError, ConnectionError):
                self.stop()
                result = Failed(f"its process died: {_ending(self._process.exitcode)}")
        number, self.number = self.number, None
        if number is not None:
            return number, result
        if isinstance(result, Failed):
            raise RuntimeError(f"a worker process did not begin: {result.reason}")
        return None

    def stop(self) -> None:
        self.alive = False
        if self._group and self._process.pid is not None and self._process.exitcode is None:
            with suppress(ProcessLookupError, PermissionError):  # it has no group of its own yet
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self.connection.close()


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def _serve(connection: Connection, work: Callable[[Any], Any], memory: int | None, group: bool) -> None:
    """A worker's life: say that it has begun, then a result for each job."""
    if group:
        os.setpgrp()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers Ctrl-C
    os.environ["OMP_NUM_THREADS"] = "1"
    if "torch" in sys.modules:  # imported with `work`
        sys.modules["torch"].set_num_threads(1)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - what libraries print would mix with the table
    if memory is not None and sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    connection.send(None)
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        connection.send(work(job))
