"""Our training and the loop that a user would write, in turns: the steps of both, at the same precision."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from benchmarks.user_training import CifarResNet, PilImages, batches_for_ever, train_loader, train_steps
from resbench.errors import UserError
from resbench.lesions.accelerating import arithmetic
from resbench.networks import zoo
from resbench.networks.residual import NetworkSpec, ResidualNetwork, parameter_count
from resbench.networks.units import UnitSpec

__all__ = ["Contestant", "Noise", "Ours", "Turns", "Users", "interval", "take_turns", "users_network"]

LR = 0.01
"""Of both, with momentum and weight decay as in the papers; small, since noise is what is learned."""

_MOMENTUM, _DECAY = 0.9, 1e-4
_MEAN, _STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
_PREFETCHED = 2
"""Mini-batches that a loader's worker makes in advance (torch's default)."""

_FEWEST = 3
"""Rounds, however long a step takes."""

_CONFIDENCE = 0.95


class Contestant(Protocol):
    def run(self, steps: int) -> float:
        """Train for so many steps; seconds by the clock, until the device has done them."""


@dataclass(frozen=True)
class Noise:
    """8-bit images of noise, ``(N, H, W, 3)``, and labels: a training step takes as long on them as on photographs."""

    pixels: Tensor
    labels: Tensor

    @classmethod
    def of(cls, images: int, side: int, classes: int) -> Noise:
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randint(0, 256, (images, side, side, 3), dtype=torch.uint8, generator=generator)
        return cls(pixels, torch.randint(0, classes, (images,), generator=generator))


class Users:
    """``benchmarks/user_training.py``, its loader started and waiting.

    What its workers made while nobody counted (two mini-batches each) is a present, the same in every turn.
    """

    def __init__(self, network: str, data: Noise, batch: int, workers: int, precision: str, device: torch.device):
        self.device, self.precision = device, precision
        self._model = users_network(network).to(device).train()
        self._optimiser = torch.optim.SGD(self._model.parameters(), lr=LR, momentum=_MOMENTUM, weight_decay=_DECAY)
        try:
            images = PilImages(data.pixels.numpy(), data.labels.tolist(), _MEAN, _STD)
        except ImportError as error:
            raise UserError("the user's loop needs torchvision: pip install torchvision") from error
        self._batches = batches_for_ever(train_loader(images, batch, workers, device))
        started = time.perf_counter()
        for index in range(min(batch, len(images))):
            images[index]
        # Twice what the workers need to make the batches in advance: two processes, but perhaps no two cores.
        self._settling = 2 * _PREFETCHED * workers * (time.perf_counter() - started)

    def run(self, steps: int) -> float:
        with arithmetic(self.precision), _fastest_convolutions():
            _wait(self.device)
            started = time.perf_counter()
            mixed = self.precision == "bf16"
            train_steps(self._model, self._batches, self._optimiser, self.device, steps, mixed=mixed)
            _wait(self.device)
            taken = time.perf_counter() - started
        time.sleep(self._settling)  # the workers fill their queues, and do not disturb the other's turn
        return taken


class Ours:
    """The steps of :mod:`resbench.training.trainer` on crops that are made where the network is."""

    def __init__(self, network: str, data: Noise, batch: int, precision: str, device: torch.device):
        from resbench.training.crops import Crops
        from resbench.training.recipes import Recipe
        from resbench.training.trainer import Trainer

        self.device, self.precision, self._done = device, precision, 0
        model = zoo.create(network)
        assert isinstance(model, ResidualNetwork)
        recipe = Recipe(
            residual=model.spec,
            epochs=10**6,
            lr=LR,
            momentum=_MOMENTUM,
            nesterov=False,
            weight_decay=_DECAY,
            batch=batch,
            shift=4,
            flip=True,
            schedule="steps",
        )
        self._crops = Crops(
            data.pixels.permute(0, 3, 1, 2).contiguous().to(device),
            data.labels.to(device),
            mean=_MEAN,
            std=_STD,
            batch=batch,
            shift=recipe.shift,
            flip=recipe.flip,
            seed=0,
        )
        model.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self._course = Trainer(model, recipe, len(data.labels), precision=precision)

    def run(self, steps: int) -> float:
        with arithmetic(self.precision):
            _wait(self.device)
            started = time.perf_counter()
            for _ in range(steps):
                epoch, index = divmod(self._done, self._crops.per_epoch)
                images, labels = self._crops.make(epoch, index)
                self._course.step(images, labels.unsqueeze(1))
                self._done += 1
                if self._done % self._crops.per_epoch == 0:
                    self._course.end_epoch()
            _wait(self.device)
            return time.perf_counter() - started


def users_network(name: str) -> nn.Module:
    """The network of this name as a user writes it.

    Raises:
        UserError: it has another kind of units, or no such network exists.
    """
    spec = zoo.describe(name).spec
    known = isinstance(spec, NetworkSpec) and spec == NetworkSpec(
        units=(spec.units[0],) * 3,
        unit=UnitSpec(order=spec.unit.order, down=spec.unit.down),
    )
    if not (known and spec.unit.order in ("original", "preact") and spec.unit.down in ("stride", "pool")):
        raise UserError(f"--network {name}: the user's loop has resnet<depth> and resnet<depth>-preact of basic units")
    assert isinstance(spec, NetworkSpec)
    down = "pool" if spec.unit.down == "pool" else "stride"
    users = CifarResNet(spec.units[0], preact=spec.unit.order == "preact", down=down, classes=spec.classes)
    ours = zoo.create(name)
    if isinstance(ours, ResidualNetwork) and ours.sampler is not None:
        raise UserError(f"--network {name}: the user's loop trains every unit in every step")
    assert parameter_count(users) == parameter_count(ours)
    return users


@dataclass(frozen=True)
class Turns:
    """``steps`` in each turn; ``seconds`` a step, of the user's loop and ours, one value a round."""

    steps: int
    users: Sequence[float]
    ours: Sequence[float]

    def ratios(self) -> list[float]:
        """How many times as fast as the user's loop, round by round."""
        return [theirs / own for theirs, own in zip(self.users, self.ours, strict=True)]


def take_turns(
    pairs: Mapping[str, tuple[Contestant, Contestant]],
    *,
    seconds: float,
    turn: float,
    fewest_steps: int = 1,
    warmup: int = 2,
    clock: Callable[[], float] = time.monotonic,
    doing: Callable[[str], None] = lambda text: None,
) -> dict[str, Turns]:
    """User's and ours of each pair alternate (A B, then B A, ...) for about ``seconds`` in all, at least three rounds.

    Args:
        turn: seconds that a turn of the faster one takes at least, unless one step takes longer.
        fewest_steps: of a turn, however fast they are.
        warmup: steps of each, before, which do not count; those that find the length of a turn do not either.
    """
    until = clock() + seconds
    # Ours all before the first loader starts: its thread pins memory, which a graph's capture does not allow.
    for side in (1, 0):
        for name, pair in pairs.items():
            doing(f"{name}: warming up {('the loop', 'resbench')[side]}")
            pair[side].run(warmup)
    fastest = {name: min(one.run(1) for one in pair) for name, pair in pairs.items()}
    steps = {name: max(fewest_steps, math.ceil(turn / one)) for name, one in fastest.items()}
    found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in pairs}
    rounds, longest = 0, 0.0
    while rounds < _FEWEST or clock() + longest <= until:
        started = clock()
        for name, pair in pairs.items():
            doing(f"{name}: round {rounds + 1}")
            for side in (0, 1) if rounds % 2 == 0 else (1, 0):
                found[name][side].append(pair[side].run(steps[name]) / steps[name])
        rounds, longest = rounds + 1, max(longest, clock() - started)
    return {name: Turns(steps[name], *found[name]) for name in pairs}


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Of the median: from one order statistic to another, and how probable it is that the median lies between.

    The narrowest that 95 % are sure of, whatever the distribution; the range where there are fewer than six values.
    """
    ordered, count = sorted(values), len(values)
    skipped = 0
    while 2 * (skipped + 1) < count and _covered(count, skipped + 1) >= _CONFIDENCE:
        skipped += 1
    return ordered[skipped], ordered[-1 - skipped], _covered(count, skipped)


def _covered(count: int, skipped: int) -> float:
    """How probable it is that the median lies between the values that remain without ``skipped`` on each side."""
    outside = sum(math.comb(count, index) for index in range(skipped + 1)) / 2**count
    return 1.0 - 2.0 * outside


@contextmanager
def _fastest_convolutions() -> Iterator[None]:
    """cuDNN tries its algorithms, as public training code has it."""
    cudnn = torch.backends.cudnn
    before, cudnn.benchmark = cudnn.benchmark, True
    try:
        yield
    finally:
        cudnn.benchmark = before


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
