"""What a user says about a target, as text, and its parsing.  Imports no torch: a wrong option fails at once."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from resbench.errors import UserError

__all__ = ["TargetOptions", "parse_channels", "parse_input", "parse_survival"]


@dataclass(frozen=True)
class TargetOptions:
    """The options of a target, as given.

    ``target``: ``MODULE:CALLABLE``, a zoo name, ``torchvision:NAME``, ``timm:NAME`` or ``transformers:NAME``.
    ``data``: ``digits``, ``cifar10:ROOT``, ``imagefolder:ROOT`` or ``npz:FILE``.  ``limit``: how many images at most.
    ``thorough``: random lesions on all images, paths on many more than a few; it takes its time.
    ``download``: fetch CIFAR-10 where ROOT lacks it.
    ``against``, ``against_checkpoint``: the network that the target is compared with.
    ``roots``: folders besides the current one that MODULE is looked for in.
    """

    target: str = ""
    checkpoint: Path | None = None
    data: str = ""
    download: bool = False
    mean: str = ""
    std: str = ""
    input: str = ""
    units: tuple[str, ...] = ()
    survival: str = ""
    limit: int | None = None
    thorough: bool = False
    device: str = "cpu"
    seed: int = 0
    against: str = ""
    against_checkpoint: Path | None = None
    roots: tuple[Path, ...] = ()

    def check(self, prefix: str = "--") -> None:
        """Reject what no target could make good; ``prefix`` is that of the options' names.

        Raises:
            UserError: an option without a target, or one that does not parse.
        """
        if not self.target:
            for field in fields(self):
                given = getattr(self, field.name) != field.default
                if given and field.name not in ("target", "device", "seed", "roots"):
                    raise UserError(f"{prefix}{field.name.replace('_', '-')} goes with {prefix}target")
            return
        if self.against_checkpoint is not None and not self.against:
            raise UserError(f"{prefix}against-checkpoint goes with {prefix}against")
        if self.download and not self.data.startswith("cifar10:"):
            raise UserError(f"{prefix}download goes with {prefix}data cifar10:ROOT")
        if bool(self.mean) != bool(self.std):
            raise UserError(f"{prefix}mean and {prefix}std go together")
        if self.mean and not self.data:
            raise UserError(f"{prefix}mean and {prefix}std go with {prefix}data")
        if self.limit is not None and not self.data:
            raise UserError(f"{prefix}limit goes with {prefix}data")
        if self.thorough and not self.data:
            raise UserError(f"{prefix}thorough goes with {prefix}data")
        parse_channels(self.mean, "mean")
        parse_channels(self.std, "std")
        parse_input(self.input)
        if self.survival:
            parse_survival(self.survival)


def parse_input(text: str) -> tuple[int, int, int] | None:
    """``3x32x32`` as (channels, height, width); None for nothing.

    Raises:
        UserError: anything else.
    """
    if not text:
        return None
    sizes = re.fullmatch(r"\s*(\d+)[x,](\d+)[x,](\d+)\s*", text.lower())
    if sizes is None or not all(int(size) for size in sizes.groups()):
        raise UserError(f"--input {text}: not channels x height x width; write --input 3x32x32")
    channels, height, width = map(int, sizes.groups())
    return channels, height, width


def parse_channels(text: str, name: str) -> tuple[float, ...]:
    """``0.49,0.48,0.45``, one number a channel; empty for nothing.

    Raises:
        UserError: not finite numbers, or a standard deviation that is not positive.
    """
    if not text.strip():
        return ()
    values = _numbers(text)
    if not values or not all(map(math.isfinite, values)):
        raise UserError(f"--{name} {text}: not a number for each channel; write --{name} 0.5,0.5,0.5")
    if name == "std" and min(values) <= 0:
        raise UserError(f"--std {text}: a standard deviation is above 0")
    return values


def _numbers(text: str) -> tuple[float, ...]:
    """Comma-separated numbers; empty where one is none."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        return ()


def parse_survival(text: str) -> Callable[[int], tuple[float, ...]]:
    """``linear:0.5``, ``uniform:0.8`` or ``P1,P2,...`` to the survival probabilities of ``n`` units.

    ``linear`` is Huang 2016, equation 4, ``p_l = 1 - (l / n) (1 - p_n)`` with ``l = 1..n``.

    Raises:
        UserError: another form, or a probability outside (0, 1]; of the result: a list of another length than ``n``.
    """
    schedule, colon, last = text.partition(":")
    values = _numbers(last if colon else text)
    if (colon and (schedule not in ("linear", "uniform") or len(values) != 1)) or not values:
        raise UserError(f"--survival {text}: write linear:0.5, uniform:0.8 or the probability of every unit, P1,P2,...")
    if not all(0.0 < p <= 1.0 for p in values):
        raise UserError(f"--survival {text}: a survival probability lies in (0, 1]")

    def probabilities(n: int) -> tuple[float, ...]:
        if colon:
            from resbench.networks.sampling import linear_decay, uniform

            return (linear_decay if schedule == "linear" else uniform)(n, values[0])
        if len(values) != n:
            raise UserError(f"--survival gives {len(values)} probabilities, the target has {n} units")
        return values

    return probabilities
