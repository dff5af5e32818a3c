"""How long training and testing take on a device: as last seen there, else scaled by multiply-adds.

``baselines/pace.json`` holds, for each device that networks were trained on, what was seen of each: it serves to plan
and to tell people how long something will take, and decides nothing.
"""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from resbench.errors import UserError
from resbench.records.places import write_atomically

if TYPE_CHECKING:
    from resbench.networks.residual import NetworkSpec, PlainSpec, VggSpec
    from resbench.networks.units import UnitSpec
    from resbench.training.recipes import Recipe

__all__ = ["Pace", "Seen", "device_name", "estimate", "passes", "probed", "read_pace", "step_work", "training_steps"]

_BACKWARDS = 3.0
"""A training step costs about three passes forwards over its images."""
_SIDE, _IMAGES, _TEST_IMAGES = 32, 50_000, 10_000
_PROBE_SECONDS, _PROBE_STEPS = 5.0, 5
_DRAWS = {"multiple_deletion": 240, "reordering": 160, "duplication": 60}
"""Lesions of an experiment, each on a third of its images; at most, since short networks allow fewer."""
_THIRDS = 3

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
        UserError: it cannot be read or is not that.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Pace)
    except FileNotFoundError:
        return Pace()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a record of paces ({error}); restore or remove it") from error


def device_name(device: str, precision: str) -> str:
    """``NVIDIA H200, bf16`` or ``AMD EPYC (2 cores), float32``."""
    import torch

    from resbench.records.environment import environment

    if torch.device(device).type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = f"{environment()['cpu']} ({environment()['cores']} cores)"
    return f"{name}, {precision}"


def training_steps(recipe: Recipe) -> int:
    """Mini-batches of the whole training on CIFAR-10."""
    from resbench.training.schedules import total_steps

    return total_steps(recipe, _IMAGES - recipe.validation)


def step_work(recipe: Recipe) -> float:
    """Multiply-adds of one training step forwards, dropped units at their expected share."""
    from resbench.networks.residual import NetworkSpec
    from resbench.training.loop import make_sampler

    spec = recipe.network
    sampler = make_sampler(recipe, spec.n_units, [0]) if isinstance(spec, NetworkSpec) else None
    shares = () if sampler is None else sampler.inclusion()
    return recipe.batch * _multiply_adds(spec, shares)


def estimate(recipe: Recipe, experiments: Collection[str], step_seconds: float, *, trained: bool = False) -> float:
    """Seconds of training (not where it is ``trained``) and of the experiments, if a step takes ``step_seconds``."""
    image = step_seconds / _BACKWARDS * _multiply_adds(recipe.network, ()) / step_work(recipe)
    tests = sum(passes(name, _TEST_IMAGES, _units(recipe.network)) for name in experiments)
    return image * tests + (0.0 if trained else step_seconds * training_steps(recipe))


def passes(experiment: str, images: int, units: int) -> float:
    """How many images pass the whole network, at most; a pass backwards along a path counts like one forwards.

    Single deletions share their beginnings: half of the network each, on average.
    """
    if experiment in _DRAWS:
        return _DRAWS[experiment] * images / _THIRDS
    each = {
        "single_deletion": 1 + units / 2,
        "path_gradients": (1 + units) / 5,
        "path_spectrum": (1 + units) / 10,
        "training_curves": 0.0,
    }
    return images * each.get(experiment, 1.0)


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


def _units(spec: NetworkSpec | PlainSpec | VggSpec) -> int:
    from resbench.networks.residual import NetworkSpec

    return spec.n_units if isinstance(spec, NetworkSpec) else spec.layers


def _multiply_adds(spec: NetworkSpec | PlainSpec | VggSpec, shares: tuple[float, ...]) -> float:
    """Of one image's pass forwards, convolutions alone; ``shares``: how often each unit's branch is computed."""
    from resbench.networks.residual import NetworkSpec

    if not isinstance(spec, NetworkSpec):
        total, inputs, side = 0.0, spec.inputs, _SIDE
        for layer, width in enumerate(spec.widths, start=1):
            total += 9 * inputs * width * side * side
            inputs, side = width, side // 2 if layer in spec.pools else side
        return total
    channels, side, unit = spec.stem_width or spec.widths[0], _SIDE, 0
    total = 9.0 * spec.inputs * channels * side * side
    for stage, (count, width) in enumerate(zip(spec.units, spec.widths, strict=True)):
        for index in range(count):
            stride = 2 if stage > 0 and index == 0 else 1
            branch, rest = _of_unit(spec.unit, channels, width, stride, unit == 0, side)
            total += rest + branch * (shares[unit] if shares else 1.0)
            channels, side, unit = width * spec.unit.expansion, side // stride, unit + 1
    return total


@lru_cache(maxsize=256)
def _of_unit(spec: UnitSpec, channels: int, width: int, stride: int, first: bool, side: int) -> tuple[float, float]:
    """Multiply-adds of a unit's branch, and of its shortcut and gate, for one image of ``side`` x ``side``."""
    import torch
    from torch import nn

    from resbench.networks.units import build_unit

    with torch.device("meta"):
        unit = build_unit(spec, channels, width, stride, first=first)
    totals = [0.0, 0.0]
    for part, modules in enumerate(((unit.residual,), (unit.skip, unit.gate))):
        for module in modules:
            here = side if part == 0 or module is unit.skip else side // stride
            for layer in module.modules() if module is not None else ():
                if isinstance(layer, nn.Conv2d):
                    here //= layer.stride[0]
                    totals[part] += layer.weight.numel() * here * here
    return totals[0], totals[1]
