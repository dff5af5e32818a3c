"""What the experiments themselves do, on networks small enough to do it a second time by hand.

A claim about a network is worth no more than the experiment that it rests on: a deletion that keeps the branch, or a
test error of the images trained on, would go through most of them.  The networks here are untrained; their images are
random numbers, or the digits with the committed networks of that setting.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from resbench.data import load_dataset
from resbench.experiments.evaluation import evaluation
from resbench.experiments.lab import Lab
from resbench.experiments.lesion import body, single_deletion
from resbench.experiments.structure_huang import random_images
from resbench.lesions.plans import random_subsets
from resbench.networks.copies import initialise
from resbench.networks.residual import NetworkSpec, ResidualNetwork, build
from resbench.networks.units import Order, UnitSpec
from resbench.records.measurement import Measurement
from resbench.records.places import baselines
from resbench.records.results import Request
from resbench.targets.images import Images
from resbench.training.loop import Curves
from resbench.training.target import Member

__all__ = [
    "deletions_that_differ",
    "distinct_networks",
    "evaluation_gap",
    "exchanges",
    "modules_per_deletion",
    "tested_images",
]

_IMAGES = 120


@torch.no_grad()
def deletions_that_differ(order: Order = "preact") -> Measurement:
    """How many results of the sweep of single deletions are not those of a network without that branch.

    A result is whether one image is misclassified with one module deleted (or none); the network by hand applies
    ``after(shortcut(x))`` in the module's place.  Results of a second sweep count as well: nothing may remain of the
    first.  Labels are what the whole network says.
    """
    member, network = _member(order)
    wrong: list[NDArray[np.bool_]] = [single_deletion(member)["wrong"] for _ in range(2)]
    images, labels = member.test.take(range(len(member.test)))
    _freshly(network)
    expected = np.stack([(_by_hand(network, images, gone).argmax(1) != labels).numpy() for gone in _deletions(network)])
    differing = sum(int((found != expected).sum()) for found in wrong)
    return Measurement(differing, n=2 * expected.size, detail=f"{int(expected.sum())} of {expected.size} are errors")


def _deletions(network: ResidualNetwork) -> Iterator[int | None]:
    yield None
    yield from range(len(network.residual_units()))


def _by_hand(network: ResidualNetwork, images: Tensor, gone: int | None) -> Tensor:
    x = network.stem(images)
    for index, unit in enumerate(network.residual_units()):
        entered = unit.entry(x)
        branch = 0.0 if index == gone else unit.residual(entered)
        x = unit.post(unit.skip(entered) + branch)
    return network.head(x)


def modules_per_deletion(sizes: Sequence[int], units: Sequence[int] = (18, 18, 18), draws: int = 50) -> list[int]:
    """The smallest number of different modules that a random deletion of each size deletes, over many draws."""
    ordinary = body(build(NetworkSpec(units=tuple(units), widths=(2, 4, 8)))).ordinary
    drawn = random_subsets(ordinary, sizes, draws, np.random.default_rng(0))
    groups = [drawn[start : start + draws] for start in range(0, len(drawn), draws)]
    return [min(len(set(chosen)) for chosen in group) for group in groups]


def exchanges(units: Sequence[int]) -> list[int]:
    """``[pairs of modules that may be exchanged, those of them that are of two stages]``."""
    stages = [stage for stage, count in enumerate(units) for _ in range(count)]
    pairs = body(build(NetworkSpec(units=tuple(units), widths=(2, 4, 8)))).pairs
    return [len(pairs), sum(stages[a] != stages[b] for a, b in pairs)]


@torch.no_grad()
def evaluation_gap() -> Measurement:
    """How many images' results, and by how much the training loss, differ from a pass by hand.

    The sum of two numbers: images whose error is not that of the network in test mode, and the largest relative
    difference of an image's loss from that in training mode.
    """
    member, network = _member("preact")
    found = evaluation(member)
    images, labels = member.test.take(range(len(member.test)))
    _freshly(network)
    expected = (network(images).argmax(1) != labels).numpy()
    missing = abs(found["wrong"].size - expected.size)
    differing = missing if missing else int((found["wrong"][0] != expected).sum())
    images, labels = member.train.take(range(len(member.train)))
    losses = F.cross_entropy(_freshly(network).train()(images), labels, reduction="none").numpy()
    gap = float(np.abs(found["training_loss"][0] / losses - 1.0).max())
    return Measurement(differing + gap, n=len(expected), detail=f"{differing} images, loss {gap:.1g}")


def tested_images(setting: str, network: str) -> list[int]:
    """Of a trained network of ``setting``: ``[images tested, of these trained on, of these with another label]``.

    Tested by the experiment ``evaluation``, as the claims on test errors read it.  A label is compared with that of the
    same pixels in the data set.

    Raises:
        NotMeasured: the network is not trained in this setting.
    """
    lab, data = Lab(setting, baselines() / "checkpoints" / setting), load_dataset(setting)
    known = {(_bytes(image), int(label)) for image, label in zip(data.images, data.labels, strict=True)}
    tested = sum(np.asarray(member["wrong"]).size for member in lab.result(Request("evaluation", network)))
    learnt = mislabelled = 0
    for member in lab.members(network):
        own = {_bytes(image) for image in member.train.take(range(len(member.train)))[0]}
        pairs = [(_bytes(i), int(label)) for i, label in zip(*member.test.take(range(len(member.test))), strict=True)]
        learnt += sum(pixels in own for pixels, _ in pairs)
        mislabelled += sum(pair not in known for pair in pairs)
    return [tested, learnt, mislabelled]


def distinct_networks(setting: str, networks: Sequence[str]) -> int:
    """How many different networks the trained ones of these names are, by their weights.

    A lab that hands out one network under two names makes every comparison of the two come out even, which a bound
    that includes the equality cannot see.

    Raises:
        NotMeasured: one of them is not trained in this setting.
    """
    lab = Lab(setting, baselines() / "checkpoints" / setting)
    found = set()
    for name in networks:
        members = lab.members(name)
        weights = [_bytes(weight) for member in members for weight in member.network.state_dict().values()]
        found.add(b"".join(weights))
    return len(found)


def _bytes(image: Tensor) -> bytes:
    return image.numpy().tobytes()


def _member(order: Order) -> tuple[Member, ResidualNetwork]:
    """An untrained network in test mode, whose running statistics are not those of a batch; and its images."""
    network = build(NetworkSpec(units=(2, 2), widths=(4, 8), unit=UnitSpec(order=order)))
    assert isinstance(network, ResidualNetwork)
    images = random_images(2 * _IMAGES, seed=1, dtype=torch.float32)
    with torch.no_grad():
        said = _freshly(network)(images).argmax(1)
    train, test = (Images.of_tensors(images[part::2], said[part::2]) for part in (0, 1))
    return Member(network, 0, train, test, Curves((), (), ())), network


@torch.no_grad()
def _freshly(network: ResidualNetwork) -> ResidualNetwork:
    """The network as it was made: weights, and statistics of a few images; in test mode."""
    initialise(network, [0])
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
    network.train()(2.0 * random_images(64, dtype=torch.float32) + 0.5)
    return network.eval()
