"""Does the same give the same?  ``python -m benchmarks.reproducibility [--python PATH]... [--threads N]...``

Runs the trained claims in every given interpreter (this one, and those of ``--python``, which may have another torch)
with every given number of threads, the first combination ``--repeat`` times, every run in a process of its own.  Then:

1. runs of one interpreter and thread count must give the same records, measured values and intervals bit for bit;
2. all runs must give the same verdicts.

How many records and values of other combinations are equal bit for bit is reported, and asserted nowhere: a convolution
that sums in another order rounds differently.  What is measured in seconds (``step_times``) is the same in no two runs;
of the claims about it only the verdicts count, and not in 1.  Exit code 0 where both hold, else 1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import resbench
from resbench.records.places import write_atomically

__all__ = ["Difference", "Outcome", "as_json", "as_table", "compared", "main", "run_worker"]

_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Outcome:
    """One run: what `benchmarks.reproducibility_worker` printed, and the interpreter it ran in."""

    python: str
    found: Mapping[str, Any]

    @property
    def kind(self) -> tuple[str, int]:
        """Runs of one kind must agree bit for bit."""
        return self.python, int(self.found["threads"])

    @property
    def name(self) -> str:
        threads = self.found["threads"]
        return f"torch {self.found['environment']['packages']['torch']}, {threads} thread{'s' if threads > 1 else ''}"


@dataclass(frozen=True)
class Difference:
    """Two runs: ``records`` and ``values`` that differ in any bit, of so many; claims with other ``verdicts``."""

    first: str
    second: str
    alike: bool
    records: list[str]
    of_records: int
    values: list[str]
    of_values: int
    verdicts: list[str]

    @property
    def failed(self) -> bool:
        return bool(self.verdicts or (self.alike and (self.records or self.values)))


def run_worker(python: str, threads: int, globs: Sequence[str], setting: str) -> Outcome:
    """One run in a process of its own.

    Raises:
        SystemExit: the interpreter cannot run it; its last line of error is shown.
    """
    sources = [str(Path(resbench.__file__).parents[1]), str(_ROOT)]
    variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(variables, str(threads)), "PYTHONPATH": os.pathsep.join(sources)}
    environment["OMP_WAIT_POLICY"] = "PASSIVE"  # threads that wait must not take the cores from those that work
    command = [python, "-m", "benchmarks.reproducibility_worker", "--setting", setting, "--threads", str(threads)]
    command += [part for glob in globs for part in ("--select", glob)]
    done = subprocess.run(command, env=environment, cwd=_ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SystemExit(f"{python} ended with exit code {done.returncode}: {last}")
    return Outcome(python, json.loads(done.stdout))


def compared(outcomes: Sequence[Outcome]) -> list[Difference]:
    """Every pair of runs."""
    return [_difference(one, other) for one, other in combinations(outcomes, 2)]


def _difference(one: Outcome, other: Outcome) -> Difference:
    a, b = one.found, other.found
    timed = {*a["timed"], *b["timed"]}
    first, second = a["verdicts"], b["verdicts"]
    names = sorted({*first, *second})
    values = [name for name in names if name not in timed]
    records = sorted({*a["records"], *b["records"]})
    return Difference(
        one.name,
        other.name,
        one.kind == other.kind,
        [name for name in records if a["records"].get(name) != b["records"].get(name)],
        len(records),
        [name for name in values if first.get(name, {}).get("checks") != second.get(name, {}).get("checks")],
        len(values),
        [name for name in names if first.get(name, {}).get("status") != second.get(name, {}).get("status")],
    )


def as_json(outcomes: Sequence[Outcome], differences: Sequence[Difference]) -> dict[str, Any]:
    """The runs with their verdicts, and how each pair of them differs; ready for JSON."""
    runs = []
    for outcome in outcomes:
        found = outcome.found
        statuses = {name: verdict["status"] for name, verdict in found["verdicts"].items()}
        runs.append({"name": outcome.name, "environment": found["environment"], "statuses": statuses})
    return {
        "schema": 1,
        "runs": runs,
        "pairs": [{**vars(pair), "failed": pair.failed} for pair in differences],
        "reproducible": not any(pair.failed for pair in differences),
    }


def as_table(outcomes: Sequence[Outcome], differences: Sequence[Difference]) -> str:
    """A line a run, a line a pair."""
    lines = []
    for outcome in outcomes:
        statuses = [verdict["status"] for verdict in outcome.found["verdicts"].values()]
        counts = ", ".join(f"{statuses.count(status)} {status}" for status in sorted(set(statuses)))
        lines.append(f"{outcome.name}: {counts}")
    for pair in differences:
        equal = f"{pair.of_records - len(pair.records)} of {pair.of_records} records and "
        equal += f"{pair.of_values - len(pair.values)} of {pair.of_values} claims' values equal bit for bit"
        other = f"; other verdicts: {', '.join(pair.verdicts)}" if pair.verdicts else "; the same verdicts"
        must = " (must be all)" if pair.alike else ""
        lines.append(f"{'FAILED ' if pair.failed else ''}{pair.first} and {pair.second}: {equal}{must}{other}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, compare, print, write; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reproducibility")
    parser.add_argument("--python", action="append", default=[], help="another interpreter; may be repeated")
    parser.add_argument("--threads", type=int, action="append", default=[], help="1 and 2 if not given")
    parser.add_argument("--repeat", type=int, default=2, help="runs of each combination (the first; others run once)")
    parser.add_argument("--select", action="append", default=[], help="claim ids with * and ?; all if not given")
    parser.add_argument("--setting", default="digits")
    parser.add_argument("--out", type=Path, help="also write JSON here")
    parser.add_argument("--runs", type=Path, help="keep finished runs here, for the same command again")
    options = parser.parse_args(arguments)
    kinds = [(python, threads) for python in (sys.executable, *options.python) for threads in options.threads or (1, 2)]
    outcomes = []
    for number, (python, threads) in enumerate([kinds[0]] * (options.repeat - 1) + kinds, start=1):
        kept = None if options.runs is None else options.runs / f"run-{number}.json"
        if kept is not None and kept.exists():
            outcomes.append(Outcome(python, json.loads(kept.read_text())))
            continue
        outcomes.append(run_worker(python, threads, options.select, options.setting))
        if kept is not None:
            write_atomically(kept, json.dumps(outcomes[-1].found).encode())
        print(f"finished: {outcomes[-1].name}", file=sys.stderr, flush=True)
    differences = compared(outcomes)
    if options.out is not None:
        options.out.write_text(json.dumps(as_json(outcomes, differences), indent=1) + "\n")
    print(as_table(outcomes, differences))
    return int(any(pair.failed for pair in differences))


if __name__ == "__main__":
    sys.exit(main())
