"""What was seen: samples, the machine around them, counts without noise, and the rates the machine can reach."""

from __future__ import annotations

import msgspec

__all__ = ["Counts", "MachineState", "Rates", "Round"]


class MachineState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the machine was doing at one moment; None: cannot be read here.

    ``load``: runnable processes (1-minute average).  ``others``: cores' worth of work that *other* processes did since
    the previous state.  Clocks in MHz, temperatures in degrees Celsius, power in watts.  ``throttle``: the reasons that
    the GPU's driver gives for running below its clock, such as ``sw_power_cap``.
    """

    load: float | None = None
    others: float | None = None
    stolen: float | None = None
    cpu_mhz: float | None = None
    cpu_temperature: float | None = None
    governor: str | None = None
    sm_mhz: float | None = None
    sm_mhz_max: float | None = None
    memory_mhz: float | None = None
    gpu_temperature: float | None = None
    power: float | None = None
    power_cap: float | None = None
    power_cap_default: float | None = None
    throttle: tuple[str, ...] = ()
    gpu_processes: int | None = None


class Round(msgspec.Struct, frozen=True, omit_defaults=True):
    """The samples of one case in one fresh process.

    ``seconds``: per step, one number a block of ``steps`` steps.  ``warmup``: steps done before.  ``steady``: whether
    the warm-up's statistical test was passed within its time.
    """

    seconds: tuple[float, ...]
    steps: int
    warmup: int
    steady: bool
    before: MachineState = MachineState()
    after: MachineState = MachineState()


class Counts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a step does, counted without noise.

    ``operators``: calls that reached torch's dispatcher (of the step run eagerly).  ``macs``: multiply-adds of
    convolutions and matrix products, as torch's FlopCounterMode counts them.  ``padding``: those of them that have a
    zero of a convolution's padding as a factor, which an implementation may leave out.  ``allocated``: bytes of new
    storage in all.  ``least_bytes``: what any implementation must read and write.  ``kernels``: GPU kernels launched;
    None on a CPU.  ``peak``: bytes held at once above what was held before the step.
    """

    operators: int
    macs: int
    allocated: int
    least_bytes: int
    padding: int = 0
    kernels: int | None = None
    peak: int | None = None


class Rates(msgspec.Struct, frozen=True):
    """What this machine was measured to reach in the same process.

    ``macs``: multiply-adds a second in a large matrix product of ``dtype`` on ``device``.  ``copies``: for copies of
    so many bytes (read and written together), bytes a second.
    """

    device: str
    dtype: str
    macs: float
    copies: dict[int, float] = {}
