"""The processor and the system's settings, from /proc and /sys; whatever is not there is None."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

__all__ = ["cpu_facts", "read", "system_facts", "torch_facts"]

_SIZES = {"K": 2**10, "M": 2**20, "G": 2**30}


def read(path: Path) -> str:
    """The file's text without surrounding white space; empty if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def cpu_facts(root: Path = Path("/")) -> dict[str, Any]:
    """Name and numbers of the processor, and how much of it this process may use.

    ``threads``: that the machine has.  ``usable``: that this process may run on.  ``quota``: cores' worth of time that
    its control group may use.  ``smt``: whether two threads share a core.  ``caches``: bytes of one instance.
    """
    cpus = root / "sys/devices/system/cpu"
    info = read(root / "proc/cpuinfo")
    first = _fields(info.split("\n\n")[0])
    return {
        "name": first.get("model name") or platform.processor() or platform.machine(),
        "vendor": first.get("vendor_id") or first.get("CPU implementer"),
        "family": _integer(first.get("cpu family")),
        "model": _integer(first.get("model")),
        "stepping": _integer(first.get("stepping")),
        "part": first.get("CPU part"),
        "sockets": len(set(re.findall(r"^physical id\s*:\s*(\d+)", info, re.MULTILINE))) or None,
        "threads": os.cpu_count(),
        "usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "quota": _quota(root),
        "smt": {"1": True, "0": False}.get(read(cpus / "smt/active")),
        "caches": _caches(cpus / "cpu0/cache"),
        "virtual": "hypervisor" in first["flags"].split() if "flags" in first else None,
        "governor": read(cpus / "cpu0/cpufreq/scaling_governor") or None,
        "turbo": _turbo(cpus),
    }


def system_facts(root: Path = Path("/")) -> dict[str, Any]:
    """Settings of the operating system that move timings.

    ``huge_pages``: of transparent huge pages, the chosen mode.  ``aslr``: 2 is full address randomisation.
    """
    chosen = re.search(r"\[(\w+)\]", read(root / "sys/kernel/mm/transparent_hugepage/enabled"))
    memory = re.search(r"^MemTotal:\s*(\d+) kB", read(root / "proc/meminfo"), re.MULTILINE)
    return {
        "name": platform.system(),
        "release": platform.release(),
        "architecture": platform.machine(),
        "memory": int(memory[1]) * 1024 if memory else None,
        "huge_pages": chosen[1] if chosen else None,
        "aslr": _integer(read(root / "proc/sys/kernel/randomize_va_space")),
        "clocksource": read(root / "sys/devices/system/clocksource/clocksource0/current_clocksource") or None,
    }


def torch_facts() -> dict[str, Any]:
    """Versions that torch was built with, the vector instructions that it uses, and its default number of threads."""
    import torch

    cudnn = torch.backends.cudnn.version() if torch.version.cuda else None
    return {
        "version": str(torch.__version__),
        "cuda": torch.version.cuda,
        "cudnn": cudnn,
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }


def _fields(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _integer(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _caches(folder: Path) -> dict[str, int]:
    """``{"L1d": 32768, "L2": 1048576, ...}`` of the first processor; instructions' caches are left out."""
    found = {}
    for index in sorted(folder.glob("index*")):
        level, kind, size = read(index / "level"), read(index / "type"), read(index / "size")
        if kind != "Instruction" and size[:-1].isdigit() and size[-1] in _SIZES:
            found[f"L{level}{'d' if kind == 'Data' else ''}"] = int(size[:-1]) * _SIZES[size[-1]]
    return found


def _turbo(cpus: Path) -> bool | None:
    """Whether clocks above the nominal one are allowed."""
    disabled = read(cpus / "intel_pstate/no_turbo")
    if disabled:
        return disabled == "0"
    return {"1": True, "0": False}.get(read(cpus / "cpufreq/boost"))


def _quota(root: Path) -> float | None:
    """The least time, in cores, that this process's control group and those above it may use; None without a limit."""
    limits = []
    for line in read(root / "proc/self/cgroup").splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0":
            limits += [_unified(folder) for folder in _upwards(root / "sys/fs/cgroup", path)]
        elif "cpu" in controllers.split(","):
            limits += [_first_version(folder) for folder in _upwards(root / "sys/fs/cgroup/cpu", path)]
    return min((limit for limit in limits if limit is not None), default=None)


def _upwards(mount: Path, path: str) -> list[Path]:
    """The group's folder and those above it; in a container, where the path may be the host's, the mount is its own."""
    inner = mount / path.strip("/")
    return [inner, *(parent for parent in inner.parents if parent.is_relative_to(mount))]


def _unified(folder: Path) -> float | None:
    allowed, _, period = read(folder / "cpu.max").partition(" ")
    return int(allowed) / int(period) if allowed.isdigit() and period.isdigit() else None


def _first_version(folder: Path) -> float | None:
    allowed, period = read(folder / "cpu.cfs_quota_us"), read(folder / "cpu.cfs_period_us")
    return int(allowed) / int(period) if allowed.isdigit() and period.isdigit() else None
