"""The GPU that torch uses, as NVIDIA's management library sees it (nvidia-ml-py); only questions, never settings."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

__all__ = ["REASONS", "gpu_facts", "gpu_state"]

REASONS = {
    0x002: "applications_clocks_setting",
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal_slowdown",
    0x040: "hw_thermal_slowdown",
    0x080: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
}
"""nvml.h, nvmlClocksEventReasons.  Without 0x001, an idle GPU: it is idle before and after every measurement."""

_TEMPERATURE_SENSOR = 0  # nvml.h, NVML_TEMPERATURE_GPU
_SLOWDOWN = 1  # NVML_TEMPERATURE_THRESHOLD_SLOWDOWN
_SM, _MEMORY = 1, 2  # NVML_CLOCK_SM, NVML_CLOCK_MEM


class _Gpu:
    """One GPU; every question is answered with None where library, driver or GPU has no answer."""

    def __init__(self, library: Any, handle: Any):
        self._library, self._handle = library, handle

    def ask(self, question: str, *arguments: Any) -> Any:
        try:
            return getattr(self._library, f"nvmlDeviceGet{question}")(self._handle, *arguments)
        except Exception:
            return None

    def watts(self, question: str) -> float | None:
        milliwatts = self.ask(question)
        return None if milliwatts is None else milliwatts / 1000

    def throttle(self) -> tuple[str, ...]:
        bits = self.ask("CurrentClocksEventReasons")
        if bits is None:  # drivers before 535
            bits = self.ask("CurrentClocksThrottleReasons")
        return tuple(name for bit, name in REASONS.items() if bit & int(bits or 0))

    def other_processes(self, ours: Sequence[int]) -> int | None:
        """Compute processes beside this one and ``ours``."""
        running = self.ask("ComputeRunningProcesses")
        if running is None:
            return None
        mine, seen = {os.getpid(), *ours}, {process.pid for process in running}
        # In a container the driver may number processes as the host does: there only their count is known.
        return len(seen - mine) if os.getpid() in seen else max(0, len(running) - len(mine))


def gpu_state(ours: Sequence[int] = ()) -> dict[str, Any]:
    """The fields of MachineState about the GPU; none where this process has not begun to use one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    gpu = _gpu()
    if gpu is None:
        return {}
    return {
        "sm_mhz": gpu.ask("ClockInfo", _SM),
        "sm_mhz_max": gpu.ask("MaxClockInfo", _SM),
        "memory_mhz": gpu.ask("ClockInfo", _MEMORY),
        "gpu_temperature": gpu.ask("Temperature", _TEMPERATURE_SENSOR),
        "power": gpu.watts("PowerUsage"),
        "power_cap": gpu.watts("EnforcedPowerLimit"),
        "power_cap_default": gpu.watts("PowerManagementDefaultLimit"),
        "throttle": gpu.throttle(),
        "gpu_processes": gpu.other_processes(ours),
    }


def gpu_facts() -> dict[str, Any] | None:
    """What torch's first GPU is and how it is set up; None where torch has none.

    ``watched``: whether the management library answers; without it only the properties that torch knows are here.
    """
    import torch

    if not torch.cuda.is_available():
        return None
    properties = torch.cuda.get_device_properties(0)
    known: dict[str, Any] = {
        "name": properties.name,
        "count": torch.cuda.device_count(),
        "capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "memory": properties.total_memory,
        "l2": getattr(properties, "L2_cache_size", None),
    }
    gpu = _gpu()
    return known | {"watched": gpu is not None} | (_settings(gpu) if gpu is not None else {})


def _settings(gpu: _Gpu) -> dict[str, Any]:
    ecc, mig = gpu.ask("EccMode"), gpu.ask("MigMode")
    return {
        "driver": _system("DriverVersion"),
        "driver_cuda": _cuda_version(_system("CudaDriverVersion_v2")),
        "persistence": _switch(gpu.ask("PersistenceMode")),
        "ecc": _switch(ecc[0] if ecc else None),
        "mig": _switch(mig[0] if mig else None),
        "sm_mhz_max": gpu.ask("MaxClockInfo", _SM),
        "memory_mhz_max": gpu.ask("MaxClockInfo", _MEMORY),
        "power_cap": gpu.watts("EnforcedPowerLimit"),
        "power_cap_default": gpu.watts("PowerManagementDefaultLimit"),
        "slowdown_temperature": gpu.ask("TemperatureThreshold", _SLOWDOWN),
    }


def _gpu() -> _Gpu | None:
    try:
        return _open(*_address())
    except Exception:
        return None


def _address() -> tuple[str, str]:
    """PCI address and UUID of torch's first GPU: its number differs from the library's (CUDA_VISIBLE_DEVICES).

    With MIG the address is the whole GPU's, which has the clocks; the UUID would be the slice's.
    """
    import torch

    properties: Any = torch.cuda.get_device_properties(0)
    try:
        return (
            f"{properties.pci_domain_id:08x}:{properties.pci_bus_id:02x}:{properties.pci_device_id:02x}.0",
            f"GPU-{properties.uuid}",
        )
    except AttributeError:
        return "", f"GPU-{properties.uuid}"


@lru_cache(maxsize=1)
def _open(address: str, uuid: str) -> _Gpu:
    pynvml = _library()
    pynvml.nvmlInit()
    if address:
        return _Gpu(pynvml, pynvml.nvmlDeviceGetHandleByPciBusId(address))
    return _Gpu(pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid))


def _library() -> Any:
    return importlib.import_module("pynvml")


def _system(question: str) -> Any:
    try:
        answer = getattr(_library(), f"nvmlSystemGet{question}")()
    except Exception:
        return None
    return answer.decode() if isinstance(answer, bytes) else answer


def _cuda_version(number: int | None) -> str | None:
    """12040 is 12.4 (nvml.h, NVML_CUDA_DRIVER_VERSION_MAJOR)."""
    return None if number is None else f"{number // 1000}.{number % 1000 // 10}"


def _switch(value: int | None) -> bool | None:
    return None if value is None else bool(value)
