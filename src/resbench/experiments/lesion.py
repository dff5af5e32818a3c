"""Lesions: what errors become when units are deleted, exchanged or duplicated (Veit 2016, section 4).

Deleting a unit removes its residual branch and keeps its shortcut, at test time only and without fine-tuning:
``y' = after(shortcut(x))``.  Every result is a boolean per lesion and test image; the statistics are computed from
those by :mod:`resbench.experiments.lesions`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resbench.networks.residual import PlainNetwork, ResidualNetwork
from resbench.networks.units import ComposedUnit
from resbench.training.target import Member

__all__ = ["Body", "Step", "body", "duplication", "multiple_deletion", "reordering", "single_deletion"]

Map = Callable[[Tensor], Tensor]

DELETIONS = tuple(range(1, 21))
DRAWS = 12
SWAPS = tuple(range(1, 11))
ORDERS = 16
DUPLICATIONS = tuple(range(1, 11))
DUPLICATION_DRAWS = 6
THIRDS = 3
"""Each random lesion is tested on one third of the images in turn: lesions differ more than images do."""


@dataclass(frozen=True)
class Step:
    """One unit (or plain layer) of a network: what it does, and what is left of it when it is deleted."""

    apply: Map
    without: Map
    deletable: bool
    changes_shape: bool


@dataclass(frozen=True)
class Body:
    """A network as an experiment sees it: stem, steps in order, head; ``stages``: the stage of each step."""

    stem: Map
    steps: tuple[Step, ...]
    head: Map
    stages: tuple[int, ...]

    @property
    def stage_firsts(self) -> frozenset[int]:
        """The first step of every stage (units 1, 19 and 37 of Veit's network), excluded by the paper's protocol."""
        return frozenset(i for i, stage in enumerate(self.stages) if i == 0 or stage != self.stages[i - 1])

    @property
    def ordinary(self) -> list[int]:
        """The steps that the paper's multiple deletions and exchanges draw from."""
        return [i for i, step in enumerate(self.steps) if step.deletable and i not in self.stage_firsts]

    def inputs(self, images: Tensor) -> list[Tensor]:
        """The input of every step, and at the end the head's."""
        values = [self.stem(images)]
        for step in self.steps:
            values.append(step.apply(values[-1]))
        return values


def body(network: ResidualNetwork | PlainNetwork) -> Body:
    """The body of one of this package's networks."""
    if isinstance(network, PlainNetwork):
        return _plain_body(network)
    steps = tuple(Step(unit, _without(unit), True, unit.changes_shape) for unit in network.residual_units())
    stages = tuple(stage for stage, count in enumerate(network.spec.units) for _ in range(count))
    return Body(network.stem, steps, network.head, stages)


def _without(unit: ComposedUnit) -> Map:
    return lambda x: unit.after(unit.shortcut(x))


def _plain_body(network: PlainNetwork) -> Body:
    """A deleted layer leaves its input, the pooling after it stays; the first changes the width: not deletable."""

    def applied(index: int) -> Map:
        return lambda x: network.pool_after(index, network.layers[index](x))

    def removed(index: int) -> Map:
        return lambda x: network.pool_after(index, x)

    count = len(network.layers)
    steps = tuple(Step(applied(i), removed(i), i > 0, i == 0) for i in range(count))
    return Body(lambda x: x, steps, network.head, (0,) * count)


def single_deletion(member: Member) -> dict[str, Any]:
    """Delete each step in turn.

    Returns ``wrong``: booleans ``(1 + steps, images)``, row 0 the whole network; ``deletable``, ``ordinary``,
    ``changes_shape``: booleans ``(steps,)``.  Every lesion starts from the stored input of its step.
    """
    parts = body(member.network)
    images, labels = member.test
    with torch.inference_mode():
        inputs = parts.inputs(images)
        rows = [_wrong(parts, inputs[-1], labels)]
        for index, step in enumerate(parts.steps):
            if not step.deletable:
                rows.append(np.ones(len(labels), dtype=bool))
                continue
            value = step.without(inputs[index])
            for later in parts.steps[index + 1 :]:
                value = later.apply(value)
            rows.append(_wrong(parts, value, labels))
    return {
        "wrong": np.stack(rows),
        "deletable": np.array([step.deletable for step in parts.steps]),
        "ordinary": np.isin(np.arange(len(parts.steps)), parts.ordinary),
        "changes_shape": np.array([step.changes_shape for step in parts.steps]),
    }


def multiple_deletion(member: Member) -> dict[str, Any]:
    """Delete ``k = 1..20`` random units, without replacement, never the first of a stage (the paper's protocol).

    Both halves' networks get the same lesions.  Returns ``k``: ints ``(runs,)``; ``wrong``: booleans
    ``(runs, images / 3)``.
    """
    parts = body(member.network)
    pool = parts.ordinary
    generator = np.random.default_rng(41)
    ks = [k for k in DELETIONS if k <= len(pool) for _ in range(DRAWS)]
    lesions = [frozenset(generator.choice(pool, size=k, replace=False).tolist()) for k in ks]

    def plan(deleted: frozenset[int]) -> list[Map]:
        return [step.without if i in deleted else step.apply for i, step in enumerate(parts.steps)]

    return _sweep(member, parts, [plan(d) for d in lesions], [min(d) for d in lesions]) | {"k": np.array(ks)}


def reordering(member: Member) -> dict[str, Any]:
    """Exchange ``k = 1..10`` random pairs of units of one stage, never its first, one after the other.

    Both halves' networks get the same orders.  Returns ``swaps``: ints ``(runs,)``; ``tau``: Kendall's tau of the
    resulting order ``(runs,)``; ``wrong``: booleans ``(runs, images / 3)``.
    """
    from scipy.stats import kendalltau

    parts = body(member.network)
    pairs = [(a, b) for a in parts.ordinary for b in parts.ordinary if a < b and parts.stages[a] == parts.stages[b]]
    generator = np.random.default_rng(43)
    swaps = [k for k in SWAPS for _ in range(ORDERS)]
    orders = []
    for k in swaps:
        order = list(range(len(parts.steps)))
        for choice in generator.integers(len(pairs), size=k):
            a, b = pairs[int(choice)]
            order[a], order[b] = order[b], order[a]
        orders.append(order)
    tau = [float(kendalltau(range(len(order)), order).statistic) for order in orders]
    starts = [next((i for i, unit in enumerate(order) if i != unit), len(order)) for order in orders]
    plans = [[parts.steps[unit].apply for unit in order] for order in orders]
    return _sweep(member, parts, plans, starts) | {"swaps": np.array(swaps), "tau": np.array(tau)}


def duplication(member: Member) -> dict[str, Any]:
    """Apply ``k = 1..10`` random units twice, never the first of a stage; a result like :func:`multiple_deletion`'s."""
    parts = body(member.network)
    generator = np.random.default_rng(47)
    ks = [k for k in DUPLICATIONS if k <= len(parts.ordinary) for _ in range(DUPLICATION_DRAWS)]
    lesions = [frozenset(generator.choice(parts.ordinary, size=k, replace=False).tolist()) for k in ks]

    def twice(step: Step) -> Map:
        return lambda x: step.apply(step.apply(x))

    plans = [[twice(s) if i in chosen else s.apply for i, s in enumerate(parts.steps)] for chosen in lesions]
    return _sweep(member, parts, plans, [min(d) for d in lesions]) | {"k": np.array(ks)}


def _sweep(member: Member, parts: Body, plans: Sequence[Sequence[Map]], starts: Sequence[int]) -> dict[str, Any]:
    """Run plan ``r`` on third ``r % 3`` of the images, from the stored input of its first changed step."""
    images, labels = member.test
    size = len(labels) // THIRDS
    wrong = np.empty((len(plans), size), dtype=bool)
    with torch.inference_mode():
        for third in range(THIRDS):
            part = slice(third * size, (third + 1) * size)
            inputs = parts.inputs(images[part])
            for run in range(third, len(plans), THIRDS):
                value = inputs[starts[run]]
                for step in plans[run][starts[run] :]:
                    value = step(value)
                wrong[run] = _wrong(parts, value, labels[part])
    return {"wrong": wrong}


def _wrong(parts: Body, value: Tensor, labels: Tensor) -> NDArray[np.bool_]:
    """Whether each image is misclassified; an image whose logits are not finite is."""
    logits = parts.head(value)
    wrong = (logits.argmax(1) != labels) | ~torch.isfinite(logits).all(1)
    return np.asarray(wrong.cpu().numpy(), dtype=bool)
