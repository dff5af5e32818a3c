"""Two processes under torchrun: the numbers of one, and what becomes of a run of which one process is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from resbench.cli import app
from resbench.lesions import running

LESIONS = ["--mode", "single", "--mode", "pairs", "--mode", "reorder", "--swaps", "1-3", "--draws", "2"]

MODULE = """
import os, signal, torch
from resbench.lesions import running
from tests.lesions.lesion_nets import Net, settled

put = running.Store.put


def put_and_die(store, start, piece):
    put(store, start, piece)
    if start > 0:
        os.kill(os.getpid(), signal.SIGKILL)


if "PIECES" in os.environ:  # of one batch
    running._FIRST_PIECE, running._PIECE_SECONDS = 8, 0.0
    running.batch_size = lambda *sizes: 8
if os.environ.get("KILLED") == os.environ.get("RANK", "0"):
    running.Store.put = put_and_die


def build():
    return settled(Net())
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a network and images; it becomes the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mynet.py").write_text(MODULE)
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (90, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "test.npz", images=pixels, labels=generator.integers(0, 5, 90))
    return tmp_path


def torchrun(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    places = [str(Path(__file__).parents[1] / "src"), str(Path(__file__).parents[1])]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*launcher, "-m", "resbench", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(places), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def own_lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith("resbench: ")]


def alone(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measured(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in ("engine", "environment")}


def test_lesions_of_two_processes_are_those_of_one(folder: Path) -> None:
    arguments = ["lesion", "resnet20-preact", "--data", "digits", "--limit", "100", *LESIONS, "--format", "json"]
    done = torchrun(*arguments, "--figure", "figure.svg")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)  # said once, and nothing else
    assert measured(found) == measured(alone(*arguments))
    first, second = found["engine"]["ranks"]
    assert min(first["lesions"], second["lesions"]) > 0
    assert first["lesions"] + second["lesions"] == found["engine"]["lesions"]
    assert len(own_lines(done)) == 1
    assert (folder / "figure.svg").exists()
    assert not list(folder.rglob("*.npy"))


def test_a_killed_rank_ends_the_run_and_loses_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["lesion", "mynet:build", "--data", "npz:test.npz", *LESIONS, "--format", "json"]
    killed = torchrun(*arguments, PIECES="1", KILLED="1")
    assert killed.returncode != 0
    assert killed.stdout == ""
    assert own_lines(killed)[1:] == [
        "resbench: rank 1 ended; finished pieces are kept: start the same command again to go on"
    ]
    pieces = list(folder.rglob("*.npy"))
    assert len({piece.parent for piece in pieces}) == 2
    again = torchrun(*arguments, PIECES="1")
    assert again.returncode == 0, again.stderr
    found = json.loads(again.stdout)
    assert min(rank["reused"] for rank in found["engine"]["ranks"]) > 0
    assert found["engine"]["reused_images"] > 0
    monkeypatch.setattr(running, "batch_size", lambda *sizes: 8)
    assert measured(found) == measured(alone(*arguments))
    assert not list(folder.rglob("*.npy"))


def test_what_a_user_can_mend_is_said_once(folder: Path) -> None:
    done = torchrun("lesion", "resnet20-preact", "--data", "digits", "--checkpoint", "nowhere.safetensors")
    assert done.returncode != 0
    assert own_lines(done) == ["resbench: --checkpoint nowhere.safetensors: No such file or directory"]
    assert "exitcode  : 2" in done.stderr
    assert "exitcode  : 1" not in done.stderr


@pytest.mark.parametrize("more", [["--sampled", "--max-paths", "20"], ["--memory", "0.0003", "--forward"]])
def test_paths_of_two_processes_are_those_of_one(folder: Path, more: list[str]) -> None:
    arguments = ["paths", "resnet20-preact", "--data", "digits", "--limit", "8", "--format", "json", *more]
    done = torchrun(*arguments)
    assert done.returncode == 0, done.stderr
    assert measured(json.loads(done.stdout)) == measured(alone(*arguments))
    assert len(own_lines(done)) == 1
