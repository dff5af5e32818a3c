"""Training one network as a paper says: one seed, on one device, to be interrupted and continued at any step."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from resbench.data.cifar10 import split
from resbench.distributed import Ranks
from resbench.errors import Damaged, UserError
from resbench.lesions.accelerating import arithmetic
from resbench.networks.copies import initialise
from resbench.networks.residual import PlainNetwork, ResidualNetwork, build
from resbench.records.aside import set_aside
from resbench.targets.images import Images
from resbench.training.crops import Crops
from resbench.training.interruption import interruption
from resbench.training.loop import Curves, apply_test_scaling, make_sampler, prepare_for_test
from resbench.training.recipes import Recipe
from resbench.training.schedules import total_steps
from resbench.training.sharing import Share, synchronise
from resbench.training.state import RunState, read_state, write_state
from resbench.training.trainer import Trainer

if TYPE_CHECKING:
    from resbench.data.cifar10 import ImageSet

__all__ = ["PRECISIONS", "Trained", "train_network"]

PRECISIONS = ("float32", "tf32", "bf16")
_TESTED_AT_ONCE = 1000
_KEPT_EVERY = 120.0
"""Seconds of training that a killed run may lose."""

_AGREED_EVERY = 16
"""Steps of several processes between which one may say that it is time to stop: it costs an exchange."""

_RANK_SEEDS = 10_000_019
"""Between the processes' seeds of dropout."""

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Trained:
    """A network of ``recipe`` in the state that is tested, and what its training showed.

    ``seconds_per_step``: of the steps alone, without evaluation.  ``diverged``: the epoch (from 1) in which the loss
    became infinite or NaN, and training ended; None otherwise.
    """

    recipe: Recipe
    seed: int
    state: dict[str, Tensor]
    curves: Curves
    seconds_per_step: float
    images_per_second: float
    diverged: int | None
    device: str
    precision: str


def train_network(
    name: str,
    recipe: Recipe,
    data: ImageSet,
    *,
    seed: int,
    device: str = "cpu",
    precision: str = "float32",
    keep: Path | None = None,
    until: float | None = None,
    report: Report | None = None,
    ranks: Ranks | None = None,
) -> Trained | None:
    """Train ``recipe``'s network; None if it was stopped before the end.

    Args:
        name: of the network, for messages.
        keep: where the state of the run is kept every two minutes, when it is stopped and at Ctrl-C; a run of the same
            network, recipe, data, seed, device and precision goes on from it, as if it had never stopped.
        until: ``time.monotonic()`` after which no further step is begun.
        report: told of the steps done and of all, at every epoch and once in a while.
        ranks: processes that train it together, each on its part of every mini-batch; what they see is that of one, but
            for dropout's draws.  All of them get the result; only the first keeps the state.

    Raises:
        KeyboardInterrupt: after the step under way, whose state is kept; a second Ctrl-C ends it at once.
        UserError: an unknown precision, a mini-batch that the processes cannot share equally, or a state that cannot
            be read or written.
    """
    if precision not in PRECISIONS:
        raise UserError(f"--precision {precision}: one of {', '.join(PRECISIONS)}")
    among = ranks or Ranks()
    if recipe.batch % among.world:
        raise UserError(f"a mini-batch of {recipe.batch} cannot be shared by {among.world} processes equally")
    place = among.device(device)
    cuda = [torch.device(place)] if place.startswith("cuda") else []
    with torch.random.fork_rng(devices=cuda), arithmetic(precision), among.exchanging():
        torch.manual_seed(seed + among.rank * _RANK_SEEDS)
        run = _Run(name, recipe, data, seed, place, precision, keep, Share(among.rank, among.world))
        with interruption(among.world == 1 and keep is not None) as asked:
            return run.finish(until, report, asked)


@dataclass
class _Best:
    """The state with the lowest validation error so far; the first of equals."""

    error: float = math.inf
    state: dict[str, Tensor] = field(default_factory=dict)


class _Run:
    def __init__(
        self,
        name: str,
        recipe: Recipe,
        data: ImageSet,
        seed: int,
        device: str,
        precision: str,
        keep: Path | None,
        share: Share,
    ):
        self.recipe, self.seed, self.device, self.precision = recipe, seed, device, precision
        self.keep, self.share = keep, share
        self.identity = {
            "network": name,
            "recipe": recipe.fingerprint,
            "data": data.fingerprint,
            "seed": str(seed),
            "device": device.partition(":")[0],
            "precision": precision,
            "processes": str(share.world),
        }
        train, validation = split(data, recipe.validation)
        self.crops = Crops(
            data.train[train].to(device),
            data.train_labels[train].unsqueeze(1).to(device),  # one copy
            mean=data.mean,
            std=data.std,
            batch=recipe.batch,
            shift=recipe.shift,
            flip=recipe.flip,
            seed=seed,
            share=(share.rank, share.world),
        )
        whole = Images.of_pixels(data.train, data.train_labels, mean=data.mean, std=data.std)
        self.validation = whole.subset(validation) if recipe.validation else None
        self.test = Images.of_pixels(data.test, data.test_labels, mean=data.mean, std=data.std)
        self.steps = total_steps(recipe, len(train))
        self.network = _network(recipe, seed, device)
        if share.world > 1:
            synchronise(self.network, share.world)
        self.trainer = Trainer(self.network, recipe, len(train), precision=precision, share=share)
        self.curves = Curves((), (), ())
        self.best = _Best()
        self.spent, self.diverged, self.kept = 0.0, False, time.monotonic()
        self._restore()

    def finish(self, until: float | None, report: Report | None, asked: threading.Event) -> Trained | None:
        while self.trainer.done < self.steps and not self.diverged:
            epoch, first = divmod(self.trainer.done, self.crops.per_epoch)
            last = min(self.crops.per_epoch, self.steps - epoch * self.crops.per_epoch)
            started = time.perf_counter()
            for index in range(first, last):
                over, due = self._due(until)
                if over or due or asked.is_set():
                    self._clock(started)
                    self._keep()
                    if asked.is_set():
                        raise KeyboardInterrupt
                    if over:
                        return None
                    if report is not None:
                        report(self.trainer.done, self.steps)
                    started = time.perf_counter()
                self.trainer.step(*self.crops.make(epoch, index))
            self._clock(started)
            self._end_epoch()
            if report is not None:
                report(self.trainer.done, self.steps)
        return self._trained()

    def _due(self, until: float | None) -> tuple[bool, bool]:
        """Whether to stop here, and whether to keep the state; the first process decides for all, now and then."""
        if self.share.world > 1 and self.trainer.done % _AGREED_EVERY:
            return False, False
        now = time.monotonic()
        due = now - self.kept > _KEPT_EVERY
        if due:
            self.kept = now
        over = until is not None and now >= until
        return self.share.agreed(over, self.trainer.device), self.share.agreed(due, self.trainer.device)

    def _clock(self, started: float) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
        self.spent += time.perf_counter() - started

    def _end_epoch(self) -> None:
        row = self.trainer.end_epoch()
        losses = float(row.loss)
        self.diverged = not math.isfinite(losses)
        validation = None if self.validation is None else self._error(self.validation)
        if validation is not None and validation < self.best.error:
            self.best = _Best(validation, {k: v.clone() for k, v in self.network.state_dict().items()})
        self.curves = Curves(
            (*self.curves.loss, losses),
            (*self.curves.depth, float(row.depth)),
            (*self.curves.stem_gradient, float(row.stem_gradient)),
            training_error=(*self.curves.training_error, float(row.error)),
            validation_error=(*self.curves.validation_error, *([] if validation is None else [validation])),
            test_error=(*self.curves.test_error, self._error(self.test)),
        )

    def _error(self, images: Images) -> float:
        """Percent, in the state that the recipe tests; every process tests its part."""
        self.network.eval()
        wrong = torch.zeros((), dtype=torch.int64, device=self.device)
        mine = images.subset(range(self.share.rank, len(images), self.share.world))
        with torch.inference_mode():
            for batch, labels in mine.batches(_TESTED_AT_ONCE, self.device):
                logits = self.trainer.logits(batch.contiguous(memory_format=torch.channels_last))
                wrong += ((logits.argmax(1) != labels) | ~torch.isfinite(logits).all(1)).sum()
        self.network.train()
        return 100.0 * int(self.share.sum_(wrong)) / len(images)

    def _trained(self) -> Trained:
        if self.recipe.tested == "best-validation" and self.best.state:
            self.network.load_state_dict(self.best.state)
        elif self.recipe.reestimate and not self.diverged:
            prepare_for_test(self.network, self.recipe, self._sample())
        seconds = self.spent / max(1, self.trainer.done)
        return Trained(
            recipe=self.recipe,
            seed=self.seed,
            state={key: value.detach().cpu().contiguous().clone() for key, value in self.network.state_dict().items()},
            curves=self.curves,
            seconds_per_step=seconds,
            images_per_second=self.recipe.batch / seconds if seconds else 0.0,
            diverged=len(self.curves.loss) if self.diverged else None,
            device=self.device,
            precision=self.precision,
        )

    def _sample(self) -> Tensor:
        """Training images as the network sees them, for BN statistics."""
        return torch.cat([self.crops.make(0, index)[0] for index in range(min(64, self.crops.per_epoch))])

    def _keep(self) -> None:
        if self.keep is None:
            return
        tensors, values = self.trainer.state()
        if self.share.rank:
            return
        tensors = tensors | {f"best.{name}": value for name, value in self.best.state.items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if self.device.startswith("cuda"):
            tensors["random.cuda"] = torch.cuda.get_rng_state(torch.device(self.device))
        values = values | {"curves": asdict(self.curves), "spent": self.spent, "best": self.best.error}
        write_state(self.keep, RunState(self.identity, tensors, values))

    def _restore(self) -> None:
        try:
            state = None if self.keep is None else read_state(self.keep, self.identity)
        except Damaged as damage:
            set_aside(damage, "begun anew")
            return
        if state is None:
            return
        own = {k: v for k, v in state.tensors.items() if not k.startswith(("best.", "random."))}
        self.trainer.restore(own, state.values)
        best = {k.removeprefix("best."): v.to(self.device) for k, v in state.tensors.items() if k.startswith("best.")}
        self.best = _Best(state.values["best"], best)
        self.curves = Curves(**{key: tuple(values) for key, values in state.values["curves"].items()})
        self.spent = state.values["spent"]
        if self.share.world > 1:  # kept is the first process's only
            return
        torch.set_rng_state(state.tensors["random.cpu"])
        if self.device.startswith("cuda"):
            torch.cuda.set_rng_state(state.tensors["random.cuda"], torch.device(self.device))


def _network(recipe: Recipe, seed: int, device: str) -> ResidualNetwork | PlainNetwork:
    """Initialised on the CPU, so that a seed is the same network everywhere."""
    network = build(recipe.network)
    initialise(network, [seed])
    if isinstance(network, ResidualNetwork):
        network.sampler = make_sampler(recipe, len(network.units), [seed])
        apply_test_scaling(network, recipe)
    network.to(device).to(memory_format=torch.channels_last)
    return network.train()
