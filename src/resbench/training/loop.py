"""The training loop: several copies of one network (seeds, halves of the data) trained as one.

Each copy has its own initialisation, order of images, shifts and unit draws, from generators seeded by its own
seed alone, and the loss is the sum over copies, so no copy influences another (momentum, weight decay and batch
normalisation act element- or channel-wise).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resbench.data.digits import Dataset
from resbench.networks import sampling
from resbench.networks.copies import CopiesBatchNorm2d, copy_state, initialise
from resbench.networks.residual import PlainNetwork, ResidualNetwork, build
from resbench.networks.sampling import Sampler
from resbench.training.recipes import Recipe
from resbench.training.trainer import EpochRow, Trainer

__all__ = ["Copy", "Curves", "TrainedCopy", "apply_test_scaling", "make_sampler", "prepare_for_test", "train"]

Progress = Callable[[int, int], None]
"""Called with (epochs done, epochs in all)."""


@dataclass(frozen=True)
class Copy:
    """One network to train: its seed and the half of the data that it learns from."""

    seed: int
    half: int


@dataclass(frozen=True)
class Curves:
    """What one copy's training showed, one value an epoch.

    ``loss``: mean cross-entropy of the epoch's mini-batches (train mode, augmented), nats.
    ``depth``: mean number of units that the passes used.
    ``stem_gradient``: mean absolute gradient of the first convolution's weights (Huang 2016, figure 7).
    ``training_error``: percent of the epoch's mini-batches; ``validation_error``, ``test_error``: at the epoch's end,
    in the state that is tested.  Empty where it was not measured.
    """

    loss: tuple[float, ...]
    depth: tuple[float, ...]
    stem_gradient: tuple[float, ...]
    training_error: tuple[float, ...] = ()
    validation_error: tuple[float, ...] = ()
    test_error: tuple[float, ...] = ()


@dataclass(frozen=True)
class TrainedCopy:
    copy: Copy
    state: dict[str, Tensor]
    curves: Curves
    seconds_per_step: float
    copies_together: int


def make_sampler(recipe: Recipe, n_units: int, seeds: Sequence[int]) -> Sampler | None:
    """The unit sampler that ``recipe`` names, seeded per copy; None where every pass uses all units."""
    if recipe.sampling == "all":
        return None
    # Apart from the generators of initialisation and augmentation, which have the seeds themselves.
    return sampling.make_sampler(recipe.sampling, n_units, recipe.sampling_value, [seed + 7_000_003 for seed in seeds])


def train(
    recipe: Recipe, data: Dataset, copies: Sequence[Copy], *, progress: Progress | None = None
) -> list[TrainedCopy]:
    """Train ``copies`` of ``recipe``'s network; returns them in order, in the state that tests use.

    The last, incomplete mini-batch of an epoch is left out.  A copy whose loss becomes NaN stays so, and says so
    in its curve: divergence is a result.
    """
    seeds = [copy.seed * 2 + copy.half for copy in copies]
    network = build(recipe.network, copies=len(copies))
    initialise(network, seeds)
    if isinstance(network, ResidualNetwork):
        network.sampler = make_sampler(recipe, len(network.units), seeds)
    batches = _Batches(recipe, data, copies, seeds)
    trainer = Trainer(network.train(), recipe, batches.size)
    rows: list[EpochRow] = []
    spent = 0.0
    for epoch in range(recipe.epochs):
        for images, labels in batches.epoch():
            started = time.perf_counter()
            trainer.step(images, labels)
            spent += time.perf_counter() - started
        rows.append(trainer.end_epoch())
        if progress is not None:
            progress(epoch + 1, recipe.epochs)
    prepare_for_test(network, recipe, batches.all_images())
    return _split(network, copies, rows, spent / max(1, trainer.done))


def prepare_for_test(network: ResidualNetwork | PlainNetwork, recipe: Recipe, images: Tensor) -> None:
    """Put ``network`` in the state that ``recipe`` tests: branch scaling, then BN statistics of that very network."""
    if isinstance(network, ResidualNetwork):
        apply_test_scaling(network, recipe)
    network.eval()
    if recipe.reestimate:
        reestimate_statistics(network, images)


def apply_test_scaling(network: ResidualNetwork, recipe: Recipe) -> None:
    """Give each unit the branch scale of the tested network: its probability, where the recipe says so, else 1."""
    sampler = make_sampler(recipe, len(network.units), [0]) if recipe.test_scaling else None
    scales = sampler.inclusion() if sampler is not None else (1.0,) * len(network.units)
    for unit, scale in zip(network.residual_units(), scales, strict=True):
        unit.test_scale = scale


@torch.no_grad()
def reestimate_statistics(network: nn.Module, images: Tensor, batch: int = 256) -> None:
    """BN statistics of the network as it is in eval mode (all units, test scaling), averaged over ``images``."""
    norms = [m for m in network.modules() if isinstance(m, CopiesBatchNorm2d)]
    kept = [norm.momentum for norm in norms]
    chunks = [chunk for chunk in images.split(batch) if len(chunk) == batch or len(images) < batch]
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
    for index, chunk in enumerate(chunks):
        for norm in norms:
            norm.momentum = 1.0 / (index + 1)
        network(chunk)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
        norm.eval()


class _Batches:
    """Shuffled, shifted mini-batches ``(N, copies * C, H, W)`` with labels ``(N, copies)``."""

    def __init__(self, recipe: Recipe, data: Dataset, copies: Sequence[Copy], seeds: Sequence[int]):
        sets = [data.train(copy.half) for copy in copies]
        # The smaller half's size for every copy: its order must not depend on which others train beside it.
        size = min(int((data.half == half).sum()) for half in (0, 1))
        images = torch.stack([images[:size] for images, _ in sets])
        self.labels = torch.stack([labels[:size] for _, labels in sets])
        self.batch, self.shift, self.size = recipe.batch, recipe.shift, size
        self.per_epoch = size // recipe.batch
        self.images = images
        side = images.shape[-1]
        padded = F.pad(images, (self.shift,) * 4, value=float(images.min()))
        # Every shifted view of every image, without copying: (copies, n, C, shifts, shifts, H, W).
        self.windows = padded.unfold(3, side, 1).unfold(4, side, 1)
        self.generators = [torch.Generator().manual_seed(seed + 1_000_003) for seed in seeds]

    def epoch(self) -> list[tuple[Tensor, Tensor]]:
        count = self.per_epoch * self.batch
        images, labels = [], []
        for copy, generator in enumerate(self.generators):
            order = torch.randperm(self.size, generator=generator)[:count]
            dy, dx = torch.randint(0, 2 * self.shift + 1, (2, count), generator=generator)
            images.append(self.windows[copy, order, :, dy, dx])
            labels.append(self.labels[copy, order])
        together = torch.stack(images, 1).flatten(1, 2)
        return list(zip(together.split(self.batch), torch.stack(labels, 1).split(self.batch), strict=True))

    def all_images(self) -> Tensor:
        return self.images.transpose(0, 1).flatten(1, 2)


def _split(
    network: ResidualNetwork | PlainNetwork, copies: Sequence[Copy], rows: Sequence[EpochRow], seconds: float
) -> list[TrainedCopy]:
    state = network.state_dict()
    result = []
    for index, copy in enumerate(copies):
        curves = Curves(
            loss=tuple(float(row.loss[index]) for row in rows),
            depth=tuple(float(row.depth[index]) for row in rows),
            stem_gradient=tuple(float(row.stem_gradient[index]) for row in rows),
            training_error=tuple(float(row.error[index]) for row in rows),
        )
        result.append(TrainedCopy(copy, copy_state(state, index, len(copies)), curves, seconds, len(copies)))
    return result
