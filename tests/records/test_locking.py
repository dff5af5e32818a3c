"""Locks: one writer, who says who it is, and who gives it back when it dies."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from resbench.errors import UserError
from resbench.records.locking import FOLDER, Held, held


@contextmanager
def elsewhere(path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(Path(__file__).with_name("locks_elsewhere.py")), str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "resnet56"
    with elsewhere(path) as process:
        with pytest.raises(Held) as caught, held(path, "measuring"):
            raise AssertionError
        assert f"resnet56 is held by process {process.pid} on " in str(caught.value)
        assert "(measuring, since 20" in str(caught.value)
        with held(tmp_path / "resnet20", "measuring"):
            pass  # another record
        process.kill()
        process.wait()
        with held(path, "measuring"):  # killed: it is free, whatever the holder's file says
            pass


def test_who_waits_says_so_once_and_gets_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pace.json"
    got: list[int] = []

    def second() -> None:
        with held(path, "noting", wait=60.0):
            got.append(1)

    with held(path, "noting"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.5)
        assert not got
    thread.join(60)
    assert got == [1]
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"resbench: waiting for process {os.getpid()} on ")
    assert line.endswith("pace.json")


def test_who_waits_in_vain_is_told(tmp_path: Path) -> None:
    with held(tmp_path / "a", "x"), pytest.raises(Held), held(tmp_path / "a", "x", wait=0.1):
        raise AssertionError


def test_it_is_given_back_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), held(tmp_path / "a", "x"):
        raise KeyError
    with held(tmp_path / "a", "x"):
        assert (tmp_path / FOLDER / "a.holder").read_text().startswith(f"process {os.getpid()}")
    assert not (tmp_path / FOLDER / "a.holder").exists()


def test_git_ignores_the_locks(tmp_path: Path) -> None:
    with held(tmp_path / "a", "x"):
        pass
    assert (tmp_path / FOLDER / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("content", [b"", b"\xff\x00\x1b[31m\n\nsecond line", b"x" * 10_000])
def test_whatever_the_holders_file_holds_it_is_one_short_line(tmp_path: Path, content: bytes) -> None:
    with held(tmp_path / "a", "x"):
        (tmp_path / FOLDER / "a.holder").write_bytes(content)
        with pytest.raises(Held) as caught, held(tmp_path / "a", "x"):
            raise AssertionError
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another folder"), held(tmp_path / "file" / "a", "x"):
        raise AssertionError


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("kept")
    with held(tmp_path / "a", "x"):
        pass
    (tmp_path / FOLDER / "a.lock").unlink()
    (tmp_path / FOLDER / "a.lock").symlink_to(outside)
    with pytest.raises(UserError), held(tmp_path / "a", "x"):
        raise AssertionError
    assert outside.read_text() == "kept"


def test_it_comes_through_to_another_process() -> None:
    found = pickle.loads(pickle.dumps(Held(Path("a"), "process 1")))
    assert (found.path, found.by, str(found)) == (Path("a"), "process 1", str(Held(Path("a"), "process 1")))
