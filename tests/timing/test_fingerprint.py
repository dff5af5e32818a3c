"""Machines' names and differences."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

import pytest

from resbench.records.environment import environment
from resbench.timing.fingerprint import differences, fingerprint, same_machine
from resbench.timing.worker.machine import facts

TORCH = "2.15.0+cu132"


def made(name: str = "AMD EPYC", gpu: str | None = None, torch: str = TORCH, **cpu: Any) -> dict[str, Any]:
    """An environment of a run."""
    numbers = {"vendor": "AuthenticAMD", "family": 25, "model": 17, "threads": 2, "caches": {"L3": 32 * 2**20}}
    return {
        "python": "3.11.7",
        "packages": {"resbench": "0.1.0", "torch": torch, "numpy": "2.1"},
        "cpu": name,
        "cores": 2,
        "gpu": gpu,
        "git": {"commit": "abc", "dirty": False},
        "machine": {
            "cpu": {"name": name, **numbers, **cpu},
            "system": {"architecture": "x86_64", "aslr": 2},
            "torch": {"version": torch, "threads": 2},
            "gpu": {"name": gpu, "memory": 150 * 2**30, "mig": False, "driver": "595"} if gpu else None,
        },
    }


@pytest.mark.parametrize(
    ("family", "model", "name"),
    [
        (23, 1, "epyc-7xx1"),
        (23, 49, "epyc-7xx2"),
        (25, 1, "epyc-7xx3"),
        (25, 17, "epyc-9xx4"),
        (25, 160, "epyc-9xx4"),
        (26, 2, "epyc-9xx5"),
        (99, 3, "epyc-99-3"),
    ],
)
def test_a_processor_without_its_model_is_named_by_its_numbers(family: int, model: int, name: str) -> None:
    assert fingerprint(made(family=family, model=model)) == f"cpu-{name}-torch2.15"


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("AMD EPYC 7763 64-Core Processor", "epyc-7763"),
        ("AMD EPYC-Genoa Processor", "epyc-9xx4"),
        ("AMD Ryzen 7 5800H with Radeon Graphics", "ryzen-7-5800h"),
        ("Intel(R) Xeon(R) Platinum 8480+", "xeon-platinum-8480"),
        ("Intel(R) Xeon(R) CPU E5-2686 v4 @ 2.30GHz", "xeon-e5-2686-v4"),
        ("12th Gen Intel(R) Core(TM) i7-12700K", "12th-gen-core-i7-12700k"),
        ("Apple M2", "apple-m2"),
        ("../../etc/passwd 7", "etc-passwd-7"),
        ("", "unknown-25-17"),
    ],
)
def test_a_processor_is_named_by_itself_where_it_says_which_it_is(said: str, name: str) -> None:
    assert fingerprint(made(said)) == f"cpu-{name}-torch2.15"


def test_intels_nameless_processors() -> None:
    cloud = made("Intel(R) Xeon(R) Processor @ 2.70GHz", vendor="GenuineIntel", family=6, model=0x8F)
    assert fingerprint(cloud) == "cpu-xeon-sapphirerapids-torch2.15"


def test_arms_processors_have_only_numbers() -> None:
    assert fingerprint(made("aarch64", vendor="0x41", part="0xd4f")) == "cpu-neoverse-v2-torch2.15"
    assert fingerprint(made("aarch64", vendor="0x61", part="0x022")) == "cpu-arm-0x61-0x022-torch2.15"


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("NVIDIA H200", "h200"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("NVIDIA A100-SXM4-80GB", "a100-sxm4-80gb"),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "a100-sxm4-40gb-mig-1g.5gb"),
    ],
)
def test_gpus(said: str, name: str) -> None:
    assert fingerprint(made(gpu=said)) == f"gpu-{name}-torch2.15-cu132"


def test_the_third_number_of_torch_is_left_out() -> None:
    assert fingerprint(made(torch="2.9.1")) == "cpu-epyc-9xx4-torch2.9"
    assert fingerprint(made(torch="2.16.0.dev20270101+cpu", gpu="NVIDIA H200")) == "gpu-h200-torch2.16-cpu"


def test_an_environment_without_details() -> None:
    simple = {"cpu": "AMD EPYC 7763", "gpu": None, "packages": {"torch": "2.15.0"}}
    assert fingerprint(simple) == "cpu-epyc-7763-torch2.15"
    assert fingerprint({}) == "cpu-unknown-torchunknown"


def test_this_machine_is_itself_and_its_name_fits_a_file() -> None:
    here = {**environment(), **facts()}
    assert re.fullmatch(r"(cpu|gpu)-[a-z0-9.-]+-torch\d+\.\d+(-[a-z0-9.]+)?", fingerprint(here))
    assert fingerprint(here) == fingerprint(deepcopy(here))
    assert same_machine(here, deepcopy(here))
    assert differences(here, deepcopy(here)) == []


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("CPU", made("AMD EPYC 7763")),
        ("CPU model", made(model=1)),
        ("CPU threads", made(threads=64)),
        ("CPU caches", made(caches={"L3": 256 * 2**20})),
        ("GPU", made(gpu="NVIDIA H200")),
        ("cores of the control group", made(quota=0.5)),
    ],
)
def test_other_hardware_is_another_machine(what: str, other: dict[str, Any]) -> None:
    one = made(quota=2.0) if "control" in what else made()
    assert not same_machine(one, other)
    assert not same_machine(other, one)
    assert what in [name for name, _, _ in differences(one, other)]


def test_other_software_or_settings_are_the_same_machine() -> None:
    one, other = made(), made(torch="2.16.0", usable=1, governor="powersave")
    other["python"], other["machine"]["system"]["aslr"] = "3.13.1", 0
    assert same_machine(one, other)
    assert differences(one, other) == [
        ("usable CPUs", "unknown", "1"),
        ("governor", "unknown", "powersave"),
        ("address randomisation", "2", "0"),
        ("Python", "3.11.7", "3.13.1"),
        ("torch", TORCH, "2.16.0"),
    ]


def test_hardware_differences_come_first_in_words() -> None:
    one, other = made(gpu="NVIDIA H200"), made(gpu="NVIDIA A100", caches={"L1d": 2**15, "L3": 2**28})
    other["machine"]["gpu"] |= {"memory": 80 * 2**30, "mig": True, "driver": "570"}
    assert differences(one, other) == [
        ("CPU caches", "L3 32 MiB", "L1d 32 KiB, L3 256 MiB"),
        ("GPU", "NVIDIA H200", "NVIDIA A100"),
        ("GPU memory", "150 GiB", "80 GiB"),
        ("MIG", "off", "on"),
        ("GPU driver", "595", "570"),
    ]


def test_the_code_under_test_is_no_difference() -> None:
    other = made()
    other["packages"]["resbench"], other["git"] = "9.9", {"commit": "def", "dirty": True}
    assert differences(made(), other) == []


def test_what_one_side_does_not_know_is_no_other_machine() -> None:
    simple = {"cpu": "AMD EPYC", "cores": 2, "packages": {}}
    assert same_machine(made(), simple)
    assert same_machine(made(gpu="NVIDIA H200"), simple)
    assert not same_machine(made(), {**simple, "cores": 4})


def test_an_unknown_processor_is_no_machine_to_compare_with() -> None:
    assert not same_machine({}, {})
    assert not same_machine(made(), {"packages": {}})
