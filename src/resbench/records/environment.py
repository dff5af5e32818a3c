"""Where a measurement was made: versions, machine, git state.  Nothing secret: no environment variables, no paths."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

__all__ = ["environment"]

_PACKAGES = ("resbench", "torch", "torchvision", "numpy", "scipy", "scikit-learn")


@lru_cache(maxsize=1)
def environment() -> dict[str, object]:
    """Versions, machine and git state of this process; imports nothing heavy."""
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "gpu": _gpu(),
        "git": _git(),
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _gpu() -> str | None:
    """The GPU that torch sees, if torch is loaded: asking must not import it."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return str(torch.cuda.get_device_name())


def _git() -> dict[str, object] | None:
    """Commit and dirtiness of the checkout that this package lies in; None where it is installed."""
    folder = Path(__file__).resolve().parent

    def ask(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = ask("rev-parse", "HEAD")
    # A checkout that merely contains an installed package (a virtual environment) is not ours.
    if not commit or ask("ls-files", "--error-unmatch", str(Path(__file__).resolve())) is None:
        return None
    return {"commit": commit, "dirty": bool(ask("status", "--porcelain", "--untracked-files=no"))}
