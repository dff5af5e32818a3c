"""Two workers in lock step: one runs, the other waits, call by call, so that the machine's drift hits both.

A shared machine changes its speed within seconds, by more than any change of code is worth.  Two runs, one after the
other, compare two machines; blocks of a few milliseconds in turn (A B B A, then B A A B, ...) compare two codes.
Processes differ too, for good (memory layout): there are several pairs, and the pair is the independent unit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from resbench.timing.processes import Worker
from resbench.timing.worker.case import Case, CaseError

__all__ = ["BLOCK_SECONDS", "FASTEST", "CannotRun", "PairSamples", "fastest_mean", "log_ratio", "run_pair"]

BLOCK_SECONDS = 0.004
"""A call's least length: some 50 times what waking the other process costs."""

FASTEST = 0.1
"""The share of a side's calls that is averaged: see :func:`fastest_mean`."""

_FEWEST = 6
"""Rounds of four calls, however slow a step is."""

_WARM_SECONDS = 2.0


class CannotRun(Exception):
    """A case that a side cannot run: the reasons of base and of head, empty where it can."""

    def __init__(self, base: str, head: str):
        super().__init__(base or head)
        self.base, self.head = base, head


@dataclass(frozen=True)
class PairSamples:
    """One pair's calls in the order in which they were made: seconds per step, ``steps`` steps a call.

    ``warmup``: steps before, on the side that did more.  ``steady``: whether both sides were steady then.
    """

    base: tuple[float, ...]
    head: tuple[float, ...]
    steps: int
    warmup: int
    steady: bool


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
    taken: tuple[list[float], list[float]] = ([], [])
    for index in range(rounds):
        for side in (0, 1, 1, 0) if index % 2 == 0 else (1, 0, 0, 1):
            taken[side].append(float(sides[side].ask("time", steps=steps)["seconds"]))
    for worker in sides:
        worker.ask("close")
    warmup, steady = max(int(answer["warmup"]) for answer in warm), all(answer["steady"] for answer in warm)
    return PairSamples(tuple(taken[0]), tuple(taken[1]), steps, warmup, steady)


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


def fastest_mean(seconds: Sequence[float]) -> float:
    """The mean of the fastest quarter of the calls.

    Other programs can only add time, and at random: what is slow is theirs, what is fast is the code's.  On identical
    code, over 14 pairs of 60 rounds on a busy machine of two cores, the log ratio of this mean had a standard deviation
    of 1.3 %; that of the medians 2.1 %, that of the means 3.5 %.  What only *sometimes* is slow, in fewer than three
    calls of four, is not seen.
    """
    ordered = np.sort(np.asarray(seconds, float))
    return float(ordered[: max(1, round(FASTEST * len(ordered)))].mean())


def log_ratio(pair: PairSamples) -> float:
    """The logarithm of head's time over base's."""
    return math.log(fastest_mean(pair.head) / fastest_mean(pair.base))
