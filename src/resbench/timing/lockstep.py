"""Two workers in lock step: one runs, the other waits, call by call, so that the machine's drift hits both.

A shared machine changes its speed within seconds, by more than any change of code is worth.  Two runs, one after the
other, compare two machines; blocks of a few milliseconds in turn (A B B A, then B A A B, ...) compare two codes.
Processes differ too, for good (memory layout): there are several pairs, and the pair is the independent unit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from resbench.timing.processes import Worker
from resbench.timing.worker.case import Case, CaseError
from resbench.timing.worker.undisturbed import undisturbed

__all__ = ["BLOCK_SECONDS", "CannotRun", "PairSamples", "log_ratio", "run_pair"]

BLOCK_SECONDS = 0.004
"""A call's least length: 75 times what asking and answering cost (53 microseconds, median of 300)."""

_FEWEST = 6
"""Rounds of four calls, however slow a step is."""

_WARM_SECONDS = 2.0

WAITING = 0.1
"""The share of calls that may have waited, once for the disk perhaps, in code that is said not to wait."""


class CannotRun(Exception):
    """A case that a side cannot run: the reasons of base and of head, empty where it can."""

    def __init__(self, base: str, head: str):
        super().__init__(base or head)
        self.base, self.head = base, head


@dataclass(frozen=True)
class PairSamples:
    """One pair's calls in the order in which they were made: seconds per step, ``steps`` steps a call.

    ``warmup``: steps before, on the side that did more.  ``steady``: whether both sides were steady then.
    ``base_cpu``, ``head_cpu``: processor seconds per step of the same calls; empty where they are not what a step
    takes: on a GPU, with several threads, or where the code waits for something.
    """

    base: tuple[float, ...]
    head: tuple[float, ...]
    steps: int
    warmup: int
    steady: bool
    base_cpu: tuple[float, ...] = ()
    head_cpu: tuple[float, ...] = ()

    @property
    def times(self) -> tuple[float, float]:
        """Undisturbed seconds per step of base and head: of processor time where there is any.

        Beside two programs that compute half of the time, on two cores, the ratio of a step to one that is 10 % slower
        was 1.10 with a standard deviation of 0.9 % over ten pairs by processor time, and of 6 % by the clock: of 48
        calls nine in ten were interrupted.
        """
        if self.base_cpu and self.head_cpu:
            return undisturbed(self.base_cpu), undisturbed(self.head_cpu)
        return undisturbed(self.base), undisturbed(self.head)


def run_pair(base: Worker, head: Worker, cases: tuple[Case, Case], seconds: float) -> PairSamples:
    """Alternate between two workers for about ``seconds`` of each side, at least six times A B B A.

    ``cases``: what each side runs; the same, unless two models are compared.

    Raises:
        CannotRun: a side cannot prepare it.
        CaseError: a side failed while it ran.
        WorkerDied: a process ended.
    """
    sides = (base, head)
    _both(sides, cases)
    warm = [worker.ask("warm", limit=_WARM_SECONDS) for worker in sides]
    # As many steps on either side: a call must mean the same amount of work.
    steps = max(int(answer["steps"]) for answer in warm)
    slower = max(float(worker.ask("time", steps=steps)["seconds"]) for worker in sides)
    cycle = steps
    if slower * steps < BLOCK_SECONDS:
        steps = cycle * math.ceil(BLOCK_SECONDS / (slower * cycle))
    rounds = max(_FEWEST, math.ceil(seconds / (2 * slower * steps)))
    taken: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    for index in range(rounds):
        for side in (0, 1, 1, 0) if index % 2 == 0 else (1, 0, 0, 1):
            taken[side].append(sides[side].ask("time", steps=steps))
    for worker in sides:
        worker.ask("close")
    warmup, steady = max(int(answer["warmup"]) for answer in warm), all(answer["steady"] for answer in warm)
    clocked = [tuple(float(call["seconds"]) for call in calls) for calls in taken]
    computed = [_processor_seconds(case, calls) for case, calls in zip(cases, taken, strict=True)]
    if not all(computed):
        computed = [(), ()]
    return PairSamples(clocked[0], clocked[1], steps, warmup, steady, computed[0], computed[1])


def _processor_seconds(case: Case, calls: Sequence[dict[str, Any]]) -> tuple[float, ...]:
    """Of every call; empty where they are not what a step takes."""
    waiting = sum(bool(call.get("waited")) for call in calls)
    if case.threads != 1 or waiting > WAITING * len(calls) or any(call.get("cpu") is None for call in calls):
        return ()
    return tuple(float(call["cpu"]) for call in calls)


def _both(sides: Sequence[Worker], cases: Sequence[Case]) -> None:
    """Let both prepare at the same time."""
    for worker, case in zip(sides, cases, strict=True):
        worker.send("prepare", case=msgspec.to_builtins(case))
    reasons = [""] * len(sides)
    for index, worker in enumerate(sides):
        try:
            worker.receive()
        except CaseError as error:
            reasons[index] = str(error)
    if any(reasons):
        raise CannotRun(*reasons)


def log_ratio(pair: PairSamples) -> float:
    """The logarithm of head's undisturbed time over base's."""
    base, head = pair.times
    return math.log(head / base)
