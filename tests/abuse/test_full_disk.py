"""A full disk and a read-only one: one line, exit code 2, nothing that was there is lost, and then it goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from abuse_samples import TIMED, tiny_measuring
from disks import Disk, injected, mounted
from tests.lesions.lesion_nets import Net, settled
from tests.measuring.own_samples import SETTING
from tests.records.evidence_samples import record

import resbench.claims.loader
import resbench.claims.lock
import resbench.plan
from conftest import Run
from resbench.errors import UserError
from resbench.measuring.pace import Pace
from resbench.records.evidence import read_evidence, restored
from resbench.records.partial import PartialResults
from resbench.records.places import write_atomically
from resbench.records.results import Request
from resbench.survey.table import write_table
from resbench.timing.store import save
from resbench.training.state import RunState, write_state

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="/proc tells where a file is")

REQUEST = Request("evaluation", "n")
BIG = {"wrong": np.random.default_rng(0).random((40, 5000))}

WRITERS: dict[str, Callable[[Path], object]] = {
    "evidence": lambda folder: record(folder),
    "kept result": lambda folder: PartialResults(folder, "key").put(REQUEST, [BIG]),
    "kept piece": lambda folder: PartialResults(folder, "key").put_piece("piece", BIG["wrong"]),
    "state": lambda folder: write_state(folder / "a.state", RunState({}, dict(settled(Net()).state_dict()), {})),
    "timing run": lambda folder: save(TIMED, str(folder / "run.json"), force=True),
    "pace": lambda folder: Pace().noted("a processor", "n", 0.5, 1e9).write(folder / "pace.json"),
    "survey": lambda folder: write_table(folder / "survey.csv", [{"library": "timm", "why not": "no"}]),
    "figure": lambda folder: figure(folder / "figure.svg"),
    "any file": lambda folder: write_atomically(folder / "file", bytes(100_000)),
}


def figure(path: Path) -> None:
    from matplotlib.figure import Figure

    from resbench.reports.figures.saving import save_figure

    save_figure(Figure(), path)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with mounted(tmp_path / "disk") as disk:
        yield disk


def content(folder: Path) -> dict[str, bytes]:
    """Of the files with a name of their own; locks and their holders are not content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "filler" and ".locks" not in path.parts
    }


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_leaves_what_was_there(writer: str, disk: Disk) -> None:
    WRITERS[writer](disk.folder)
    before = content(disk.folder)
    assert before
    disk.fill()
    with pytest.raises(UserError, match="No space left on device") as caught:
        WRITERS[writer](disk.folder)
    assert "\n" not in str(caught.value)
    assert content(disk.folder) == before
    disk.free()
    WRITERS[writer](disk.folder)
    assert content(disk.folder).keys() == before.keys()


@pytest.mark.parametrize("writer", WRITERS)
def test_an_error_of_the_disk_leaves_what_was_there(writer: str, tmp_path: Path) -> None:
    WRITERS[writer](tmp_path)
    before = content(tmp_path)
    with injected(tmp_path), pytest.raises(UserError, match="No space left on device"):
        WRITERS[writer](tmp_path)
    assert content(tmp_path) == before


@pytest.mark.parametrize("writer", WRITERS)
def test_a_read_only_disk(writer: str, disk: Disk) -> None:
    WRITERS[writer](disk.folder)
    before = content(disk.folder)
    disk.freeze()
    with pytest.raises(UserError, match="Read-only file system") as caught:
        WRITERS[writer](disk.folder)
    assert "\n" not in str(caught.value)
    assert content(disk.folder) == before
    disk.thaw()


def refused(ended: tuple[int, str, str], reason: str) -> None:
    code, out, err = ended
    assert (code, out) == (2, ""), err
    assert "Traceback" not in err
    *_, line = err.splitlines()
    assert line.startswith("resbench: ")
    assert reason in line


def images(folder: Path) -> Path:
    generator = np.random.default_rng(0)
    np.savez(
        folder / "images.npz",
        images=generator.integers(0, 256, (400, 8, 8, 3), dtype=np.uint8),
        labels=generator.integers(0, 5, 400),
    )
    return folder / "images.npz"


COMMANDS: dict[str, Callable[[Path, Path], tuple[str, ...]]] = {
    "check --out": lambda disk, here: ("check", "--select", "veit-paths-2n", "--out", str(disk / "out")),
    "measure --out": lambda disk, here: (
        *("measure", "--setting", SETTING, "--data", "npz:x", "--select", "vgg15/evaluation"),
        *("--out", str(disk / "out"), "--checkpoints", str(here / "networks")),
    ),
    "measure --checkpoints": lambda disk, here: (
        *("measure", "--setting", SETTING, "--data", "npz:x", "--select", "vgg15/evaluation"),
        *("--out", str(here / "out"), "--checkpoints", str(disk / "networks")),
    ),
    "lesion --figure": lambda disk, here: (
        *("lesion", "tests.lesions.lesion_nets:Net", "--data", f"npz:{images(here)}", "--fresh"),
        *("--figure", str(disk / "lesions.svg")),
    ),
    "survey --out": lambda disk, here: ("survey", "torchvision", "--limit", "1", "--out", str(disk / "out" / "s.csv")),
}


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_measuring(tmp_path, monkeypatch)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("command", [name for name in COMMANDS if not name.startswith("survey")])
def test_a_command_on_a_full_disk(command: str, run: Run, disk: Disk, tmp_path: Path) -> None:
    arguments = COMMANDS[command](disk.folder, tmp_path)
    disk.fill()
    code, out, err = run(*arguments)
    if command == "lesion --figure":  # it draws what it has printed
        out = ""
    refused((code, out, err), "No space left on device")
    disk.free()
    code, _, err = run(*arguments)
    assert code == 0, err


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_on_a_read_only_disk(command: str, run: Run, disk: Disk, tmp_path: Path) -> None:
    arguments = COMMANDS[command](disk.folder, tmp_path)
    disk.freeze()
    refused(run(*arguments), "Read-only file system")


CACHED: dict[str, Callable[[Path], tuple[str, ...]]] = {
    "check": lambda here: ("check", "--select", "huang-expected-depth", "--setting", "digits", "--format", "json"),
    "lesion": lambda here: ("lesion", "tests.lesions.lesion_nets:Net", "--data", f"npz:{images(here)}"),
    "measure": lambda here: (
        *("measure", "--setting", SETTING, "--data", "npz:x", "--select", "vgg15/evaluation"),
        *("--out", str(here / "out"), "--checkpoints", str(here / "networks")),
    ),
}


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("command", CACHED)
@pytest.mark.parametrize("state", ["full", "read-only"])
def test_no_cache(
    command: str, state: str, run: Run, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would be kept for the next run cannot be: said in one line, with the way out, or done without."""
    monkeypatch.setenv("RESBENCH_CACHE", str(disk.folder / "cache"))
    if state == "full":
        disk.fill()
    else:
        disk.freeze()
    code, out, err = run(*CACHED[command](tmp_path))
    if code != 0:
        refused((code, out, err), "No space left" if state == "full" else "Read-only file system")
        assert "RESBENCH_CACHE" in err


def test_a_kept_result_of_a_folder_that_was_frozen(disk: Disk) -> None:
    kept = PartialResults(disk.folder, "key")
    with kept.lock(REQUEST):
        kept.put(REQUEST, [BIG])
    (disk.folder / "partial" / "key" / "evaluation--n.lock").unlink(missing_ok=True)
    path = next(disk.folder.rglob("*.npz"))
    disk.freeze()
    assert PartialResults(disk.folder, "key").get(REQUEST) is not None
    with pytest.raises(UserError, match="Read-only file system; set RESBENCH_CACHE"), kept.lock(REQUEST):
        pass
    disk.thaw()
    path.write_bytes(path.read_bytes()[:-1])
    disk.freeze()
    assert PartialResults(disk.folder, "key").get(REQUEST) is None, "damaged, and cannot be removed"


def test_a_read_only_store_is_judged(run: Run, disk: Disk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    record(disk.folder / "claims" / "cifar10-public")
    monkeypatch.setattr(resbench.plan, "baselines", lambda: disk.folder)
    arguments = ("check", "--setting", "cifar10-public", "--select", "veit-single-*", "--format", "json")
    before = json.loads(run(*arguments)[1])
    disk.freeze()
    assert json.loads(run(*arguments)[1])["verdicts"] == before["verdicts"]


def test_a_lock_of_claims_that_cannot_be_written(disk: Disk) -> None:
    from resbench.claims import load_claims

    path = disk.folder / "claims.lock"
    resbench.claims.lock.write_lock(load_claims(), path)
    before = path.read_bytes()
    disk.freeze()
    with pytest.raises(UserError, match="Read-only file system"):
        resbench.claims.lock.write_lock(load_claims(), path)
    assert path.read_bytes() == before


def test_a_measurement_goes_on_when_there_is_space_again(
    run: Run, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And ends with the records of one that had it all along."""
    tiny_measuring(tmp_path, monkeypatch)

    def measure(place: Path) -> tuple[int, str, str]:
        options = ("--out", str(place / "out"), "--checkpoints", str(place / "networks"))
        return run("measure", "--setting", SETTING, "--data", "npz:x", "--select", "vgg15", *options)

    assert measure(tmp_path)[0] == 0
    disk.fill()
    refused(measure(disk.folder), "No space left")
    disk.free()
    assert measure(disk.folder)[0] == 0
    for experiment in ("evaluation", "single_deletion", "training_curves"):
        found: list[Any] = []
        for place in (tmp_path, disk.folder):
            evidence = read_evidence(place / "out", SETTING, Request(experiment, "vgg15"))
            assert evidence is not None
            found.append(msgspec.to_builtins(evidence.members))
            assert restored(evidence)
        assert found[0] == found[1]


def test_the_disk_of_these_tests_is_what_it_says(disk: Disk) -> None:
    disk.fill()
    with pytest.raises(OSError, match="No space left"):
        (disk.folder / "one-more").write_bytes(b"x")
    disk.free()
    disk.freeze()
    with pytest.raises(OSError, match="Read-only"):
        (disk.folder / "one-more").write_bytes(b"x")
    disk.thaw()
    assert os.statvfs(disk.folder).f_bavail > 0
