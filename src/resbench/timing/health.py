"""Was the machine fit to measure?  Reasons against it, each with what to do; samples are never dropped for them.

A record with reasons is UNHEALTHY: kept, shown, and never green.  An ordinary shared virtual machine gets such labels
on its busy days; ``resbench ab``, whose two sides share every moment, does not need a quiet machine.  That samples or
processes differ is no reason: the interval over processes says by how much.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from resbench.timing.change import MARGIN
from resbench.timing.worker.seen import MachineState, Round

__all__ = ["CLOCK", "CLOCK_OF_HIGHEST", "OTHERS", "SLOWING", "STOLEN", "unhealthy"]

OTHERS = 0.5
"""Cores' worth of other programs' work that is always borne (chosen: a background service passes, a program that
computes does not).  Beyond it they must fit beside the case, on the cores that its threads leave free."""

STOLEN = MARGIN
"""Cores' worth of time that the hypervisor gave to others: taken from one thread, it alone makes a step a MARGIN longer
(the threads of an operator wait for the slowest)."""

CLOCK = 1 / (1 + MARGIN)
"""Share of the fastest round's clock: a lower clock alone makes a compute-bound step a MARGIN longer."""

CLOCK_OF_HIGHEST = 0.75
"""Share of the GPU's highest clock: nvbench's threshold (of the default clock) for a throttled sample."""

SLOWING = {
    "sw_power_cap": "the power limit: raise it (sudo nvidia-smi -pl WATTS) or lock a clock that it can hold "
    "(sudo nvidia-smi -lgc MHZ)",
    "hw_slowdown": "the hardware (power or heat): see nvidia-smi -q -d PERFORMANCE",
    "sync_boost": "a group of GPUs that share their clock: measure on a GPU outside the group",
    "sw_thermal_slowdown": "heat: improve the cooling, or lock a lower clock (sudo nvidia-smi -lgc MHZ)",
    "hw_thermal_slowdown": "heat: improve the cooling, or lock a lower clock (sudo nvidia-smi -lgc MHZ)",
    "hw_power_brake_slowdown": "the power supply's brake: see nvidia-smi -q -d PERFORMANCE",
}
"""The driver's reasons that nobody asked for; the others (nvml.REASONS) are clocks that somebody has set."""


def unhealthy(
    rounds: Sequence[Round], facts: Mapping[str, Any] | None = None, threads: int | None = 1
) -> tuple[str, ...]:
    """Why the machine was not fit while ``rounds`` of one case were measured; empty if nothing speaks against it.

    ``facts``: of :func:`resbench.timing.worker.machine.facts`, for the number of cores and the temperature at which the
    GPU slows down.  ``threads``: that the case computes with; None on a GPU, whose launches need one.  Each reason is
    one line that ends in what to do.
    """
    machine = (facts or {}).get("machine") or {}
    gpu, spare = machine.get("gpu") or {}, ((machine.get("cpu") or {}).get("usable") or 0) - (threads or 1)
    found = [
        _unsteady(rounds),
        _others(rounds, max(OTHERS, spare)),
        _stolen(rounds),
        *_throttled(rounds),
        _clock(rounds, "SM", lambda state: state.sm_mhz, "lock it (sudo nvidia-smi -lgc MHZ)"),
        _clock(
            rounds, "CPU", lambda state: state.cpu_mhz, "set the governor (sudo cpupower frequency-set -g performance)"
        ),
        _low_clock(rounds),
        _power_cap(rounds),
        _hot(rounds, gpu.get("slowdown_temperature")),
        _shared_gpu(rounds),
    ]
    return tuple(reason for reason in found if reason)


def _unsteady(rounds: Sequence[Round]) -> str:
    number = sum(not each.steady for each in rounds)
    if not number:
        return ""
    return f"still getting faster when it was timed{_of(number, rounds)}: stop other programs and repeat"


def _others(rounds: Sequence[Round], borne: float) -> str:
    used = [each.after.others for each in rounds if each.after.others is not None and each.after.others > borne]
    if not _most(used, rounds):
        return ""
    return f"other programs used {max(used):.1f} cores{_of(len(used), rounds)}: stop them, or compare by resbench ab"


def _stolen(rounds: Sequence[Round]) -> str:
    gone = [each.after.stolen for each in rounds if each.after.stolen is not None and each.after.stolen >= STOLEN]
    if not _most(gone, rounds):
        return ""
    what = "use a machine with cores of its own, or compare by resbench ab"
    return f"the hypervisor gave {max(gone):.2f} cores to other machines{_of(len(gone), rounds)}: {what}"


def _throttled(rounds: Sequence[Round]) -> list[str]:
    return [
        f"the GPU's clock was held down ({reason}){_of(number, rounds)} by {what}"
        for reason, what in SLOWING.items()
        if (number := sum(reason in {*each.before.throttle, *each.after.throttle} for each in rounds))
    ]


def _clock(rounds: Sequence[Round], name: str, clock: Callable[[MachineState], float | None], what: str) -> str:
    """Of the state after each round, when the device has just been busy."""
    seen = [found for each in rounds if (found := clock(each.after)) is not None]
    if not seen or min(seen) > CLOCK * max(seen):
        return ""
    return f"the {name} clock was {min(seen):.0f} MHz in one round and {max(seen):.0f} in another: {what}"


def _low_clock(rounds: Sequence[Round]) -> str:
    for state in (each.after for each in rounds):
        if state.sm_mhz is None or not state.sm_mhz_max or "applications_clocks_setting" in state.throttle:
            continue
        if state.sm_mhz < CLOCK_OF_HIGHEST * state.sm_mhz_max:
            clocks = f"{state.sm_mhz:.0f} of {state.sm_mhz_max:.0f} MHz"
            return f"the GPU ran at {clocks}: see nvidia-smi -q -d CLOCK,PERFORMANCE for the reason"
    return ""


def _power_cap(rounds: Sequence[Round]) -> str:
    for state in (each.after for each in rounds):
        cap, default = state.power_cap, state.power_cap_default
        if cap is not None and default is not None and cap < default:
            return f"the GPU's power limit is {cap:.0f} W of {default:.0f}: sudo nvidia-smi -pl {default:.0f}"
    return ""


def _hot(rounds: Sequence[Round], limit: float | None) -> str:
    """By the GPU's own limit; a temperature below it does not slow it."""
    hottest = max((each.after.gpu_temperature or -math.inf for each in rounds), default=-math.inf)
    if limit is None or hottest < limit:
        return ""
    return f"the GPU was at {hottest:.0f} C, and slows down from {limit:.0f}: improve the cooling"


def _shared_gpu(rounds: Sequence[Round]) -> str:
    number = max((state.gpu_processes or 0 for each in rounds for state in (each.before, each.after)), default=0)
    return (
        f"{number} other process{'es' * (number > 1)} on the GPU: stop them (nvidia-smi lists them)" if number else ""
    )


def _most(affected: Sequence[float], rounds: Sequence[Round]) -> bool:
    """Whether the record's time, the median over rounds, can be one of the affected."""
    return bool(affected) and 2 * len(affected) >= len(rounds)


def _of(number: int, rounds: Sequence[Round]) -> str:
    return "" if number == len(rounds) else f" in {number} of {len(rounds)} rounds"
