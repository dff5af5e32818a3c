"""How much memory a check takes, and whether it grows: ``python -m benchmarks.memory [--repeats 20]``.

The same claims are judged again and again in one process.  Its peak is that of the operating system;
what it holds is looked at after each.  Exit code 1 where the peak is above 2 GB, or where what is held still grows by
more than ``--growth`` megabytes (20) in the second half of the repetitions.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import io
import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

__all__ = ["held", "main", "peak"]

_LIMIT = 2e9


def peak() -> int:
    """Bytes that this process has held at most.

    Linux says it of the program since it was started; ``ru_maxrss`` is inherited from whoever started it.
    """
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else 1024 * used


def held() -> int:
    """Bytes that this process holds now, after what is free was given back."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.memory")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--setting", default="digits")
    parser.add_argument("--select", action="append", default=[])
    parser.add_argument("--growth", type=float, default=20.0, help="megabytes in the second half (20)")
    options = parser.parse_args(arguments)
    from resbench.checking import Options, run_check

    sizes: list[int] = []
    for number in range(options.repeats):
        began, printed = time.monotonic(), io.StringIO()
        with contextlib.redirect_stdout(printed):
            code = run_check(Options(tuple(options.select), settings=(options.setting,), format="json"))
        summary = {name: count for name, count in json.loads(printed.getvalue())["summary"].items() if count}
        del printed
        sizes.append(held())
        print(
            f"{number + 1:3}: exit code {code}, {summary}, {time.monotonic() - began:.0f} s, "
            f"holds {sizes[-1] / 1e6:.0f} MB, peak {peak() / 1e6:.0f} MB",
            flush=True,
        )
    growth = (sizes[-1] - sizes[len(sizes) // 2]) / 1e6
    print(f"peak {peak() / 1e9:.2f} GB (bound {_LIMIT / 1e9:.0f}), grown by {growth:.1f} MB in the second half")
    return 1 if peak() > _LIMIT or growth > options.growth else 0


if __name__ == "__main__":
    sys.exit(main())
