"""A check holds on to nothing; `python -m benchmarks.memory` measures all claims of the digits, twenty times."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="/proc tells what a process holds")
def test_a_check_that_is_repeated_does_not_grow() -> None:
    """In a process of its own: this one has held more before."""
    command = [sys.executable, "-m", "benchmarks.memory", "--repeats", "6"]
    done = subprocess.run(
        [*command, "--select", "huang-expected-depth", "--select", "huang-heatmap"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"exit code 0, {'HOLDS': 2}", done.stdout)) == 6, done.stdout
    found = re.search(r"peak ([\d.]+) GB", done.stdout)
    assert found is not None
    assert float(found[1]) < 2.0
