"""Faults of branches and whole networks: activations, normalisation, parameters, gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resbench.faults.described import Function, Injected, described
from resbench.faults.fault import Fault
from resbench.faults.patching import replaced, wrapped
from resbench.networks import residual, units
from resbench.networks.copies import CopiesBatchNorm2d, CopiesConv2d, Sequence2d
from resbench.networks.residual import PlainSpec, ResidualNetwork
from resbench.networks.units import ComposedUnit

__all__ = ["FAULTS"]


# --- activations ----------------------------------------------------------------------------------------------------


def _branches(edit: Callable[[list[nn.Module]], list[nn.Module]]) -> Injected:
    return wrapped(units, "_branch_layers", lambda original: lambda *a, **options: edit(original(*a, **options)))


def first_activation_missing() -> Injected:
    """No ReLU follows the first convolution: pre-activation units then split a signal that is not activated."""

    def faulty(original: Function) -> Function:
        def stem(*arguments: Any) -> nn.Module:
            built = original(*arguments)
            return Sequence2d(*(nn.Identity() if isinstance(layer, nn.ReLU) else layer for layer in built.children()))

        return stem

    return wrapped(residual, "_stem", faulty)


def last_activation_missing() -> Injected:
    """A pre-activation network's last sum goes to the classifier without BN and ReLU."""
    return replaced(residual, "_head_activation", lambda *_: nn.Identity())


def relu_before_addition() -> Injected:
    """A ReLU ends the branch, so that a unit can only add to its signal."""
    return _branches(lambda layers: [*layers, nn.ReLU()])


def last_relu_of_branch_missing() -> Injected:
    """The ReLU that ends a branch is left out where the unit's order asks for it."""
    return _branches(lambda layers: layers[:-1] if isinstance(layers[-1], nn.ReLU) else layers)


# --- normalisation --------------------------------------------------------------------------------------------------


def bn_in_training_at_test() -> Injected:
    """Batch normalisation ignores eval(): its train(mode) forgets to hand the mode on."""
    return replaced(CopiesBatchNorm2d, "train", lambda self, mode=True: nn.Module.train(self, True))


def bn_frozen_in_training() -> Injected:
    """Batch normalisation ignores train(): what froze it for a fine-tuning was left in."""
    return replaced(CopiesBatchNorm2d, "train", lambda self, mode=True: nn.Module.train(self, False))


def bn_momentum_wrong() -> Injected:
    """The running statistics move by 0.9 of the difference: TensorFlow's momentum taken for PyTorch's."""

    def faulty(original: Function) -> Function:
        def build(self: CopiesBatchNorm2d, *arguments: Any, **options: Any) -> None:
            original(self, *arguments, **options)
            self.momentum = 0.9

        return build

    return wrapped(CopiesBatchNorm2d, "__init__", faulty)


def bn_statistics_shared() -> Injected:
    """The normalisations of a branch share their running statistics, as where one layer is called twice."""

    def edit(layers: list[nn.Module]) -> list[nn.Module]:
        first: dict[int, nn.BatchNorm2d] = {}
        for layer in layers:
            if isinstance(layer, nn.BatchNorm2d):
                kept = first.setdefault(layer.num_features, layer)
                layer.running_mean, layer.running_var = kept.running_mean, kept.running_var
        return layers

    return _branches(edit)


# --- parameters, randomness, gradients ------------------------------------------------------------------------------


def convolution_with_bias() -> Injected:
    """Convolutions have a bias although a normalisation follows and takes it away again."""

    def faulty(original: Function) -> Function:
        def build(self: CopiesConv2d, *arguments: Any, **options: Any) -> None:
            original(self, *arguments, **{**options, "bias": True})

        return build

    return wrapped(CopiesConv2d, "__init__", faulty)


def plain_network_widens() -> Injected:
    """The plain network doubles its width at each pooling, as a VGG net does, so that layers cannot be removed."""

    def widths(self: PlainSpec) -> tuple[int, ...]:
        return tuple(self.width * 2 ** sum(pool <= layer for pool in self.pools) for layer in range(self.layers))

    return replaced(PlainSpec, "widths", property(widths))


class _AlwaysDropout(nn.Module):
    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, 0.1, training=True)


def dropout_at_test() -> Injected:
    """A functional dropout in the branch is not told of the mode, and drops at test time as well."""
    return _branches(lambda layers: [*layers, _AlwaysDropout()])


def branch_without_gradient() -> Injected:
    """One unit's branch is computed without gradients: a no_grad() that was meant for an experiment."""

    def faulty(original: Function) -> Function:
        def build(self: ResidualNetwork, *arguments: Any, **options: Any) -> None:
            original(self, *arguments, **options)
            unit: ComposedUnit = self.residual_units()[-1]
            unit.residual.forward = torch.no_grad()(unit.residual.forward)  # type: ignore[method-assign]

        return build

    return wrapped(ResidualNetwork, "__init__", faulty)


_REWRITTEN = ("against-function", "against-gradients")

FAULTS: tuple[Fault, ...] = (
    described("network", first_activation_missing, "he-preact-first-last", "huang-drop-is-identity@any", *_REWRITTEN),
    described("network", last_activation_missing, "he-preact-first-last", "he-param-164", "he-param-1001"),
    described("network", relu_before_addition, "huang-net", "he-f-relu-truncation", *_REWRITTEN),
    described("network", last_relu_of_branch_missing, "he-relu-before-add-monotone"),
    described(
        "network",
        bn_in_training_at_test,
        *("unit-eval-reaches-all", "unit-eval-independent", "unit-eval-keeps-statistics", *_REWRITTEN),
    ),
    described(
        "network", bn_frozen_in_training, "unit-train-moves-statistics", "he-preact-inputs-normalised", *_REWRITTEN
    ),
    described("network", bn_momentum_wrong, "against-gradients"),
    described("network", bn_statistics_shared, *_REWRITTEN),
    described("network", convolution_with_bias, "he-param-110", "he-param-1202", "resnet-t6", "against-structure"),
    described("network", plain_network_widens, "vgg-role"),
    described("network", dropout_at_test, "unit-eval-deterministic", "huang-net", "he-backward-decomp@any"),
    described("network", branch_without_gradient, "unit-gradient-reaches-all", "he-backward-decomp@any", *_REWRITTEN),
)
