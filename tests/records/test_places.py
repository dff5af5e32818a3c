"""Atomic writes and the evidence folder."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

import pytest

from resbench.errors import UserError
from resbench.records import places
from resbench.records.places import baselines, check_writable, inside, partial_measurements, write_atomically


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


def test_a_new_file_gets_its_name_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    renamed = []

    def replace(old: str, new: Path) -> None:
        renamed.append((Path(old).parent, Path(old).name.startswith(".file."), Path(old).read_bytes(), new))

    monkeypatch.setattr(os, "replace", replace)
    write_atomically(tmp_path / "file", b"new")
    assert renamed == [(tmp_path, True, b"new", tmp_path / "file")]


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(old: str, new: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", b"new")
    assert os.listdir(tmp_path) == []


def test_an_interruption_after_the_last_step_is_still_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.replace

    def replace(old: str, new: Path) -> None:
        rename(old, new)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_what_is_written_may_be_read_by_everyone(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", b"")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_a_reason_without_words_is_named_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match="file: the disk is gone; choose another folder"):
        write_atomically(tmp_path / "file", b"")


def test_a_folder_is_tried_before_it_is_needed(tmp_path: Path) -> None:
    check_writable(None)
    check_writable(tmp_path / "deep" / "folder")
    assert (tmp_path / "deep" / "folder").is_dir()
    assert os.listdir(tmp_path / "deep" / "folder") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another folder"):
        check_writable(tmp_path / "file")


def test_another_process_may_try_a_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And remove what was written to try it, which has the same name."""
    monkeypatch.setattr(places, "write_atomically", lambda path, content: None)
    check_writable(tmp_path)


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another folder"):
        write_atomically(tmp_path / "file" / "inside", b"")


def test_unfinished_measurements_lie_in_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    monkeypatch.setenv("RESBENCH_CACHE", "/chosen")
    assert partial_measurements() == Path("/chosen")
    monkeypatch.setenv("RESBENCH_CACHE", "")
    assert partial_measurements() == Path("/cache/resbench")
    monkeypatch.delenv("RESBENCH_CACHE")
    assert partial_measurements() == Path("/cache/resbench")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert partial_measurements() == Path("/home/somebody/.cache/resbench")


def test_evidence_is_the_packages_own_or_the_repositorys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "repository" / "src" / "resbench"
    monkeypatch.setattr(places, "__file__", str(package / "records" / "places.py"))
    with pytest.raises(UserError, match=f"no baselines beside {package}"):
        baselines()
    (tmp_path / "repository" / "baselines").mkdir(parents=True)
    assert baselines() == tmp_path / "repository" / "baselines"
    (package / "_baselines").mkdir(parents=True)
    assert baselines() == package / "_baselines"


def test_the_committed_evidence_is_found() -> None:
    assert (baselines() / "checkpoints" / "digits" / "index.json").is_file()
