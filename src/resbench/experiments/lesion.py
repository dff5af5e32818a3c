"""Lesions: what errors become when units are deleted, exchanged or duplicated (Veit 2016, section 4).

Deleting a unit removes its residual branch and keeps its shortcut, at test time only and without fine-tuning:
``y' = after(shortcut(x))``.  Every result is a boolean per lesion and test image; the statistics are computed from
those by :mod:`resbench.experiments.lesions`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resbench.errors import NotMeasured
from resbench.experiments.lesion_target import TargetBody, tested_images
from resbench.lesions.engine import predict
from resbench.lesions.executable import Executable
from resbench.lesions.plans import Plan, deleted, duplicated, pairs, random_orders, random_subsets, reordered, whole
from resbench.lesions.trie import Step as LesionStep
from resbench.networks.residual import PlainNetwork, ResidualNetwork
from resbench.networks.units import ComposedUnit
from resbench.targets.images import Images
from resbench.targets.target import UserMember
from resbench.training.target import Member

__all__ = [
    "Body",
    "Lesionable",
    "Step",
    "body",
    "deletion_plans",
    "duplication",
    "multiple_deletion",
    "pair_deletion",
    "prepared",
    "reordering",
    "single_deletion",
]

Map = Callable[[Tensor], Tensor]

DELETIONS = tuple(range(1, 21))
DRAWS = 12
SWAPS = tuple(range(1, 11))
ORDERS = 16
DUPLICATIONS = tuple(range(1, 11))
DUPLICATION_DRAWS = 6
THIRDS = 3
"""Each random lesion is tested on one third of the images in turn: lesions differ more than images do."""
_BATCH = 2048
DRAW_IMAGES = 1800
"""As many as the digits have, which gave enough power: a user's 50,000 would only take longer."""


class Lesionable(Protocol):
    """A network under lesions: one of this package's (:class:`Body`) or a user's (:class:`TargetBody`).

    ``tested``: the steps whose deletion is tried; ``ordinary``: those that random lesions draw from;
    ``repeatable``: those of them that may be applied twice; ``pairs``: those that may be exchanged.
    """

    @property
    def count(self) -> int: ...
    @property
    def tested(self) -> list[int]: ...
    @property
    def ordinary(self) -> list[int]: ...
    @property
    def repeatable(self) -> list[int]: ...
    @property
    def pairs(self) -> list[tuple[int, int]]: ...
    def describe(self) -> dict[str, NDArray[Any]]: ...
    def wrong(self, plans: Sequence[Plan], data: Images) -> NDArray[np.bool_]: ...


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
    device: torch.device

    @property
    def stage_firsts(self) -> frozenset[int]:
        """The first step of every stage (units 1, 19 and 37 of Veit's network), excluded by the paper's protocol."""
        return frozenset(i for i, stage in enumerate(self.stages) if i == 0 or stage != self.stages[i - 1])

    @property
    def ordinary(self) -> list[int]:
        """The steps that the paper's multiple deletions and exchanges draw from."""
        return [i for i, step in enumerate(self.steps) if step.deletable and i not in self.stage_firsts]

    @property
    def count(self) -> int:
        return len(self.steps)

    @property
    def tested(self) -> list[int]:
        return list(range(self.count))

    @property
    def repeatable(self) -> list[int]:
        return self.ordinary

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Two ordinary steps of one stage."""
        ordinary = self.ordinary
        return [(a, b) for a in ordinary for b in ordinary if a < b and self.stages[a] == self.stages[b]]

    def describe(self) -> dict[str, NDArray[Any]]:
        return {
            "deletable": np.array([step.deletable for step in self.steps]),
            "ordinary": np.isin(np.arange(self.count), self.ordinary),
            "changes_shape": np.array([step.changes_shape for step in self.steps]),
        }

    def wrong(self, plans: Sequence[Plan], data: Images) -> NDArray[np.bool_]:
        """Whether each image is misclassified under each plan, ``(plans, images)``.

        What plans have in common is computed once.  Deleting a step that is not deletable leaves nothing that could be
        right.
        """
        rows = np.ones((len(plans), len(data)), dtype=bool)
        possible = [row for row, plan in enumerate(plans) if self._possible(plan)]
        if possible:
            executable = Executable(self.count, frozenset(), self.stem, self._take, self.head)
            size = min(_BATCH, len(data))
            classes = predict([executable], [plans[row] for row in possible], data, size, device=self.device)
            rows[possible] = classes != data.labels.numpy()
        return rows

    def _possible(self, plan: Plan) -> bool:
        return all(self.steps[i].deletable for i, chosen in enumerate(plan) if not chosen)

    def _take(self, step: LesionStep, x: Tensor) -> Tensor:
        return (self.steps[step.at].apply if step.kind == "apply" else self.steps[step.at].without)(x)

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
    return Body(network.stem, steps, network.head, stages, _device(network))


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
    return Body(lambda x: x, steps, network.head, (0,) * count, _device(network))


def _device(network: ResidualNetwork | PlainNetwork) -> torch.device:
    return next(network.parameters()).device


def single_deletion(member: Member | UserMember) -> dict[str, Any]:
    """Delete each step in turn.

    Returns ``wrong``: booleans ``(1 + steps, images)``, row 0 the whole network; ``deletable``, ``ordinary``,
    ``changes_shape``: booleans ``(steps,)``.  Of a user's network only the deletable units are among the steps; their
    ``names`` and positions (``units``) are given, and how many are ``left_out``.
    """
    parts, data = prepared(member)
    return {"wrong": parts.wrong(deletion_plans(parts), data), **parts.describe()}


def pair_deletion(member: Member | UserMember) -> dict[str, Any]:
    """Delete every two of the tested steps.

    Returns ``wrong``: booleans ``(1 + steps + pairs, images)``, the whole network, each step alone, each pair;
    ``pairs``: ints ``(pairs, 2)``, positions among the tested steps.
    """
    parts, data = prepared(member)
    tested = parts.tested
    chosen = pairs(range(len(tested)))
    both = [deleted(parts.count, [tested[i], tested[j]]) for i, j in chosen]
    return {
        "wrong": parts.wrong([*deletion_plans(parts), *both], data),
        "pairs": np.array(chosen, dtype=np.int64).reshape(-1, 2),
    }


def deletion_plans(parts: Lesionable) -> list[Plan]:
    """The whole network, and each step deleted in turn."""
    return [whole(parts.count), *(deleted(parts.count, [index]) for index in parts.tested)]


def multiple_deletion(member: Member | UserMember) -> dict[str, Any]:
    """Delete ``k = 1..20`` random units, without replacement, never the first of a stage (the paper's protocol).

    Both halves' networks get the same lesions.  Returns ``k``: ints ``(runs,)``; ``wrong``: booleans
    ``(runs, images / 3)``.
    """
    parts, data = _prepared_for_draws(member)
    lesions = random_subsets(parts.ordinary, DELETIONS, DRAWS, np.random.default_rng(41))
    plans = [deleted(parts.count, chosen) for chosen in lesions]
    return {"wrong": _sweep(parts, plans, data), "k": np.array([len(chosen) for chosen in lesions])}


def reordering(member: Member | UserMember) -> dict[str, Any]:
    """Exchange ``k = 1..10`` random pairs of units of one stage, never its first, one after the other.

    Both halves' networks get the same orders.  Returns ``swaps``: ints ``(runs,)``; ``tau``: Kendall's tau of the
    resulting order ``(runs,)``; ``wrong``: booleans ``(runs, images / 3)``.
    """
    from scipy.stats import kendalltau

    parts, data = _prepared_for_draws(member)
    exchangeable = parts.pairs
    if not exchangeable:
        raise NotMeasured("no two units beyond the first of a stage can be exchanged")
    drawn = random_orders(parts.count, exchangeable, SWAPS, ORDERS, np.random.default_rng(43))
    tau = [float(kendalltau(range(len(order)), order).statistic) for _, order in drawn]
    plans = [reordered(order) for _, order in drawn]
    swaps = np.array([count for count, _ in drawn])
    return {"wrong": _sweep(parts, plans, data), "swaps": swaps, "tau": np.array(tau)}


def duplication(member: Member | UserMember) -> dict[str, Any]:
    """Apply ``k = 1..10`` random units twice, never the first of a stage; a result like :func:`multiple_deletion`'s."""
    parts, data = _prepared_for_draws(member)
    pool = parts.repeatable
    if not pool:
        raise NotMeasured("no unit beyond the first of a stage can be applied twice")
    lesions = random_subsets(pool, DUPLICATIONS, DUPLICATION_DRAWS, np.random.default_rng(47))
    plans = [duplicated(parts.count, chosen) for chosen in lesions]
    return {"wrong": _sweep(parts, plans, data), "k": np.array([len(chosen) for chosen in lesions])}


def prepared(member: Member | UserMember) -> tuple[Lesionable, Images]:
    """The network under lesions, and its test images.

    Raises:
        NotMeasured: a user's network without data, at chance, or without a unit that lesions could draw from.
    """
    if isinstance(member, UserMember):
        data = tested_images(member)
        return TargetBody(member.target), data
    return body(member.network), member.test


def _prepared_for_draws(member: Member | UserMember) -> tuple[Lesionable, Images]:
    """As :func:`prepared`, for many random lesions: of a user's images at most ``DRAW_IMAGES``, drawn by its seed.

    All of them where the target is to be measured thoroughly.
    """
    parts, data = prepared(member)
    if not isinstance(member, UserMember) or member.target.thorough or len(data) <= DRAW_IMAGES:
        return parts, data
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(member.target.seed))
    return parts, data.subset(order[:DRAW_IMAGES])


def _sweep(parts: Lesionable, plans: Sequence[Plan], data: Images) -> NDArray[np.bool_]:
    """Run plan ``r`` on third ``r % 3`` of the images."""
    size = len(data) // THIRDS
    wrong = np.empty((len(plans), size), dtype=bool)
    for third in range(THIRDS):
        part = data.subset(range(third * size, (third + 1) * size))
        wrong[third::THIRDS] = parts.wrong(plans[third::THIRDS], part)
    return wrong
