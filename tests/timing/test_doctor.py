"""The doctor looks, judges, says what to do, and changes nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
import typer
from typer.testing import CliRunner

from resbench.commands.doctor import doctor
from resbench.errors import UserError
from resbench.timing import doctor as module
from resbench.timing.doctor import diagnose, findings_json, findings_table
from resbench.timing.findings import Finding, cpu_findings, general_findings, gpu_findings
from resbench.timing.worker.seen import MachineState

WELL: dict[str, Any] = {
    "cpu": {
        **{"name": "AMD EPYC 7763", "usable": 8, "threads": 8, "quota": None, "smt": False, "virtual": False},
        **{"governor": "performance", "turbo": False, "caches": {"L1d": 2**15, "L3": 2**25}},
    },
    "system": {
        **{"name": "Linux", "release": "6.1", "architecture": "x86_64"},
        **{"huge_pages": "madvise", "aslr": 2, "clocksource": "tsc"},
    },
    "torch": {"version": "2.15.0", "cuda": None, "threads": 8, "vectors": "AVX2"},
    "gpu": None,
}
IDLE = MachineState(load=0.0, others=0.0, stolen=0.0, cpu_temperature=40.0)
GPU: dict[str, Any] = {
    **{"name": "NVIDIA H200", "count": 1, "memory": 140 * 2**30, "capability": "9.0", "watched": True},
    **{"driver": "595.10", "driver_cuda": "13.2", "persistence": True, "mig": False, "ecc": True},
    "slowdown_temperature": 89,
}
GPU_WELL: dict[str, Any] = {
    **{"sm_mhz": 1500.0, "sm_mhz_max": 1980.0, "memory_mhz": 3201.0, "throttle": ("applications_clocks_setting",)},
    **{"power": 90.0, "power_cap": 700.0, "power_cap_default": 700.0, "gpu_temperature": 40.0, "gpu_processes": 0},
}


def changed(topic: str, **values: Any) -> dict[str, Any]:
    return WELL | {topic: WELL[topic] | values}


def complaints(findings: list[Finding]) -> dict[str, str]:
    return {finding.topic: finding.grade for finding in findings if finding.grade != "ok"}


def test_a_machine_that_is_set_up_well() -> None:
    assert complaints(cpu_findings(WELL, IDLE)) == {}
    assert complaints(gpu_findings(GPU, MachineState(**GPU_WELL))) == {}


@pytest.mark.parametrize(
    ("machine", "topic", "grade"),
    [
        (changed("cpu", usable=4), "threads", "problem"),
        (changed("cpu", quota=2.5), "threads", "problem"),
        (WELL | {"cpu": WELL["cpu"] | {"quota": 2.0}, "torch": WELL["torch"] | {"threads": 2}}, "threads", "note"),
        (changed("cpu", virtual=True), "virtual machine", "note"),
        (changed("cpu", governor="powersave"), "frequency governor", "note"),
        (changed("cpu", turbo=True), "turbo", "note"),
        (changed("cpu", smt=True), "SMT", "note"),
        (changed("system", aslr=0), "address layout", "note"),
        (changed("system", clocksource="hpet"), "clock source", "problem"),
    ],
)
def test_what_is_wrong_with_a_processor(machine: dict[str, Any], topic: str, grade: str) -> None:
    findings = cpu_findings(machine, IDLE)
    assert complaints(findings) == {topic: grade}
    assert all(finding.action for finding in findings if finding.grade != "ok")


@pytest.mark.parametrize(
    ("state", "topic"),
    [(MachineState(others=0.5), "other programs"), (MachineState(others=0.0, stolen=0.06), "stolen time")],
)
def test_what_is_wrong_at_the_moment(state: MachineState, topic: str) -> None:
    assert complaints(cpu_findings(WELL, state)) == {topic: "problem"}


@pytest.mark.parametrize(
    ("gpu", "state", "topic", "grade"),
    [
        ({"persistence": False}, {}, "persistence mode", "note"),
        ({"mig": True}, {}, "MIG", "note"),
        ({"watched": False}, {}, "GPU state", "problem"),
        ({}, {"power_cap": 500.0}, "power limit", "problem"),
        ({}, {"throttle": ()}, "GPU clocks", "note"),
        ({}, {"throttle": ("applications_clocks_setting", "hw_slowdown")}, "GPU slowed down", "problem"),
        ({}, {"gpu_temperature": 89.0}, "GPU temperature", "problem"),
        ({}, {"gpu_processes": 3}, "GPU's other processes", "problem"),
    ],
)
def test_what_is_wrong_with_a_gpu(gpu: dict[str, Any], state: dict[str, Any], topic: str, grade: str) -> None:
    findings = gpu_findings(GPU | gpu, MachineState(**(GPU_WELL | state)))
    assert complaints(findings) == {topic: grade}
    assert all(finding.action for finding in findings if finding.grade != "ok")


def test_what_is_not_known_is_left_out() -> None:
    unknown = {
        "cpu": dict.fromkeys(WELL["cpu"]) | {"name": "arm", "usable": 8, "threads": 8, "caches": {}},
        "system": dict.fromkeys(WELL["system"]),
        "torch": WELL["torch"],
    }
    assert {finding.topic for finding in cpu_findings(unknown, MachineState())} == {
        *("CPU", "CPU caches", "vector instructions", "threads")
    }
    blank = dict.fromkeys(GPU) | {"name": "GPU", "count": 2, "memory": 2**30, "capability": "8.0", "watched": True}
    assert complaints(gpu_findings(blank, MachineState())) == {}


def test_no_gpu_is_no_problem() -> None:
    (finding,) = gpu_findings(None, IDLE)
    assert (finding.topic, finding.grade) == ("GPU", "ok")


def test_a_dirty_checkout_is_noted() -> None:
    environment = {"python": "3.11", "cpu": "AMD EPYC 7763", "machine": WELL, "git": {"commit": "a", "dirty": True}}
    assert complaints(general_findings(environment)) == {"resbench": "note"}
    assert complaints(general_findings(environment | {"git": None})) == {}


def test_the_table_fits_80_columns_and_counts() -> None:
    findings = [
        *cpu_findings(changed("cpu", virtual=True, governor="powersave", usable=2), MachineState(others=1.3)),
        *gpu_findings(GPU | {"persistence": False}, MachineState(**(GPU_WELL | {"throttle": ("sw_power_cap",)}))),
    ]
    lines = findings_table(findings).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "3 problems, 4 notes; nothing was changed"
    assert any(line.startswith("problem  other programs") for line in lines)
    below = next(index for index, line in enumerate(lines) if "powersave" in line) + 1
    assert lines[below].split() == "-> sudo cpupower frequency-set -g performance".split()


def test_json_holds_the_same() -> None:
    findings = [Finding("a", "b"), Finding("c", "d", "problem", "e")]
    assert json.loads(findings_json(findings)) == [
        {"topic": "a", "fact": "b", "grade": "ok", "action": ""},
        {"topic": "c", "fact": "d", "grade": "problem", "action": "e"},
    ]


def test_this_machine() -> None:
    slept = list[float]()
    findings = diagnose(sleep=slept.append)
    assert slept == [module.WATCH]
    topics = [finding.topic for finding in findings]
    assert len(set(topics)) == len(topics)
    assert {"baseline name", "CPU", "GPU", "threads"} <= set(topics)
    assert "GPU" not in [finding.topic for finding in diagnose("cpu", sleep=slept.append)]


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="torch finds no GPU here"):
        diagnose("cuda", sleep=lambda _: None)
    with pytest.raises(UserError, match="cpu or cuda"):
        diagnose("tpu", sleep=lambda _: None)


def test_a_gpu_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: Any, **__: Any) -> None:
        raise RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable\nCUDA kernel errors might ...")

    found = {"cpu": "AMD EPYC 7763", "gpu": "NVIDIA H200", "machine": WELL | {"gpu": GPU | {"watched": False}}}
    monkeypatch.setattr("resbench.timing.worker.machine.facts", lambda: found)
    monkeypatch.setattr(torch, "zeros", busy)
    last = diagnose("cuda", sleep=lambda _: None)[-1]
    assert (last.fact, last.grade) == ("CUDA error: all CUDA-capable devices are busy or unavailable", "problem")


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    monkeypatch.setattr(module, "diagnose", lambda device: [Finding("device", str(device), "problem", "none")])
    app = typer.Typer()
    app.command()(doctor)
    return app


def test_the_command_ends_well_whatever_it_finds(app: typer.Typer) -> None:
    done = CliRunner().invoke(app, ["--device", "cpu"])
    assert (done.exit_code, done.stdout.splitlines()[0]) == (0, "problem  device  cpu")
    done = CliRunner().invoke(app, ["--format", "json"])
    assert (done.exit_code, json.loads(done.stdout)[0]["fact"]) == (0, "None")


def test_a_format_that_does_not_exist(app: typer.Typer) -> None:
    assert CliRunner().invoke(app, ["--format", "yaml"]).exit_code == 2
