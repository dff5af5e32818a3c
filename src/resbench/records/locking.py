"""One writer a record: locks (filelock) that say who holds them.

The lock of ``FOLDER/NAME`` is ``FOLDER/.locks/NAME.lock``, so it holds for all who write to this folder, whatever their
caches; a process that dies gives it back.  Who holds it stands beside it, for people; git ignores the folder.
"""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from resbench.errors import UserError
from resbench.talking import note

__all__ = ["FOLDER", "Held", "held", "locked"]

FOLDER = ".locks"
_LONGEST = 200


class Held(UserError):
    """Another process writes to this record.  ``by``: which; empty if that is not known."""

    def __init__(self, path: Path, by: str):
        super().__init__(f"{path} is held by {by or 'another process'}: wait until it has ended")
        self.path, self.by = path, by

    def __reduce__(self) -> tuple[type[Held], tuple[Path, str]]:
        return Held, (self.path, self.by)


@contextmanager
def held(path: Path, doing: str, *, wait: float = 0.0) -> Iterator[None]:
    """Nobody else writes to the record, or folder, ``path`` while this is open.

    ``doing``: what others are told, ``measuring resnet56``.  ``wait``: seconds to wait for another process, which is
    said once.

    Raises:
        Held: another process holds it, still after ``wait`` seconds.
        UserError: the folder cannot be written.
    """
    folder = path.parent / FOLDER
    try:
        _make(folder)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}; choose another folder") from error
    with locked(folder / f"{path.name}.lock", path, doing, wait=wait):
        yield


@contextmanager
def locked(file: Path, path: Path, doing: str, *, wait: float = 0.0) -> Iterator[None]:
    """As :func:`held`, with a lock ``file`` of one's own choice, in a folder that is there."""
    holder, lock = file.with_suffix(".holder"), FileLock(file)
    try:
        _acquire(lock, wait, path, holder)
    except Timeout:
        raise Held(path, _who(holder)) from None
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot lock {path}: {reason}; choose another folder") from error
    try:
        with suppress(OSError):  # only for people
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            holder.write_text(f"process {os.getpid()} on {platform.node()} ({doing}, since {now})")
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def _make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    ignored = folder / ".gitignore"
    if not ignored.exists():
        ignored.write_text("*\n")


def _acquire(lock: FileLock, wait: float, path: Path, holder: Path) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if wait <= 0:
            raise
        by = _who(holder) or "another process"
        note(f"waiting for {by}, which holds {path}")
        lock.acquire(timeout=wait)


def _who(holder: Path) -> str:
    """In one line, whatever the file holds; empty where it is not known."""
    try:
        text = " ".join(holder.read_text(errors="replace").split())
    except OSError:
        text = ""
    return "".join(letter for letter in text[:_LONGEST] if letter.isprintable())
