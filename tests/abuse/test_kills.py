"""Runs that are killed, and begun again: `python -m benchmarks.kills` does it a hundred times."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("workload", ["measure", "lesion"])
def test_a_killed_run_ends_with_the_same_records(workload: str) -> None:
    """In a process of its own, which forks: this one has threads."""
    command = [sys.executable, "-m", "benchmarks.kills", "--workload", workload, "--kills", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^[3-9] kills, 0 failures$", done.stdout, re.MULTILINE), done.stdout
