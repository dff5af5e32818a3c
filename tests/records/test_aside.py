"""Damaged files: renamed, never lost, told in a line, and the command that met one is no success."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
from pathlib import Path

import pytest

from resbench import cli
from resbench.errors import Damaged, UserError
from resbench.measuring.parallel import side_by_side
from resbench.records.aside import noticing, set_aside


def damage(path: Path) -> Damaged:
    return Damaged(path, "not a record (cut short)", "restore it")


def test_it_is_renamed_and_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.json"
    for number in (1, 2, 3):
        path.write_text(f"torn {number}")
        with noticing() as found:
            assert set_aside(damage(path), "measured again") == tmp_path / f"a.json.damaged-{number}"
        assert found == [str(tmp_path / f"a.json.damaged-{number}")]
        (line,) = capsys.readouterr().err.splitlines()
        told = f"not a record (cut short); set aside as a.json.damaged-{number}, measured again"
        assert line == f"resbench: {path}: {told}"
    assert sorted(os.listdir(tmp_path)) == [f"a.json.damaged-{number}" for number in (1, 2, 3)]
    assert (tmp_path / "a.json.damaged-2").read_text() == "torn 2"


def test_a_link_is_set_aside_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("kept")
    (tmp_path / "a.json").symlink_to(tmp_path / "outside")
    set_aside(damage(tmp_path / "a.json"), "measured again")
    assert (tmp_path / "outside").read_text() == "kept"
    assert (tmp_path / "a.json.damaged-1").is_symlink()


def test_another_process_was_faster(tmp_path: Path) -> None:
    with noticing() as found:
        set_aside(damage(tmp_path / "gone.json"), "measured again")
    assert not found
    assert not os.listdir(tmp_path)


def test_what_cannot_be_renamed_stays_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def readonly(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.json").write_text("torn")
    monkeypatch.setattr(os, "replace", readonly)
    with pytest.raises(UserError, match=r"cut short\), and cannot be set aside: Permission denied; restore it"):
        set_aside(damage(tmp_path / "a.json"), "measured again")
    assert os.listdir(tmp_path) == ["a.json"]


def _race(path: Path) -> None:
    set_aside(damage(path), "measured again")


def test_of_many_processes_one_sets_it_aside(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("torn")
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.map(_race, [tmp_path / "a.json"] * 16)
    assert os.listdir(tmp_path) == ["a.json.damaged-1"]
    assert (tmp_path / "a.json.damaged-1").read_text() == "torn"


@pytest.mark.parametrize(("ends", "code"), [(0, 1), (None, 1), (1, 1), (2, 2), (130, 130)])
def test_a_command_that_set_something_aside_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ends: int | None, code: int
) -> None:
    def command(prog_name: str) -> None:
        (tmp_path / "a.json").write_text("torn")
        set_aside(damage(tmp_path / "a.json"), "measured again")
        sys.exit(ends)

    monkeypatch.setattr(cli, "app", command)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == code
    said = capsys.readouterr().err.splitlines()
    assert len(said) == (2 if not ends else 1)
    if not ends:
        assert said[1] == "resbench: done, but a damaged file was set aside (see above): exit code 1"


def _meets_one(folder: Path) -> str:
    path = folder / f"{os.getpid()}.json"
    if multiprocessing.parent_process() is not None:
        path.write_text("torn")
        set_aside(damage(path), "measured again")
    return "all there"


def test_what_a_process_beside_set_aside_counts(tmp_path: Path) -> None:
    with noticing() as found:
        assert side_by_side(_meets_one, tmp_path, 2, "cuda") == "all there"
    assert len(found) == 2


def test_it_comes_through_to_another_process() -> None:
    found = pickle.loads(pickle.dumps(damage(Path("a.json"))))
    assert (str(found), found.what) == (str(damage(Path("a.json"))), "not a record (cut short)")
