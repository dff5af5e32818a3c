"""A thousand damaged files, read as the commands read them: ``python -m benchmarks.fuzz [--inputs 1000] [--seed 0]``.

Each must give either the right answer or one line that says what to do; a file that can be read but says something else
than was written must be refused, wherever the format has a digest.  Exit code 1 where one did not.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from benchmarks.fuzz_commands import COMMANDS, trial
from benchmarks.fuzz_edits import edited
from benchmarks.fuzz_formats import FORMATS, Format

__all__ = ["Bench", "Outcome", "judged"]

REFUSED, RIGHT, AGAIN, OTHER = "refused", "right", "made again", "other values"
"""What may come of a damaged file; other values only of a format that has no guard."""


@dataclass(frozen=True)
class Outcome:
    """``what``: one of those above.  ``fault``: why that is wrong; empty where it is not."""

    what: str
    fault: str = ""


@dataclass(frozen=True)
class Bench:
    """A format with its good file, to be damaged again and again."""

    format: Format
    path: Path
    good: bytes
    value: object

    @staticmethod
    def of(format: Format, folder: Path) -> Bench:
        """``folder``: an empty one."""
        path = format.made(folder)
        return Bench(format, path, path.read_bytes(), format.read(path))

    def outcome(self, content: bytes) -> Outcome:
        """What comes of ``content`` in the good file's place."""
        self.path.write_bytes(content)
        return judged(lambda: self.format.read(self.path), self.value, bool(self.format.guard))


def judged(read: Callable[[], object], value: object, guarded: bool) -> Outcome:
    """Compare what ``read`` gives with ``value``, what was written."""
    from resbench.errors import NotMeasured, Stale, UserError

    try:
        with warnings.catch_warnings(), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            found = read()
    except (UserError, NotMeasured, Stale) as error:
        lines = str(error).splitlines()
        clear = len(lines) == 1 and len(lines[0]) < 2000
        return Outcome(REFUSED, "" if clear else f"{len(lines)} lines: {str(error)[:200]!r}")
    except Exception as error:
        return Outcome("traceback", f"{type(error).__name__}: {str(error)[:200]}")
    if found == value:
        return Outcome(RIGHT)
    if found is None:
        return Outcome(AGAIN)
    return Outcome(OTHER, "read as something else than was written" if guarded else "")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.fuzz")
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", type=int, default=0, help="so many more through whole commands")
    parser.add_argument("--format", default="", help="only the formats whose name contains this")
    options = parser.parse_args(arguments)
    chosen = [format for format in FORMATS if options.format in format.name]
    faults, slowest = _through_commands(options.commands, options.seed), (0.0, "")
    print(f"{'format':34} inputs  {REFUSED}  {RIGHT}  {AGAIN}  {OTHER}  guard")
    for index, format in enumerate(chosen):
        generator = random.Random(f"{options.seed} {format.name}")
        count = len(range(index, options.inputs, len(chosen)))
        seen: Counter[str] = Counter()
        with tempfile.TemporaryDirectory(prefix="resbench-fuzz-") as folder:
            bench = Bench.of(format, Path(folder))
            for number in range(count):
                what, content = edited(bench.good, generator)
                began = time.perf_counter()
                outcome = bench.outcome(content)
                slowest = max(slowest, (time.perf_counter() - began, f"{format.name}, {what}"))
                seen[outcome.what] += 1
                if outcome.fault:
                    faults += 1
                    print(f"FAULT {format.name}, input {number} ({what}): {outcome.fault}", flush=True)
        row = "  ".join(f"{seen[one]:{len(one)}}" for one in (REFUSED, RIGHT, AGAIN, OTHER))
        print(f"{format.name:34} {count:6}  {row}  {format.guard or 'none'}", flush=True)
    print(f"{options.inputs} inputs and {options.commands} commands, {faults} faults")
    print(f"the slowest input took {slowest[0]:.1f} s ({slowest[1]})")
    return 1 if faults else 0


def _through_commands(count: int, seed: int) -> int:
    """The number of faults."""
    faults = 0
    for index, command in enumerate(COMMANDS):
        generator = random.Random(f"{seed} {index}")
        with tempfile.TemporaryDirectory(prefix="resbench-fuzz-") as folder:
            trials = trial(command, Path(folder), generator)
            for _ in range(index, count, len(COMMANDS)):
                what, fault = next(trials)
                if fault:
                    faults += 1
                    print(f"FAULT resbench {command.name} ({what}): {fault}", flush=True)
    return faults


if __name__ == "__main__":
    sys.exit(main())
