"""Who takes part: how each tool is given its share of time, is run, and gives its verdict."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from resbench.timing.ab import PAIRS

__all__ = ["Judged", "Knobs", "Peer", "ToolFailed", "clean_environment", "knobs", "run_tool", "starting_seconds"]

_TOOL_SECONDS = 600.0


class ToolFailed(Exception):
    """A tool did not give a verdict; one line."""


@dataclass(frozen=True)
class Judged:
    """A tool's verdict on a comparison.

    ``verdict``: in its own words.  ``ratio``: second run over first, where it tells.
    """

    verdict: str
    alarm: bool
    ratio: float | None = None


class Peer(Protocol):
    """A tool that measures one code at a time and compares two results of its own."""

    def measure(self, slowdown: int, against: int | None) -> int:
        """Run the workload; the number of this run.  ``against``: the run to compare with, if it must know before.

        Raises:
            ToolFailed: there is no result.
        """
        ...

    def judge(self, first: int, second: int) -> Judged:
        """Its verdict on two runs.  Raises: ToolFailed."""
        ...


@dataclass(frozen=True)
class Knobs:
    """What is set so that a comparison takes the budget; all else is as the tools have it.

    ``resbench_pairs``: its default.  ``resbench_seconds``: of each side, a pair (``--seconds``).  ``asv_seconds``: of
    samples, a round (``repeat``); its two rounds stay.  ``pytest_seconds``: ``--benchmark-max-time``.
    ``pyperf_processes``, ``pyperf_values``: ``-p``, ``-n``.
    """

    resbench_pairs: int
    resbench_seconds: float
    asv_seconds: float
    pytest_seconds: float
    pyperf_processes: int
    pyperf_values: int

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


_ASV_ROUNDS = 2  # asv's default
_VALUE_SECONDS = 0.16
"""A value of pyperf: the least power of two of 10 ms steps that lasts its 0.1 s."""

_LEAST = 0.2


def knobs(budget: float, start: float) -> Knobs:
    """Settings for comparisons of ``budget`` seconds where a process is ready after ``start`` seconds.

    A comparison of a peer is two of its runs.  The numbers beside ``start`` were measured on two cores; what a
    comparison really took is recorded.
    """
    half = budget / 2
    # A pair starts its two processes at the same time and warms up; the counting at the end starts two, in turn.
    pair = (budget - 2 * start - 3.5) / PAIRS
    asv = (half - 1.0) / _ASV_ROUNDS - start
    # It takes its number of rounds from the first, which is the slowest: it ends a little before its time.
    pytest = half - start
    # pyperf finds the number of loops in one more process, and warms up by one value.
    processes = max(2, int((half - 0.8) / (start + 4 * _VALUE_SECONDS)) - 1)
    each = (half - 0.8) / (processes + 1) - start
    return Knobs(
        resbench_pairs=PAIRS,
        resbench_seconds=_rounded((pair - 1.3 * start - 0.6) / 2),
        asv_seconds=_rounded(asv),
        pytest_seconds=_rounded(pytest),
        pyperf_processes=processes,
        pyperf_values=max(2, math.floor(each / _VALUE_SECONDS) - 1),
    )


def _rounded(seconds: float) -> float:
    return round(max(_LEAST, seconds), 2)


def starting_seconds(folder: Path, module: str) -> float:
    """Wall seconds until a fresh process has imported the workload: the median of three, after one that fills caches.

    Raises:
        ToolFailed: it does not import.
    """
    taken = []
    for _ in range(4):
        started = time.perf_counter()
        run_tool([sys.executable, "-c", f"import {module}; {module}.make_step()()"], folder)
        taken.append(time.perf_counter() - started)
    return sorted(taken[1:])[1]


def clean_environment(**changed: str) -> dict[str, str]:
    """This process's environment with one thread, and without what would change how the tools behave."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST_", "ASV_", "PYPERF_", "COVERAGE_")) and name != "PYTHONPATH"
    }
    return kept | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"} | changed


def run_tool(
    command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None, *, fails: bool = False
) -> tuple[int, str]:
    """Run ``command`` in ``folder``: its exit status and all that it printed.  ``fails``: it may end with an error.

    Raises:
        ToolFailed: it cannot be started, takes ten minutes, or ends with an error.
    """
    try:
        done = subprocess.run(
            list(command),
            cwd=folder,
            env=dict(environment or clean_environment()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_TOOL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolFailed(f"{Path(command[0]).name}: {' '.join(str(error).split())[:200]}") from error
    if done.returncode and not fails:
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        raise ToolFailed(f"exit status {done.returncode}: {lines[-1][:200] if lines else 'without a word'}")
    return done.returncode, done.stdout
