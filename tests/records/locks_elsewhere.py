"""Another process that holds a lock: `python locks_elsewhere.py PATH` says "held", then waits to be ended."""

from __future__ import annotations

import sys
from pathlib import Path

from resbench.records.locking import held

if __name__ == "__main__":
    with held(Path(sys.argv[1]), "measuring"):
        print("held", flush=True)
        sys.stdin.read()
