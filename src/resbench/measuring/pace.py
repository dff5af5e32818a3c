"""How long training and testing take on a device: as last seen there, else scaled by multiply-adds.

``baselines/pace.json`` holds, for each device that networks were trained on, what was seen of each: it serves to plan
and to tell people how long something will take, and decides nothing.
"""

from __future__ import annotations

import datetime
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from resbench.errors import Damaged, UserError
from resbench.records.places import write_atomically
from resbench.records.schemas import one_line

if TYPE_CHECKING:
    from resbench.training.recipes import Recipe

__all__ = ["Pace", "Seen", "device_name", "probed", "read_pace"]

_SIDE = 32
_PROBE_SECONDS, _PROBE_STEPS = 5.0, 5

Positive = Annotated[float, Meta(gt=0)]


class Seen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``step_seconds``: of one training step, ``multiply_adds`` those of its pass forwards.  ``at``: when (UTC)."""

    step_seconds: Positive
    multiply_adds: Positive
    at: str


class Pace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``devices``: device (and precision) to network to what was seen of it."""

    schema: Literal[1] = 1
    devices: dict[str, dict[str, Seen]] = {}

    @property
    def last(self) -> str | None:
        """The device that was last seen, None where there is none."""
        times = {device: max(seen.at for seen in networks.values()) for device, networks in self.devices.items()}
        return max(times, key=lambda device: (times[device], device)) if times else None

    def step_seconds(self, device: str, network: str, multiply_adds: float) -> float | None:
        """As seen of ``network``, else as seen of the network whose step is nearest in work, scaled by the work."""
        networks = self.devices.get(device, {})
        if not networks:
            return None
        near = networks.get(network) or min(
            networks.values(), key=lambda seen: abs(math.log(seen.multiply_adds / multiply_adds))
        )
        return near.step_seconds * multiply_adds / near.multiply_adds

    def noted(self, device: str, network: str, step_seconds: float, multiply_adds: float) -> Pace:
        """With one thing more seen, now."""
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        seen = Seen(step_seconds=float(f"{step_seconds:.3g}"), multiply_adds=multiply_adds, at=at)
        networks = dict(sorted({**self.devices.get(device, {}), network: seen}.items()))
        return Pace(devices=dict(sorted({**self.devices, device: networks}.items())))

    def write(self, path: Path) -> None:
        """Raises: UserError where it cannot be written."""
        write_atomically(path, msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")


def read_pace(path: Path) -> Pace:
    """What is in ``path``; nothing where there is no such file.

    Raises:
        Damaged: it is not that.
        UserError: it cannot be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Pace)
    except FileNotFoundError:
        return Pace()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Damaged(path, f"not a record of paces ({one_line(error)})", "restore or remove it") from error


def device_name(device: str, precision: str) -> str:
    """``NVIDIA H200, bf16`` or ``AMD EPYC (2 cores), float32``."""
    import torch

    from resbench.records.environment import environment

    if torch.device(device).type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = f"{environment()['cpu']} ({environment()['cores']} cores)"
    return f"{name}, {precision}"


def probed(recipe: Recipe, device: str) -> float:
    """Seconds of one plain training step of ``recipe`` on ``device``, tried for a few seconds; an upper estimate.

    Raises:
        torch.cuda.OutOfMemoryError: the batch does not fit.
    """
    import torch
    from torch.nn import functional as F

    from resbench.networks.residual import build

    with torch.random.fork_rng(devices=[]):
        network = build(recipe.network).to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9)
    images = torch.zeros(recipe.batch, recipe.network.inputs, _SIDE, _SIDE, device=device)
    labels = torch.zeros(recipe.batch, dtype=torch.int64, device=device)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        F.cross_entropy(network(images), labels).backward()
        optimiser.step()
        next(network.parameters()).detach().flatten()[0].item()  # waits for the device

    step()
    times: list[float] = []
    while len(times) < _PROBE_STEPS and sum(times) < _PROBE_SECONDS:
        begun = time.perf_counter()
        step()
        times.append(time.perf_counter() - begun)
    return min(times)
