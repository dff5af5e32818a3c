"""Two processes train as one: the same curves and the same network but for rounding; also stopped and continued."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import json, sys, time
from dataclasses import asdict
from pathlib import Path
import torch
from resbench.distributed import ranks
from resbench.training import papers
from tests.training.test_papers import RECIPES, stopped_after
from tests.training.shared_images import small_images
import pytest

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
folder, name, steps = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
with ranks("nothing is kept") as among, pytest.MonkeyPatch.context() as patch:
    if steps:
        stopped_after(patch, steps)
    found = papers.train_network("small", RECIPES[name], small_images(), seed=1, ranks=among,
                                 keep=folder / f"run{among.world}", until=1.0 if steps else None)
    if among.rank == 0 and found is not None:
        size = float(sum(value.double().square().sum() for value in found.state.values()))
        (folder / f"{among.world}.json").write_text(json.dumps([asdict(found.curves), size]))
"""


def run(folder: Path, name: str, processes: int, steps: int = 0) -> Any:
    program = folder / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--master-port", "0",
               "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0",
               str(program), str(folder), name, str(steps)]  # fmt: skip
    import os

    places = f"{ROOT / 'src'}{os.pathsep}{ROOT}"
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = folder / f"{processes}.json"
    return json.loads(found.read_text()) if found.exists() else None


@pytest.mark.parametrize("name", ["all", "stochastic"])
def test_two_processes_are_one(name: str, tmp_path: Path) -> None:
    one = run(tmp_path, name, 1)
    assert run(tmp_path, name, 2, steps=16) is None, "stopped after 16 of 36 steps"
    two = run(tmp_path, name, 2)
    assert set(one[0]) == set(two[0])
    for series, values in one[0].items():
        assert two[0][series] == pytest.approx(values, rel=1e-6), series
    assert two[1] == pytest.approx(one[1], rel=1e-6)
