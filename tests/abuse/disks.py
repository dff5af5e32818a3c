"""Disks that are full or cannot be written: small file systems in memory where that is allowed, else made up."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

__all__ = ["Disk", "injected", "mounted"]


class Disk:
    """A folder whose disk can be filled, freed, and made read-only."""

    def __init__(self, folder: Path):
        self.folder = folder

    def fill(self) -> None:
        """Leave no byte."""
        with (self.folder / "filler").open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass

    def free(self) -> None:
        (self.folder / "filler").unlink()

    def freeze(self) -> None:
        """From now on nobody can write, root neither."""
        _mount("-o", "remount,ro", str(self.folder))

    def thaw(self) -> None:
        _mount("-o", "remount,rw", str(self.folder))


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@contextmanager
def mounted(folder: Path, size: str = "8m") -> Iterator[Disk]:
    """A tmpfs of ``size`` at ``folder``; skips the test where it cannot be mounted."""
    folder.mkdir()
    try:
        _mount("-t", "tmpfs", "-o", f"size={size}", "resbench-test", str(folder))
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a file system takes root, on Linux")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def injected(folder: Path) -> Iterator[None]:
    """Nothing that is written below ``folder`` reaches the disk: every fsync there finds it full."""
    real = os.fsync

    def full(descriptor: int) -> None:
        place = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if place.is_relative_to(folder.resolve()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", full)
        yield
