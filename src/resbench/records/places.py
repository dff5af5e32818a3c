"""Where committed evidence and unfinished measurements are."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from resbench.errors import UserError

__all__ = ["baselines", "check_writable", "inside", "partial_measurements", "up_to_repository", "write_atomically"]

_MARKS = (".git", ".hg", ".jj")
"""What the folder of a repository contains."""


def baselines() -> Path:
    """The committed evidence: ``baselines/`` of the repository, or its copy inside an installed package."""
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / "_baselines", package.parents[1] / "baselines"):
        if candidate.is_dir():
            return candidate
    raise UserError(f"no baselines beside {package}: reinstall resbench, or run from its repository")


def partial_measurements() -> Path:
    """Where the finished measurements of an interrupted run wait for the next one (``RESBENCH_CACHE`` overrides)."""
    chosen = os.environ.get("RESBENCH_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resbench"


def up_to_repository(start: Path) -> list[Path]:
    """``start`` and the folders above it, up to that of the repository.

    Outside a repository only ``start`` itself: what others left in a shared folder is not the user's.
    """
    folders = [start.resolve(), *start.resolve().parents]
    root = next((index for index, folder in enumerate(folders) if any((folder / mark).exists() for mark in _MARKS)), 0)
    return folders[: root + 1]


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` so that ``path`` holds either its old or its whole new content, also after a crash.

    Written beside it, on the disk before it has its name, and named there before this returns.  A link of this name is
    replaced, not followed.

    Raises:
        UserError: the folder cannot be made or written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
            _keep_names(path.parent)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; choose another folder") from error


def _keep_names(folder: Path) -> None:
    """A folder's names on the disk: until then a renamed file may have its old name after a power failure."""
    if not hasattr(os, "O_DIRECTORY"):  # folders cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot
            raise
    finally:
        os.close(descriptor)


def inside(store: Path, path: Path) -> Path:
    """``path``, which neither ``..`` nor a symbolic link leads out of ``store`` (which may be a link itself).

    Raises:
        UserError: it is elsewhere.
    """
    try:
        real = path.resolve()
        within = real.is_relative_to(store.resolve())
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{path}: cannot be followed ({error}); remove the link") from error
    if not within:
        raise UserError(f"{path}: leads out of {store}, to {real}; records must lie in their store, without such links")
    return path


def check_writable(folder: Path | None) -> None:
    """Fail before measuring, not after; None is no folder.

    Raises:
        UserError: ``folder`` cannot be made or written.
    """
    if folder is not None:
        probe = folder / ".resbench-probe"
        write_atomically(probe, b"")
        probe.unlink(missing_ok=True)
