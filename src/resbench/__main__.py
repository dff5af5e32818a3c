"""``python -m resbench``, and so ``torchrun -m resbench``: the command line."""

from __future__ import annotations

from resbench.cli import run

if __name__ == "__main__":
    run()
