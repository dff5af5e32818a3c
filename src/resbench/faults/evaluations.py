"""Faults of evaluations: in which mode, on which images, of which networks something is tested or timed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from resbench.experiments import evaluation, lab, reading, speed
from resbench.faults.described import Function, Injected, described
from resbench.faults.fault import Fault
from resbench.faults.patching import wrapped
from resbench.networks.residual import ResidualNetwork
from resbench.targets.images import Images
from resbench.training import checkpoints
from resbench.training.target import Member

__all__ = ["FAULTS", "train_mode"]


def train_mode(network: torch.nn.Module) -> None:
    """All units in use, batch statistics, running ones that move."""
    network.train()
    if isinstance(network, ResidualNetwork):
        network.sampler = None


def evaluated_in_training_mode() -> Injected:
    """Test errors are taken in training mode: of batch statistics."""

    def faulty(original: Function) -> Function:
        @functools.wraps(original)
        def measured(member: Any) -> dict[str, Any]:
            train_mode(member.network)
            found: dict[str, Any] = original(member)
            return found

        return measured

    return wrapped(evaluation, "evaluation", faulty)


def _member(change: Callable[[Member], Member]) -> Injected:
    return wrapped(checkpoints, "_member", lambda original: lambda *arguments: change(original(*arguments)))


def tested_on_training_images() -> Injected:
    """A network is tested on its own half."""
    return _member(lambda member: replace(member, test=member.train))


def tested_on_few_images() -> Injected:
    """Only the first images are tested, those of one batch."""
    return _member(lambda member: replace(member, test=member.test.subset(range(256))))


def labels_shuffled() -> Injected:
    """Labels are in another order than their images."""

    def shuffled(images: Images) -> Images:
        labels = images.labels[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))]
        found = images.subset(range(len(images)))
        found.labels = labels
        return found

    return _member(lambda member: replace(member, test=shuffled(member.test), train=shuffled(member.train)))


def member_left_out() -> Injected:
    """Of two networks that test a half each, only the first is measured."""

    def faulty(original: Function) -> Function:
        return lambda request, target: original(request, target)[:1]

    return wrapped(lab, "measured", faulty)


def one_network_for_all() -> Injected:
    """The first network that was read is handed out under every name: comparisons come out even."""

    def faulty(original: Function) -> Function:
        def target(self: lab.Lab, name: str) -> Any:
            self._targets[name] = next(iter(self._targets.values()), None) or original(self, name)
            return self._targets[name]

        return target

    return wrapped(lab.Lab, "_target", faulty)


def networks_sorted() -> Injected:
    """Results of several networks come in the order of their names, and are read in the claim's."""

    def faulty(original: Function) -> Function:
        def requests_of(function: Function, params: Any) -> list[Any]:
            found = original(function, params)
            return [sorted(one, key=lambda r: r.network) if isinstance(one, list) else one for one in found]

        return requests_of

    return wrapped(reading, "requests_of", faulty)


def timed_in_test_mode() -> Injected:
    """Steps of stochastic depth are timed in test mode, where every unit is used."""

    def faulty(original: Function) -> Function:
        def step(network: torch.nn.Module, *batch: torch.Tensor) -> Function:
            made: Function = original(network, *batch)
            network.eval()
            return made

        return step

    return wrapped(speed, "_step", faulty)


_TESTED = "he-test-protocol"

FAULTS: tuple[Fault, ...] = (
    described("experiment", evaluated_in_training_mode, _TESTED),
    described("experiment", tested_on_training_images, _TESTED),
    described("experiment", tested_on_few_images, _TESTED),
    described(
        "experiment",
        labels_shuffled,
        _TESTED,
        "he-t1-short-bias-order@digits",
        "he-t2-*@digits",
        "he-bn-after-add-alters-shortcut@digits",
        "he-1001-fast-loss@digits",
        "he-training-error-higher@digits",
        "resnet-degradation@digits",
    ),
    described("experiment", member_left_out, _TESTED),
    described("experiment", one_network_for_all, _TESTED),
    described("experiment", networks_sorted, "he-t1-identity-best@digits"),
    described(
        "experiment",
        timed_in_test_mode,
        "huang-speed-consistent-25@digits",
        tests=("tests/experiments/test_speed.py::test_timed_steps_train_with_and_without_a_draw_in_turn",),
    ),
)
