"""Names for machines, and what two of them differ in.

A run's environment is :func:`resbench.records.environment.environment` with
:func:`resbench.timing.worker.machine.facts` over it.  What is missing there (in a run read from another tool's file) is
unknown, not different.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["differences", "fingerprint", "same_machine", "size_text"]

_AMD = (
    (0x17, 0x00, 0x0F, "epyc-7xx1"),  # Naples
    (0x17, 0x30, 0x3F, "epyc-7xx2"),  # Rome
    (0x19, 0x00, 0x0F, "epyc-7xx3"),  # Milan
    (0x19, 0x10, 0x1F, "epyc-9xx4"),  # Genoa
    (0x19, 0xA0, 0xAF, "epyc-9xx4"),  # Bergamo, Siena
    (0x1A, 0x00, 0x1F, "epyc-9xx5"),  # Turin
)
"""Family, first and last model of AMD's server generations (CPUID function 1; Linux, arch/x86/kernel/cpu/amd.c), for
virtual machines whose processor calls itself only "AMD EPYC"."""

_INTEL = {
    0x4F: "xeon-broadwell",
    0x55: "xeon-skylake",  # Cascade Lake and Cooper Lake differ from it only in stepping
    0x6A: "xeon-icelake",
    0x8F: "xeon-sapphirerapids",
    0xCF: "xeon-emeraldrapids",
    0xAD: "xeon-graniterapids",
}
"""Models of family 6 (Linux, arch/x86/include/asm/intel-family.h), for "Intel(R) Xeon(R) Processor @ 2.70GHz"."""

_ARM = {"0xd0c": "neoverse-n1", "0xd40": "neoverse-v1", "0xd49": "neoverse-n2", "0xd4f": "neoverse-v2"}
"""Parts of implementer 0x41 (Arm's Main ID Register; Linux, arch/arm64/include/asm/cputype.h): ARM gives no name."""

_NOISE = re.compile(r"\((r|tm|c)\)|\b(amd|intel|nvidia|geforce|cpu|processor|\d+-core|with .*)\b|@.*", re.IGNORECASE)
"""What names say besides the model."""

_HARDWARE = {
    "CPU": ("cpu", "name"),
    "CPU family": ("cpu", "family"),
    "CPU model": ("cpu", "model"),
    "CPU part": ("cpu", "part"),
    "CPU sockets": ("cpu", "sockets"),
    "CPU threads": ("cpu", "threads"),
    "cores of the control group": ("cpu", "quota"),
    "SMT": ("cpu", "smt"),
    "CPU caches": ("cpu", "caches"),
    "virtual machine": ("cpu", "virtual"),
    "architecture": ("system", "architecture"),
    "GPU": ("gpu", "name"),
    "compute capability": ("gpu", "capability"),
    "multiprocessors": ("gpu", "multiprocessors"),
    "GPU memory": ("gpu", "memory"),
    "L2 cache": ("gpu", "l2"),
    "highest SM clock": ("gpu", "sm_mhz_max"),
    "default power limit": ("gpu", "power_cap_default"),
    "MIG": ("gpu", "mig"),
}
"""What makes it another machine: a program's user does not choose it."""

_SIZES = ("CPU caches", "GPU memory", "L2 cache")

_SETTINGS = {
    "GPU driver": ("gpu", "driver"),
    "power limit": ("gpu", "power_cap"),
    "ECC": ("gpu", "ecc"),
    "persistence mode": ("gpu", "persistence"),
    "usable CPUs": ("cpu", "usable"),
    "vector instructions": ("torch", "vectors"),
    "governor": ("cpu", "governor"),
    "turbo": ("cpu", "turbo"),
    "kernel": ("system", "release"),
    "transparent huge pages": ("system", "huge_pages"),
    "address randomisation": ("system", "aslr"),
    "clock source": ("system", "clocksource"),
    "torch's CUDA": ("torch", "cuda"),
    "cuDNN": ("torch", "cudnn"),
    "torch's threads": ("torch", "threads"),
}
"""What the same machine may have otherwise."""

_UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def fingerprint(environment: Mapping[str, Any]) -> str:
    """The name of machine and torch, for files: ``cpu-epyc-9xx4-torch2.15``, ``gpu-h200-torch2.15-cu132``.

    The GPU's where torch has one.  A processor is named by its own name if that says which model it is, else by the
    numbers that it gives itself.  Lower-case letters, digits, dots and hyphens; the same wherever and whenever it is
    asked.  The number of cores is no part of it: see :func:`same_machine`.
    """
    machine = _machine(environment)
    gpu = machine["gpu"].get("name")
    parts = [f"gpu-{_slug(gpu) or 'unknown'}" if gpu else f"cpu-{_cpu(machine['cpu'])}"]
    # "2.15.0+cu132": the third number is for corrections only.
    version, _, build = str(_torch(environment)).partition("+")
    parts.append(f"torch{_safe('.'.join(version.split('.')[:2]))}")
    if gpu and build:
        parts.append(_safe(build))
    return "-".join(parts)


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What two environments differ in: (what, in the first, in the second); hardware first, then settings, versions.

    A side that does not know it says ``unknown``; what neither knows is left out.  The code under test (resbench
    itself, its commit) is not part of the machine.
    """
    one, other = _flat(a), _flat(b)
    return [
        (what, _text(one.get(what), what in _SIZES), _text(other.get(what), what in _SIZES))
        for what in dict.fromkeys([*_HARDWARE, *_SETTINGS, *one, *other])
        if one.get(what) != other.get(what)
    ]


def same_machine(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether times of both may be compared: the hardware that both know is equal, and both know their processor.

    Two virtual machines of one type are the same by this, although their hosts may not be; two numbers of CPUs are not.
    """
    one, other = _known(_machine(a), _HARDWARE), _known(_machine(b), _HARDWARE)
    if "CPU" not in one or "CPU" not in other:
        return False
    if a.get("machine") and b.get("machine") and ("GPU" in one) != ("GPU" in other):
        return False
    return all(one[what] == other[what] for what in one.keys() & other.keys())


def _machine(environment: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The facts by topic; where there are none, what :func:`environment` itself knows."""
    facts = environment.get("machine") or {}
    topics = {topic: dict(facts.get(topic) or {}) for topic in ("cpu", "system", "torch", "gpu")}
    if not facts:
        simple = {"cpu": ("name", environment.get("cpu")), "gpu": ("name", environment.get("gpu"))}
        for topic, (name, value) in simple.items():
            topics[topic] = {name: value} if isinstance(value, str) else {}
        if isinstance(environment.get("cores"), int):
            topics["cpu"]["threads"] = environment["cores"]
    return topics


def _torch(environment: Mapping[str, Any]) -> object:
    packages = environment.get("packages") or {}
    return _machine(environment)["torch"].get("version") or packages.get("torch") or "unknown"


def _known(machine: Mapping[str, Mapping[str, Any]], names: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    found = {what: machine[topic].get(name) for what, (topic, name) in names.items()}
    return {what: value for what, value in found.items() if value is not None}


def _flat(environment: Mapping[str, Any]) -> dict[str, Any]:
    machine = _machine(environment)
    packages = dict(environment.get("packages") or {})
    packages.pop("resbench", None)
    if "version" in machine["torch"]:
        packages["torch"] = machine["torch"]["version"]  # the worker's, which may run another revision's packages
    versions = {"Python": environment.get("python"), **packages}
    known = {what: value for what, value in versions.items() if value is not None}
    return _known(machine, _HARDWARE) | _known(machine, _SETTINGS) | known


def _cpu(cpu: Mapping[str, Any]) -> str:
    name = _slug(str(cpu.get("name") or ""))
    # A model has a digit in its name: "epyc-7763", "apple-m2"; "epyc" and "xeon" are what clouds leave of it.
    if re.search(r"\d", name) and cpu.get("part") is None:
        return name
    family, model = cpu.get("family"), cpu.get("model")
    if cpu.get("vendor") == "AuthenticAMD" and isinstance(family, int) and isinstance(model, int):
        for known, first, last, generation in _AMD:
            if family == known and first <= model <= last and "epyc" in name:
                return generation
    if cpu.get("vendor") == "GenuineIntel" and family == 6 and "xeon" in name and model in _INTEL:
        return _INTEL[model]
    if cpu.get("part"):
        return _ARM.get(str(cpu["part"])) or f"arm-{_slug(str(cpu.get('vendor')))}-{_slug(str(cpu['part']))}"
    numbers = f"-{family}-{model}" if family is not None and model is not None else ""
    return f"{name or 'unknown'}{numbers}"


def _slug(name: str) -> str:
    return _safe(_NOISE.sub(" ", name))


def _safe(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")


def _text(value: object, size: bool = False) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(part, size)}" for name, part in value.items())
    if isinstance(value, int) and size:
        return size_text(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def size_text(number: int) -> str:
    """``32 KiB``, ``139.8 GiB``: four digits at most."""
    unit, name = next(((unit, name) for unit, name in _UNITS if number >= unit), (1, "bytes"))
    return f"{number / unit:.4g} {name}"
