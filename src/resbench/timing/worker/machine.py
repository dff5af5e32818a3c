"""What the machine is and what it is doing: only read, in about a millisecond, and never an error."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .hardware import cpu_facts, read, system_facts, torch_facts
from .nvml import gpu_facts, gpu_state
from .seen import MachineState

__all__ = ["Meter", "facts", "state"]

_TICKS = os.sysconf("SC_CLK_TCK")

_SHORTEST = 10 / _TICKS
"""Seconds between two states below which the kernel's tick, its unit of CPU time, is more than a tenth of a core."""

_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal")
"""Linux drivers of a CPU's own sensor; the first input is the package's (Documentation/hwmon)."""


@dataclass(frozen=True)
class _Reading:
    """Seconds since some beginning: by the clock, of work on all cores, stolen, and of our own processes by number."""

    now: float
    busy: float
    stolen: float
    own: dict[int, float]


class Meter:
    """States of the machine; each tells what happened since the one before.

    ``root``, ``now`` and ``own`` (CPU seconds of this process and the children that it has waited for) are for tests.
    """

    def __init__(
        self,
        root: Path = Path("/"),
        now: Callable[[], float] = time.monotonic,
        own: Callable[[], float] | None = None,
    ):
        self._root, self._now, self._own = root, now, own or _own_seconds
        self._last: _Reading | None = None

    def state(self, ours: Sequence[int] = ()) -> MachineState:
        """The machine now; ``others`` and ``stolen`` since the previous call (None in the first, or within 0.1 s).

        ``ours``: process numbers whose work is not that of others, such as the other side of a pair.
        """
        others, stolen = self._work(ours)
        folder = self._root / f"sys/devices/system/cpu/cpu{self._processor()}/cpufreq"
        return MachineState(
            load=_number(read(self._root / "proc/loadavg").split(" ")[0]),
            others=others,
            stolen=stolen,
            cpu_mhz=_scaled(read(folder / "scaling_cur_freq")),
            cpu_temperature=self._temperature(),
            governor=read(folder / "scaling_governor") or None,
            **gpu_state(ours),
        )

    def _work(self, ours: Sequence[int]) -> tuple[float | None, float | None]:
        """Cores' worth of other processes' work, and of what the hypervisor gave to others."""
        reading, last = self._reading(ours), self._last
        self._last = reading
        if reading is None or last is None or reading.now - last.now < _SHORTEST:
            return None, None
        seconds = reading.now - last.now
        own = sum(spent - last.own[pid] for pid, spent in reading.own.items() if pid in last.own)
        others = (reading.busy - last.busy - own) / seconds
        return max(0.0, round(others, 3)), max(0.0, round((reading.stolen - last.stolen) / seconds, 3))

    def _reading(self, ours: Sequence[int]) -> _Reading | None:
        # cpu user nice system idle iowait irq softirq steal (guest time is part of user time): proc(5).
        fields = read(self._root / "proc/stat").partition("\n")[0].split()[1:9]
        try:
            user, nice, system, _, _, irq, softirq, steal = (int(field) / _TICKS for field in fields)
        except ValueError:
            return None
        own = {os.getpid(): self._own()} | {pid: spent for pid in ours if (spent := self._spent(pid)) is not None}
        return _Reading(self._now(), user + nice + system + irq + softirq, steal, own)

    def _spent(self, pid: int) -> float | None:
        """CPU seconds of another process."""
        fields = self._stat(str(pid))
        return (int(fields[11]) + int(fields[12])) / _TICKS if fields else None

    def _processor(self) -> str:
        """The processor that this process ran on last: the one that was busy with it."""
        fields = self._stat("self")
        return fields[36] if fields else "0"

    def _stat(self, process: str) -> list[str]:
        """The fields of /proc/PID/stat from the third on: the second, a name, may hold anything."""
        fields = read(self._root / "proc" / process / "stat").rpartition(")")[2].split()
        return fields if len(fields) > 36 else []

    def _temperature(self) -> float | None:
        for folder in (self._root / "sys/class/hwmon").glob("hwmon*"):
            if read(folder / "name") in _SENSORS:
                return _scaled(read(folder / "temp1_input"))
        return None


def facts(root: Path = Path("/")) -> dict[str, Any]:
    """What the machine is, as plain values to be put into a run's environment over what is there.

    ``cpu`` and ``gpu`` are names (None: torch has no GPU); ``machine`` has the details under ``cpu``, ``system``,
    ``torch`` and ``gpu``, None where they cannot be read.  Sizes in bytes, clocks in MHz, power in watts, temperatures
    in degrees Celsius.  Nothing that names its owner: no host name, no serial number.
    """
    cpu, gpu = cpu_facts(root), gpu_facts()
    return {
        "cpu": cpu["name"],
        "gpu": gpu["name"] if gpu else None,
        "machine": {"cpu": cpu, "system": system_facts(root), "torch": torch_facts(), "gpu": gpu},
    }


def _own_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _scaled(text: str) -> float | None:
    """Of a thousandth of the unit: kHz, millidegrees."""
    number = _number(text)
    return None if number is None else number / 1000


_METER = Meter()


def state(ours: Sequence[int] = ()) -> MachineState:
    """The machine now, and what happened since this process asked last: see :meth:`Meter.state`."""
    return _METER.state(ours)
