"""Under which names a run's machine and software stand in asv's results.

asv makes a series of every combination of a result's parameters, so they hold what separates series (CPU, GPU, driver,
Python, torch) and nothing that changes by itself, such as the kernel's version or a path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resbench.errors import UserError
from resbench.timing.record import TimingRun

__all__ = ["Machine", "machine_of", "same_hardware"]

_HARDWARE = ("arch", "cpu", "num_cpu", "gpu")
"""Two machines that differ in one of these are two machines; drivers and libraries are updated."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True)
class Machine:
    """``facts``: asv's machine.json.  ``environment``: asv's env_name, with no path in it.

    ``parameters``: what every result repeats: the facts but the memory, Python and torch.
    """

    name: str
    environment: str
    facts: dict[str, str]
    parameters: dict[str, str]


def machine_of(run: TimingRun, name: str = "") -> Machine:
    """From the run's fingerprint, ``cpu-epyc-7xx3-torch2.15``: machine ``cpu-epyc-7xx3``, ``resbench-torch2.15-cpu``.

    Raises:
        UserError: the fingerprint or ``name`` cannot be a folder's name.
    """
    hardware, _, software = run.fingerprint.partition("-torch")
    if not _NAME.fullmatch(software):
        raise UserError(f"{run.name}: '{run.fingerprint}' is no fingerprint of machine and torch: measure again")
    name = name or hardware
    if not _NAME.fullmatch(name):
        raise UserError(f"'{name}' is no name for a machine: letters, digits, '.', '_', '+' and '-'")
    facts = {"machine": name, **_facts(run.environment)}
    packages = run.environment.get("packages") or {}
    parameters = {key: value for key, value in facts.items() if key != "ram"} | {
        "python": ".".join(str(run.environment.get("python", "")).split(".")[:2]),
        "torch": str(packages.get("torch") or ""),
    }
    return Machine(name, f"resbench-torch{software}" + ("" if "-" in software else "-cpu"), facts, parameters)


def _facts(environment: Mapping[str, Any]) -> dict[str, str]:
    """Empty ones are left out, so that machines without a GPU have no selector for it."""
    # The worker's facts are groups; without them there are the plain values of records.environment.
    cpu, system, gpu, torch = (environment.get(name) for name in ("cpu", "system", "gpu", "torch"))
    name, _, arch = system.partition(" ") if isinstance(system, str) else ("", "", "")
    known = {
        "os": _in(system, "name") or name,
        "arch": _in(system, "architecture") or arch,
        "cpu": _in(cpu, "name") or cpu,
        "num_cpu": _in(cpu, "threads") or environment.get("cores"),
        "ram": _gibibytes(_in(system, "memory")),
        "gpu": _in(gpu, "name") or gpu,
        "driver": _in(gpu, "driver"),
        "cuda": _in(torch, "cuda") if gpu else None,
    }
    return {key: str(value) for key, value in known.items() if value}


def _in(group: object, key: str) -> Any:
    return group.get(key) if isinstance(group, Mapping) else None


def _gibibytes(size: object) -> str:
    """Rounded: a kernel's update takes or gives some megabytes, and that is no other machine."""
    return f"{round(size / 2**30)} GiB" if isinstance(size, int) else ""


def same_hardware(there: Mapping[str, Any], machine: Machine, path: Path) -> None:
    """Raises: UserError if ``there``, the machine.json at ``path``, describes another machine."""
    for key in _HARDWARE:
        old, new = str(there.get(key, "")), machine.facts.get(key, "")
        if old != new:
            raise UserError(
                f"{path.parent} holds another machine's results ({key}: {old or 'none'}, not {new or 'none'}): "
                "give this machine another name with --machine"
            )
