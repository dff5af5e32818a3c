"""Was the machine fit to measure?  Reasons against it, each with what to do; samples are never dropped for them.

A record with reasons is UNHEALTHY: kept, shown, and never green.  An ordinary shared virtual machine gets such labels
on its busy days; ``resbench ab``, whose two sides share every moment, does not need a quiet machine.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from resbench.timing.change import MARGIN
from resbench.timing.worker.seen import MachineState, Round

__all__ = ["CLOCK", "CLOCK_OF_HIGHEST", "DISAGREEMENT", "OTHERS", "SLOWING", "SPREAD", "STOLEN", "unhealthy"]

OTHERS = 0.5
"""Cores' worth of other programs' work.  Chosen: half the core that a one-thread case has, so that on a machine with a
core to spare a background service passes and a program that computes does not."""

STOLEN = MARGIN
"""Cores' worth of time that the hypervisor gave to others: taken from one thread, it alone makes a step a MARGIN longer
(the threads of an operator wait for the slowest)."""

CLOCK = 1 / (1 + MARGIN)
"""Share of the fastest round's clock: a lower clock alone makes a compute-bound step a MARGIN longer."""

CLOCK_OF_HIGHEST = 0.75
"""Share of the GPU's highest clock: nvbench's threshold (of the default clock) for a throttled sample."""

SPREAD = 0.10
"""Interquartile range over median within a round: where torch.utils.benchmark's Measurement begins to warn."""

DISAGREEMENT = 0.10
"""Standard deviation over mean, of the rounds' medians: pyperf calls values "unstable" from there on."""

_FEWEST_FOR_QUARTILES = 4
"""Samples; with fewer, quartiles are extrapolations."""

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


def unhealthy(rounds: Sequence[Round], facts: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Why the machine was not fit while ``rounds`` of one case were measured; empty if nothing speaks against it.

    ``facts``: of :func:`resbench.timing.worker.machine.facts`, for the temperature at which the GPU slows down.  Each
    reason is one line that ends in what to do.
    """
    gpu = ((facts or {}).get("machine") or {}).get("gpu") or {}
    found = [
        _unsteady(rounds),
        _others(rounds),
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
        _spread(rounds),
        _disagreement(rounds),
    ]
    return tuple(reason for reason in found if reason)


def _unsteady(rounds: Sequence[Round]) -> str:
    number = sum(not each.steady for each in rounds)
    if not number:
        return ""
    return f"still getting faster when it was timed{_of(number, rounds)}: stop other programs and repeat"


def _others(rounds: Sequence[Round]) -> str:
    used = [each.after.others for each in rounds if each.after.others is not None and each.after.others >= OTHERS]
    if not used:
        return ""
    return f"other programs used {max(used):.1f} cores{_of(len(used), rounds)}: stop them, or compare by resbench ab"


def _stolen(rounds: Sequence[Round]) -> str:
    gone = [each.after.stolen for each in rounds if each.after.stolen is not None and each.after.stolen >= STOLEN]
    if not gone:
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


def _spread(rounds: Sequence[Round]) -> str:
    spreads = []
    for each in rounds:
        if len(each.seconds) >= _FEWEST_FOR_QUARTILES:
            low, middle, high = np.quantile(each.seconds, (0.25, 0.5, 0.75))
            spreads.append(float((high - low) / middle))
    wide = [spread for spread in spreads if spread >= SPREAD]
    if not wide:
        return ""
    what = "stop other programs, or compare by resbench ab"
    return f"samples spread by {max(wide):.0%} (interquartile range over median){_of(len(wide), rounds)}: {what}"


def _disagreement(rounds: Sequence[Round]) -> str:
    medians = [statistics.median(each.seconds) for each in rounds if each.seconds]
    if len(medians) < 2:
        return ""
    share = statistics.stdev(medians) / statistics.mean(medians)
    if share < DISAGREEMENT:
        return ""
    return (
        f"processes differ by {share:.0%} (standard deviation over mean): measure in more processes, or by resbench ab"
    )


def _of(number: int, rounds: Sequence[Round]) -> str:
    return "" if number == len(rounds) else f" in {number} of {len(rounds)} rounds"
