"""Atomic writes and the evidence folder."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

import pytest

from resbench.errors import UserError
from resbench.records.places import baselines, inside, write_atomically


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["file"]


def test_a_full_disk_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_it_is_on_the_disk_before_it_has_its_name_and_the_name_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a power failure could leave: never a name without its content."""
    done: list[tuple[str, str]] = []
    kinds = {True: "folder", False: "file"}
    replace, fsync = os.replace, os.fsync

    def renamed(source: str, target: Path) -> None:
        done.append(("rename", Path(target).name))
        assert Path(source).read_bytes() == b"content"
        replace(source, target)

    def synced(descriptor: int) -> None:
        done.append(("fsync", kinds[stat.S_ISDIR(os.fstat(descriptor).st_mode)]))
        fsync(descriptor)

    monkeypatch.setattr(os, "replace", renamed)
    monkeypatch.setattr(os, "fsync", synced)
    write_atomically(tmp_path / "a.json", b"content")
    assert done == [("fsync", "file"), ("rename", "a.json"), ("fsync", "folder")]


@pytest.mark.parametrize("call", ["mkstemp", "chmod", "replace", "fsync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
def test_whatever_fails_the_old_content_stays_and_nothing_else_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fails(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(tempfile if call == "mkstemp" else os, call, fails)
    with pytest.raises(UserError, match=r"cannot write .*; choose another folder"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_system_that_cannot_sync_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def synced(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"kept")
    (tmp_path / "file").symlink_to(tmp_path / "outside")
    write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "outside").read_bytes() == b"kept"
    assert not (tmp_path / "file").is_symlink()


@pytest.mark.parametrize("path", ["a.json", "net/a.json", "net/seed-2/a.json", "net/../a.json", "."])
def test_what_is_inside(tmp_path: Path, path: str) -> None:
    assert inside(tmp_path, tmp_path / path) == tmp_path / path


@pytest.mark.parametrize("path", ["../a.json", "net/../../a.json", "/etc/passwd", "link/a.json", "link", "chain/a"])
def test_what_is_not(tmp_path: Path, path: str) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (store / "link").symlink_to(tmp_path)
    (store / "chain").symlink_to(store / "link")
    with pytest.raises(UserError, match=r"leads out of .*store, to "):
        inside(store, store / path)


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another folder"):
        write_atomically(tmp_path / "file" / "inside", b"")


def test_the_committed_evidence_is_found() -> None:
    assert (baselines() / "checkpoints" / "digits" / "index.json").is_file()
