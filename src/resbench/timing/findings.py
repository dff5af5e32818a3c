"""What a machine's facts and state say about timings made on it, one line each; pure functions of what was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from resbench.timing.fingerprint import fingerprint, size_text
from resbench.timing.health import OTHERS, SLOWING, STOLEN
from resbench.timing.worker.seen import MachineState

__all__ = ["Finding", "cpu_findings", "general_findings", "gpu_findings"]

Grade = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """``grade``: ``note`` can move timings, ``problem`` does.  ``action``: what to do about it; empty if nothing."""

    topic: str
    fact: str
    grade: Grade = "ok"
    action: str = ""


def general_findings(environment: Mapping[str, Any]) -> list[Finding]:
    """Versions, and the name under which a baseline of this machine is kept."""
    torch, system = environment["machine"]["torch"], environment["machine"]["system"]
    cuda = f", CUDA {torch['cuda']}" if torch["cuda"] else ""
    findings = [
        Finding("baseline name", fingerprint(environment)),
        Finding("software", f"Python {environment['python']}, torch {torch['version']}{cuda}"),
        Finding("system", f"{system['name']} {system['release']}, {system['architecture']}"),
    ]
    git = environment.get("git")
    if git and git["dirty"]:
        findings.append(
            Finding(
                "resbench", "uncommitted changes", "note", "commit before measuring history: resbench export refuses"
            )
        )
    return findings


def cpu_findings(machine: Mapping[str, Any], state: MachineState) -> list[Finding]:
    """``machine``: the details of :func:`resbench.timing.worker.machine.facts`."""
    cpu = machine["cpu"]
    caches = ", ".join(f"{name} {size_text(size)}" for name, size in cpu["caches"].items())
    findings = [
        Finding("CPU", f"{cpu['name']}, {cpu['usable']} of {cpu['threads']} CPUs usable"),
        Finding("CPU caches", caches or "unknown"),
        Finding("vector instructions", machine["torch"]["vectors"]),
        _quota(cpu, machine["torch"]),
        _others(state),
        _stolen(state),
        _virtual(cpu),
        _governor(cpu),
        _turbo(cpu),
        _smt(cpu),
        _huge_pages(machine["system"]),
        _aslr(machine["system"]),
        _clocksource(machine["system"]),
        _temperature(state),
    ]
    return [finding for finding in findings if finding is not None]


def gpu_findings(gpu: Mapping[str, Any] | None, state: MachineState) -> list[Finding]:
    """``gpu``: as in the details of :func:`resbench.timing.worker.machine.facts`; None: torch has none."""
    if gpu is None:
        return [Finding("GPU", "none that torch can use: cases of device cuda are not measured here")]
    several = f", first of {gpu['count']}" if gpu["count"] > 1 else ""
    what = f"{gpu['name']}{several}, {size_text(gpu['memory'])}, compute capability {gpu['capability']}"
    findings = [Finding("GPU", what)]
    if not gpu["watched"]:
        action = "pip install 'resbench[bench]' (nvidia-ml-py); it needs the driver's libnvidia-ml"
        return [*findings, Finding("GPU state", "cannot be read: clocks and power are not recorded", "problem", action)]
    driver = f"{gpu['driver']}, for CUDA up to {gpu['driver_cuda']}"
    return [
        *findings,
        Finding("GPU driver", driver),
        *(finding for finding in _gpu_settings(gpu, state) if finding is not None),
    ]


def _gpu_settings(gpu: Mapping[str, Any], state: MachineState) -> list[Finding | None]:
    return [
        _switch("persistence mode", gpu["persistence"], True, "note", "sudo nvidia-smi -pm 1: else the driver unloads"),
        _switch(
            "MIG", gpu["mig"], False, "note", "a slice is another machine than the whole GPU: compare like with like"
        ),
        _switch("ECC", gpu["ecc"], None, "ok", ""),
        _power(state),
        _clocks(state),
        _throttle(state),
        _gpu_heat(gpu, state),
        _gpu_processes(state),
    ]


def _quota(cpu: Mapping[str, Any], torch: Mapping[str, Any]) -> Finding:
    threads, quota, usable = torch["threads"], cpu["quota"], cpu["usable"]
    available = min(usable, quota) if quota is not None else usable
    if threads > available:
        fact = f"torch uses {threads} threads, but {available:g} cores are to be had"
        return Finding("threads", fact, "problem", f"export OMP_NUM_THREADS={max(1, int(available))}")
    if quota is not None and quota < usable:
        action = "a container's quota pauses it in the middle of a step: give it whole CPUs (--cpuset-cpus)"
        return Finding("threads", f"{quota:g} cores of {usable} by the control group's quota", "note", action)
    return Finding("threads", f"torch uses {threads} by default; each case sets its own")


def _others(state: MachineState) -> Finding | None:
    if state.others is None:
        return None
    fact = f"use {state.others:.1f} cores at this moment"
    if state.others < OTHERS:
        return Finding("other programs", fact)
    return Finding("other programs", fact, "problem", "stop them (top shows them), or compare by resbench ab")


def _stolen(state: MachineState) -> Finding | None:
    if not state.stolen:
        return None
    fact = f"{state.stolen:.2f} cores are given to other virtual machines"
    if state.stolen < STOLEN:
        return Finding("stolen time", fact)
    return Finding("stolen time", fact, "problem", "use a machine with cores of its own, or compare by resbench ab")


def _virtual(cpu: Mapping[str, Any]) -> Finding | None:
    if not cpu["virtual"]:
        return None
    action = "its host's other guests are not seen here: compare by resbench ab rather than by runs of different times"
    return Finding("virtual machine", "neither clocks nor temperatures can be read", "note", action)


def _governor(cpu: Mapping[str, Any]) -> Finding | None:
    if cpu["governor"] is None:
        return None
    if cpu["governor"] == "performance":
        return Finding("frequency governor", "performance")
    return Finding("frequency governor", cpu["governor"], "note", "sudo cpupower frequency-set -g performance")


def _turbo(cpu: Mapping[str, Any]) -> Finding | None:
    if cpu["turbo"] is None:
        return None
    if not cpu["turbo"]:
        return Finding("turbo", "off")
    action = "the clock depends on heat and on how many cores are busy; pyperf system tune turns it off"
    return Finding("turbo", "on", "note", action)


def _smt(cpu: Mapping[str, Any]) -> Finding | None:
    if cpu["smt"] is None:
        return None
    if not cpu["smt"]:
        return Finding("SMT", "off: every CPU is a core")
    return Finding("SMT", "on: two CPUs share a core", "note", "time at most as many threads as there are cores")


def _huge_pages(system: Mapping[str, Any]) -> Finding | None:
    mode = system["huge_pages"]
    return None if mode is None else Finding("transparent huge pages", mode)


def _aslr(system: Mapping[str, Any]) -> Finding | None:
    if system["aslr"] is None:
        return None
    if system["aslr"] == 2:
        return Finding("address layout", "random in each process")
    action = "sudo sysctl kernel.randomize_va_space=2: one layout, repeated, looks more precise than it is"
    return Finding("address layout", "not (wholly) random", "note", action)


def _clocksource(system: Mapping[str, Any]) -> Finding | None:
    source = system["clocksource"]
    if source is None:
        return None
    if source in ("hpet", "acpi_pm", "jiffies"):
        action = "a slow, coarse clock: see the kernel's log for why it does not use the processor's (tsc)"
        return Finding("clock source", source, "problem", action)
    return Finding("clock source", source)


def _temperature(state: MachineState) -> Finding | None:
    return None if state.cpu_temperature is None else Finding("CPU temperature", f"{state.cpu_temperature:.0f} C")


def _switch(topic: str, value: bool | None, wanted: bool | None, grade: Grade, action: str) -> Finding | None:
    if value is None:
        return None
    word = "on" if value else "off"
    return Finding(topic, word) if wanted is None or value is wanted else Finding(topic, word, grade, action)


def _power(state: MachineState) -> Finding | None:
    cap, default = state.power_cap, state.power_cap_default
    if cap is None:
        return None
    drawn = f", draws {state.power:.0f} W" if state.power is not None else ""
    if default is None or cap >= default:
        return Finding("power limit", f"{cap:.0f} W{drawn}")
    action = f"sudo nvidia-smi -pl {default:.0f}"
    return Finding("power limit", f"{cap:.0f} W, of {default:.0f} by default{drawn}", "problem", action)


def _clocks(state: MachineState) -> Finding | None:
    if state.sm_mhz is None or state.sm_mhz_max is None:
        return None
    fact = f"SM {state.sm_mhz:.0f} MHz of {state.sm_mhz_max:.0f}"
    if state.memory_mhz is not None:
        fact += f", memory {state.memory_mhz:.0f} MHz"
    if "applications_clocks_setting" in state.throttle:
        return Finding("GPU clocks", f"{fact}; set by hand")
    action = "for the steadiest times lock one that the power limit can hold: sudo nvidia-smi -lgc MHZ (undo: -rgc)"
    return Finding("GPU clocks", f"{fact}; not locked", "note", action)


def _throttle(state: MachineState) -> Finding | None:
    slowed = [reason for reason in state.throttle if reason in SLOWING]
    if not slowed:
        return Finding("GPU slowed down", "no")
    return Finding(
        "GPU slowed down", ", ".join(slowed), "problem", "see nvidia-smi -q -d PERFORMANCE,POWER,TEMPERATURE"
    )


def _gpu_heat(gpu: Mapping[str, Any], state: MachineState) -> Finding | None:
    if state.gpu_temperature is None:
        return None
    limit = gpu["slowdown_temperature"]
    fact = f"{state.gpu_temperature:.0f} C" + (f", slows down from {limit:.0f} C" if limit is not None else "")
    if limit is not None and state.gpu_temperature >= limit:
        return Finding("GPU temperature", fact, "problem", "improve the cooling")
    return Finding("GPU temperature", fact)


def _gpu_processes(state: MachineState) -> Finding | None:
    if state.gpu_processes is None:
        return None
    if not state.gpu_processes:
        return Finding("GPU's other processes", "none")
    return Finding("GPU's other processes", str(state.gpu_processes), "problem", "stop them (nvidia-smi lists them)")
