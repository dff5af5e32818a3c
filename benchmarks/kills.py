"""SIGKILL at random moments, and the same records in the end: ``python -m benchmarks.kills [--kills 100] [--seed 0]``.

Each trial begins a run, kills it, begins it again (and kills it again, now and then), and lets the last one end.  Its
records must be those of a run that nobody killed.  Half of the kills come at a random time, half at a random moment of
writing a file: before or after it is synchronised, before or after it is given its name.  Exit code 1 where the records
differ, or where the run cannot go on.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.kills_workloads import WORKLOADS, Workload

__all__ = ["main"]

_LONGEST = 300.0


class _Moments:
    """Counts the moments of writing files in this process; at the ``last`` of them the process kills itself."""

    def __init__(self, last: int | None):
        self.last, self.count = last, 0

    def around(self, name: str) -> None:
        """Count before and after every call of ``os.NAME``."""
        real = getattr(os, name)

        def watched(*arguments: Any, **options: Any) -> Any:
            self._one()
            result = real(*arguments, **options)
            self._one()
            return result

        setattr(os, name, watched)

    def _one(self) -> None:
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


def _child(workload: Workload, folder: Path, last: int | None) -> None:
    import torch

    torch.set_num_threads(1)
    os.environ["RESBENCH_CACHE"] = str(folder / "cache")
    with (folder / "log").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    moments = _Moments(last)
    for name in ("fsync", "replace"):
        moments.around(name)
    workload.run(folder)
    (folder / "moments").write_text(str(moments.count))


def _started(workload: Workload, folder: Path, last: int | None = None) -> multiprocessing.context.ForkProcess:
    folder.mkdir(exist_ok=True)
    process = multiprocessing.get_context("fork").Process(target=_child, args=(workload, folder, last))
    process.start()
    return process


def _ended(workload: Workload, folder: Path) -> Mapping[str, object]:
    """The records of a run that is let to its end.

    Raises:
        RuntimeError: it did not end, or not well.
    """
    process = _started(workload, folder)
    process.join(_LONGEST)
    if process.exitcode != 0:
        process.kill()
        raise RuntimeError(f"exit code {process.exitcode}: {(folder / 'log').read_text()[-500:]}")
    return workload.records(folder)


def _killed(workload: Workload, folder: Path, seconds: float, moments: int, generator: random.Random) -> bool:
    """Begin a run and kill it within its ``seconds`` or at one of its ``moments``; whether it was still running."""
    if generator.random() < 0.5:
        process = _started(workload, folder, generator.randint(1, moments))
        process.join(_LONGEST)
    else:
        process = _started(workload, folder)
        process.join(generator.uniform(0.0, seconds))
    if process.exitcode is None and process.pid is not None:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return process.exitcode == -signal.SIGKILL


def _trials(workload: Workload, kills: int, shared: Path, generator: random.Random) -> tuple[int, int]:
    """Trials and failures, over as many ``kills``."""
    workload.prepare(shared)
    began = time.monotonic()
    wanted = _ended(workload, shared / "whole")
    seconds, moments = time.monotonic() - began, int((shared / "whole" / "moments").read_text())
    done, trials, failures, torn = 0, 0, 0, 0
    while done < kills:
        folder = shared / f"trial-{trials}"
        trials += 1
        for _ in range(generator.choice((1, 1, 2, 3))):
            before = _unfinished(folder)
            done += _killed(workload, folder, seconds, moments, generator)
            torn += bool(_unfinished(folder) - before)
        try:
            if _ended(workload, folder) != wanted:
                raise RuntimeError("its records are others")
        except (RuntimeError, AssertionError, OSError, ValueError) as error:
            failures += 1
            print(f"FAILURE {workload.name}, trial {trials} ({folder}): {error}", flush=True)
    print(
        f"{workload.name:10} {done:4} kills, {torn} in the midst of a write, of {trials} runs of {seconds:.1f} s: "
        f"{trials - failures} ended with the same records, {failures} did not",
        flush=True,
    )
    return done, failures


def _unfinished(folder: Path) -> set[Path]:
    """Files that have not been given their name."""
    return {path for path in folder.rglob(".*.*") if path.is_file() and path.suffix not in (".lock", ".holder")}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.kills")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workload", choices=[workload.name for workload in WORKLOADS], help="one; all if not given")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")  # of forking: this process has one thread
    import resbench.checking
    import resbench.lesioning
    import resbench.measuring.own
    import resbench.training.papers  # noqa: F401  (once, here: a killed child need not import them again)

    chosen = [workload for workload in WORKLOADS if options.workload in (None, workload.name)]
    done = failures = 0
    for index, workload in enumerate(chosen):
        with tempfile.TemporaryDirectory(prefix="resbench-kills-") as shared:
            kills = len(range(index, options.kills, len(chosen)))
            found = _trials(workload, kills, Path(shared), random.Random(f"{options.seed} {workload.name}"))
            done, failures = done + found[0], failures + found[1]
    print(f"{done} kills, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
