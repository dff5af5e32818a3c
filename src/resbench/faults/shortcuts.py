"""Faults of shortcuts: what they carry, how they are scaled, and how they change the shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resbench.faults.described import Function, Injected, described
from resbench.faults.fault import Fault
from resbench.faults.patching import replaced, wrapped
from resbench.networks import units
from resbench.networks.copies import Sequence2d
from resbench.networks.residual import ResidualNetwork
from resbench.networks.units import ComposedUnit, ZeroPadShortcut

__all__ = ["FAULTS"]


# --- what they carry ------------------------------------------------------------------------------------------------


class _Layer(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self._function = function

    def forward(self, input: Tensor) -> Tensor:
        return self._function(input)


def _on_every_shortcut(what: Callable[[Tensor], Tensor]) -> Injected:
    """Another layer behind every shortcut; parameters keep their names, so that checkpoints still fit."""

    def faulty(original: Function) -> Function:
        def skip(*arguments: Any) -> nn.Module:
            own = original(*arguments)
            return own.append(_Layer(what)) if isinstance(own, nn.Sequential) else nn.Sequential(_Layer(what))

        return skip

    return wrapped(units, "_skip", faulty)


def shortcut_scaled() -> Injected:
    """Every shortcut is multiplied by 0.9, as where a damping meant for the branch is put on the sum."""
    return _on_every_shortcut(lambda x: 0.9 * x)


def shortcut_normalised() -> Injected:
    """The shortcut carries the normalised signal, as where a layer normalisation stands before the two ways part."""
    return _on_every_shortcut(lambda x: F.layer_norm(x, x.shape[1:]))


def shortcut_detached() -> Injected:
    """The shortcut passes no gradient, as where the addition takes the input's .data."""
    return _on_every_shortcut(lambda x: x.detach())


def shortcut_relu_in_place() -> Injected:
    """The branch begins with a ReLU that overwrites the signal that the shortcut is still to carry."""

    def faulty(original: Function) -> Function:
        def layers(*arguments: Any, **options: Any) -> list[nn.Module]:
            built: list[nn.Module] = original(*arguments, **options)
            for layer in built:
                if isinstance(layer, nn.ReLU):
                    layer.inplace = True
            return built

        return layers

    return wrapped(units, "_branch_layers", faulty)


def shortcut_dropped_in_one_unit() -> Injected:
    """One unit in the middle returns its branch alone: its addition was lost in an edit."""

    def faulty(original: Function) -> Function:
        def build(self: ResidualNetwork, *arguments: Any, **options: Any) -> None:
            original(self, *arguments, **options)
            plain = [unit for unit in self.residual_units() if not unit.changes_shape]
            if plain:
                plain[len(plain) // 2].skip = units.Nothing()

        return build

    return wrapped(ResidualNetwork, "__init__", faulty)


def shortcut_added_twice() -> Injected:
    """Where the shape changes the shortcut is added twice: by the new code and by what was left of the old."""

    def faulty(original: Function) -> Function:
        def forward(self: ComposedUnit, x: Tensor, active: Tensor | None = None) -> Tensor:
            if not self.changes_shape:
                output: Tensor = original(self, x, active)
                return output
            used = 1.0 if active is None or len(active) else 0.0
            return self.after(self.shortcut(x) + used * self.branch(x) + self.shortcut(x))

        return forward

    return wrapped(ComposedUnit, "forward", faulty)


def shortcut_dropout_at_test() -> Injected:
    """A functional dropout on the shortcut is not told of the mode, and drops at test time as well."""
    return _on_every_shortcut(lambda x: F.dropout(x, 0.1, training=True))


class _Activated(nn.Module):
    """The shortcut of what the branch's first activation makes; its layers stay the branch's own."""

    def __init__(self, activation: list[nn.Module], skip: nn.Module):
        super().__init__()
        self._activation = tuple(activation)
        self.skip = skip

    def forward(self, input: Tensor) -> Tensor:
        for layer in self._activation:
            input = layer(input)
        kept: Tensor = self.skip(input)
        return kept


def _on_every_unit(edit: Callable[[ComposedUnit], None]) -> Injected:
    def faulty(original: Function) -> Function:
        def build_unit(*arguments: Any, **options: Any) -> ComposedUnit:
            unit: ComposedUnit = original(*arguments, **options)
            edit(unit)
            return unit

        return build_unit

    return wrapped(units, "build_unit", faulty)


def shortcut_after_activation() -> Injected:
    """The shortcut starts after the unit's first activation, as where x is overwritten by relu(bn(x))."""

    def edit(unit: ComposedUnit) -> None:
        first = list(unit.residual)[:2]
        if isinstance(first[-1], nn.ReLU) and not list(unit.skip.parameters()):
            unit.skip = _Activated(first, unit.skip)

    return _on_every_unit(edit)


def projection_before_activation() -> Injected:
    """A projection reads the sum and not, as the branch beside it, the activated signal."""

    def edit(unit: ComposedUnit) -> None:
        if not isinstance(unit.entry, nn.Identity):
            unit.residual = Sequence2d(*unit.entry.children(), *unit.residual)
            unit.entry = nn.Identity()

    return _on_every_unit(edit)


def relu_after_addition() -> Injected:
    """A ReLU follows the addition of pre-activation units, as in the original ones."""

    def edit(unit: ComposedUnit) -> None:
        if isinstance(unit.post, nn.Identity):
            unit.post = nn.ReLU()

    return _on_every_unit(edit)


# --- constant scaling and gates -------------------------------------------------------------------------------------


def branch_scale_forgotten() -> Injected:
    """Constant scaling multiplies the shortcut and forgets the branch."""
    return replaced(ComposedUnit, "scale", property(lambda self: 1.0 if self.training else self.test_scale))


def shortcut_scale_forgotten() -> Injected:
    """Constant scaling multiplies the branch and forgets the shortcut."""
    return replaced(units, "Scale", lambda factor: nn.Identity())


def _gates(edit: Callable[[nn.Sequential], object]) -> Injected:
    def faulty(original: Function) -> Function:
        def gate(*arguments: Any) -> nn.Sequential | None:
            built: nn.Sequential | None = original(*arguments)
            if built is not None:
                edit(built)
            return built

        return gate

    return wrapped(units, "_gate", faulty)


def gate_softmax() -> Injected:
    """A gate's channels compete: softmax in the place of the sigmoid."""
    return _gates(lambda gate: gate.__setitem__(-1, nn.Softmax(1)))


def gate_inverted() -> Injected:
    """The gate opens the way that it should close: g and 1 - g are exchanged."""
    return _gates(lambda gate: gate.append(_Layer(lambda x: 1.0 - x)))


def gate_bias_sign() -> Injected:
    """Gates start with the bias of the other sign, so that shortcuts are closed where they should be open."""

    @torch.no_grad()
    def edit(gate: nn.Sequential) -> None:
        for parameter in gate.parameters():
            if parameter.ndim == 1:
                parameter.neg_()

    return _gates(edit)


# --- downsampling ---------------------------------------------------------------------------------------------------


def downsampling_not_pooled() -> Injected:
    """The shortcut takes every second pixel where it should average four."""

    def faulty(original: Function) -> Function:
        def forward(self: ZeroPadShortcut, input: Tensor) -> Tensor:
            self.pool = False
            output: Tensor = original(self, input)
            return output

        return forward

    return wrapped(ZeroPadShortcut, "forward", faulty)


def downsampling_by_first_layer() -> Injected:
    """A bottleneck reduces the map in its first 1x1 convolution, not in the 3x3: the two versions of ResNet-50."""

    def faulty(original: Function) -> Function:
        def layers(*arguments: Any, **options: Any) -> list[nn.Module]:
            built: list[nn.Module] = original(*arguments, **options)
            convolutions = [layer for layer in built if isinstance(layer, nn.Conv2d)]
            strides = sorted((layer.stride for layer in convolutions), reverse=True)
            for layer, stride in zip(convolutions, strides, strict=True):
                layer.stride = stride
            return built

        return layers

    return wrapped(units, "_branch_layers", faulty)


def downsampling_forgotten_once() -> Injected:
    """The third stage keeps the map's size: its first unit has lost the stride of 2."""
    strided = 0

    def faulty(original: Function) -> Function:
        def build_unit(
            spec: Any, inputs: int, width: int, stride: int, *, first: bool = False, **options: Any
        ) -> ComposedUnit:
            nonlocal strided
            strided = 0 if first else strided + (stride > 1)
            built: ComposedUnit = original(spec, inputs, width, stride if strided < 2 else 1, first=first, **options)
            return built

        return build_unit

    return wrapped(units, "build_unit", faulty)


def zero_padding_before() -> Injected:
    """The channels that a shortcut lacks are filled in before its own, not after."""
    return replaced(ZeroPadShortcut, "padding", lambda self: (self.outputs - self.inputs, 0))


_REWRITTEN = ("against-function", "against-gradients", "against-lesions")
_DOWNSAMPLING = ("huang-net", "huang-update@any", "huang-drop-is-identity@any")

FAULTS: tuple[Fault, ...] = (
    described(
        "network",
        shortcut_scaled,
        *("he-scaling-product", "he-no-vanish-small-weights", "unit-identity-shortcut", *_REWRITTEN),
        *("he-general-h-product", "veit-grad-exp-decay@any"),
    ),
    described("network", shortcut_normalised, "he-scaling-product", "unit-identity-shortcut", "unit-gradient-passes"),
    described(
        "network",
        shortcut_detached,
        *("he-backward-decomp", "he-no-vanish-small-weights", "unit-gradient-passes", "veit-grad-path-sum"),
    ),
    described("network", shortcut_relu_in_place, "he-forward-additive", "he-backward-decomp@any"),
    described(
        "network",
        shortcut_dropped_in_one_unit,
        *("he-scaling-product", "he-no-vanish-small-weights", "huang-update@any", "unit-identity-shortcut"),
    ),
    described("network", shortcut_added_twice, "huang-update@any", "huang-drop-is-identity@any"),
    described(
        "network",
        shortcut_dropout_at_test,
        *("unit-transition-shortcut", "unit-identity-shortcut", "unit-eval-deterministic"),
    ),
    described(
        "network",
        shortcut_after_activation,
        *("he-bn-after-add-alters-shortcut@any", "he-scaling-product", "unit-identity-shortcut"),
    ),
    described("network", projection_before_activation, "he-bottleneck-cifar"),
    described(
        "network",
        relu_after_addition,
        *("he-forward-additive@any", "he-forward-from-x0", "he-backward-decomp@any", "he-f-relu-truncation"),
        *("veit-unravel-n3", "he-asymmetric-equiv"),
    ),
    described("network", branch_scale_forgotten, "he-no-vanish-small-weights", "he-scaling-product"),
    described("network", shortcut_scale_forgotten, "he-scaling-product"),
    described(
        "network",
        gate_softmax,
        *("hwy-eq", "he-gate-init-openness", "he-general-h-product", "veit-resnet-highway-special-case"),
    ),
    described(
        "network",
        gate_inverted,
        *("hwy-eq", "he-gate-init-openness", "veit-highway-bias", "he-gate-covers-identity"),
    ),
    described("network", gate_bias_sign, "hwy-bias", "hwy-eq", "veit-highway-bias", "he-gate-init-openness"),
    described("network", downsampling_not_pooled, *_DOWNSAMPLING),
    described("network", downsampling_by_first_layer, "unit-bottleneck-stride"),
    described(
        "network", downsampling_forgotten_once, "huang-net", "he-footnote-downsampling", "he-unit-counts", "resnet-6n2"
    ),
    described("network", zero_padding_before, *_DOWNSAMPLING),
)
