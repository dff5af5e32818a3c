"""Where committed evidence and unfinished measurements are."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from resbench.errors import UserError

__all__ = ["baselines", "check_writable", "partial_measurements", "write_atomically"]


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


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` so that ``path`` holds either its old or its whole new content, also after a crash.

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
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; choose another folder") from error


def check_writable(folder: Path | None) -> None:
    """Fail before measuring, not after; None is no folder.

    Raises:
        UserError: ``folder`` cannot be made or written.
    """
    if folder is not None:
        probe = folder / ".resbench-probe"
        write_atomically(probe, b"")
        probe.unlink(missing_ok=True)
