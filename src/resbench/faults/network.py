"""Faults of units and networks: shortcuts, activations, normalisation, gates, downsampling."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from resbench.faults.fault import Fault
from resbench.faults.patching import replaced, wrapped

if TYPE_CHECKING:
    from torch import nn

__all__ = ["FAULTS"]

Injected = AbstractContextManager[None]

_UNITS = "resbench.networks.units"
_NETWORK = "resbench.networks.residual"


# --- shortcuts ------------------------------------------------------------------------------------------------------


def _on_every_shortcut(what: Callable[[], nn.Module]) -> Injected:
    """Another layer behind every shortcut; parameters keep their names, so that checkpoints still fit."""
    from torch import nn

    def faulty(original: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        def skip(*arguments: Any) -> nn.Module:
            own = original(*arguments)
            return own.append(what()) if isinstance(own, nn.Sequential) else nn.Sequential(what())

        return skip

    return wrapped(_UNITS, "_skip", faulty)


def _shortcut_scaled() -> Injected:
    from resbench.networks.units import Scale

    return _on_every_shortcut(lambda: Scale(0.9))


def _shortcut_normalised() -> Injected:
    from torch import Tensor, nn
    from torch.nn import functional as F

    class Normalised(nn.Module):
        def forward(self, input: Tensor) -> Tensor:
            return F.layer_norm(input, input.shape[1:])

    return _on_every_shortcut(Normalised)


def _shortcut_detached() -> Injected:
    from torch import Tensor, nn

    class Detached(nn.Module):
        def forward(self, input: Tensor) -> Tensor:
            return input.detach()

    return _on_every_shortcut(Detached)


def _in_place() -> Injected:
    from torch import nn

    def faulty(original: Callable[..., list[nn.Module]]) -> Callable[..., list[nn.Module]]:
        def layers(*arguments: Any, **options: Any) -> list[nn.Module]:
            built = original(*arguments, **options)
            for layer in built:
                if isinstance(layer, nn.ReLU):
                    layer.inplace = True
            return built

        return layers

    return wrapped(_UNITS, "_branch_layers", faulty)


def _dropped_in_one_unit() -> Injected:
    from resbench.networks.residual import ResidualNetwork
    from resbench.networks.units import Nothing

    def faulty(original: Callable[..., None]) -> Callable[..., None]:
        def build(self: ResidualNetwork, *arguments: Any, **options: Any) -> None:
            original(self, *arguments, **options)
            plain = [unit for unit in self.residual_units() if not unit.changes_shape]
            plain[len(plain) // 2].skip = Nothing()

        return build

    return wrapped(ResidualNetwork, "__init__", faulty)


def _after_activation() -> Injected:
    from torch import Tensor, nn

    class Activated(nn.Module):
        """The shortcut of the branch's first activation; the layers stay the branch's own."""

        def __init__(self, activation: list[nn.Module], skip: nn.Module):
            super().__init__()
            self._activation = tuple(activation)
            self.skip = skip

        def forward(self, input: Tensor) -> Tensor:
            for layer in self._activation:
                input = layer(input)
            kept: Tensor = self.skip(input)
            return kept

    def faulty(original: Callable[..., Any]) -> Callable[..., Any]:
        def build_unit(*arguments: Any, **options: Any) -> Any:
            unit = original(*arguments, **options)
            first = list(unit.residual)[:2]
            if isinstance(first[-1], nn.ReLU) and not list(unit.skip.parameters()):
                unit.skip = Activated(first, unit.skip)
            return unit

        return build_unit

    return wrapped(_UNITS, "build_unit", faulty)


# --- activations ----------------------------------------------------------------------------------------------------


def _without_stem_relu() -> Injected:
    from torch import nn

    from resbench.networks.copies import Sequence2d

    def faulty(original: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        def stem(*arguments: Any) -> nn.Module:
            built = original(*arguments)
            return Sequence2d(*(nn.Identity() if isinstance(layer, nn.ReLU) else layer for layer in built.children()))

        return stem

    return wrapped(_NETWORK, "_stem", faulty)


def _without_last_activation() -> Injected:
    from torch import nn

    return wrapped(_NETWORK, "_head_activation", lambda original: lambda *arguments: nn.Identity())


def _relu_before_addition() -> Injected:
    from torch import nn

    def faulty(original: Callable[..., list[nn.Module]]) -> Callable[..., list[nn.Module]]:
        return lambda *arguments, **options: [*original(*arguments, **options), nn.ReLU()]

    return wrapped(_UNITS, "_branch_layers", faulty)


def _relu_after_addition() -> Injected:
    from torch import nn

    def faulty(original: Callable[..., Any]) -> Callable[..., Any]:
        def build_unit(*arguments: Any, **options: Any) -> Any:
            unit = original(*arguments, **options)
            if isinstance(unit.post, nn.Identity):
                unit.post = nn.ReLU()
            return unit

        return build_unit

    return wrapped(_UNITS, "build_unit", faulty)


# --- normalisation --------------------------------------------------------------------------------------------------


def _bn_stays_in_training() -> Injected:
    from torch import nn

    from resbench.networks.copies import CopiesBatchNorm2d

    return replaced(CopiesBatchNorm2d, "train", lambda self, mode=True: nn.Module.train(self, True))


def _bn_momentum() -> Injected:
    from resbench.networks.copies import CopiesBatchNorm2d

    def faulty(original: Callable[..., None]) -> Callable[..., None]:
        def build(self: CopiesBatchNorm2d, *arguments: Any, **options: Any) -> None:
            original(self, *arguments, **options)
            self.momentum = 0.9

        return build

    return wrapped(CopiesBatchNorm2d, "__init__", faulty)


def _bn_statistics_shared() -> Injected:
    from torch import nn

    def faulty(original: Callable[..., list[nn.Module]]) -> Callable[..., list[nn.Module]]:
        def layers(*arguments: Any, **options: Any) -> list[nn.Module]:
            built = original(*arguments, **options)
            first: dict[int, nn.BatchNorm2d] = {}
            for layer in built:
                if isinstance(layer, nn.BatchNorm2d):
                    kept = first.setdefault(layer.num_features, layer)
                    layer.running_mean, layer.running_var = kept.running_mean, kept.running_var
            return built

        return layers

    return wrapped(_UNITS, "_branch_layers", faulty)


# --- gates and constant scaling -------------------------------------------------------------------------------------


def _gates(edit: Callable[[nn.Sequential], None]) -> Injected:
    def faulty(original: Callable[..., Any]) -> Callable[..., Any]:
        def gate(*arguments: Any) -> Any:
            built = original(*arguments)
            if built is not None:
                edit(built)
            return built

        return gate

    return wrapped(_UNITS, "_gate", faulty)


def _gate_softmax() -> Injected:
    from torch import nn

    def edit(gate: nn.Sequential) -> None:
        gate[-1] = nn.Softmax(1)

    return _gates(edit)


def _gate_inverted() -> Injected:
    from torch import Tensor, nn

    class Complement(nn.Module):
        def forward(self, input: Tensor) -> Tensor:
            return 1.0 - input

    def edit(gate: nn.Sequential) -> None:
        gate.append(Complement())

    return _gates(edit)


def _gate_bias_sign() -> Injected:
    import torch

    def edit(gate: nn.Sequential) -> None:
        with torch.no_grad():
            for parameter in gate[0].parameters():
                if parameter.ndim == 1:
                    parameter.neg_()

    return _gates(edit)


def _without_branch_scale() -> Injected:
    from resbench.networks.units import ComposedUnit

    return replaced(ComposedUnit, "scale", property(lambda self: 1.0 if self.training else self.test_scale))


def _without_shortcut_scale() -> Injected:
    from torch import nn

    return replaced(_UNITS, "Scale", lambda factor: nn.Identity())


# --- downsampling ---------------------------------------------------------------------------------------------------


def _subsampled_instead_of_pooled() -> Injected:
    from resbench.networks.units import ZeroPadShortcut

    def faulty(original: Callable[..., Any]) -> Callable[..., Any]:
        def forward(self: ZeroPadShortcut, input: Any) -> Any:
            self.pool = False
            return original(self, input)

        return forward

    return wrapped(ZeroPadShortcut, "forward", faulty)


def _stride_in_first_layer() -> Injected:
    """The stride of a bottleneck's branch moves from its 3x3 to its first 1x1 convolution."""
    from torch import nn

    def faulty(original: Callable[..., list[nn.Module]]) -> Callable[..., list[nn.Module]]:
        def layers(*arguments: Any, **options: Any) -> list[nn.Module]:
            built = original(*arguments, **options)
            convolutions = [layer for layer in built if isinstance(layer, nn.Conv2d)]
            strides = sorted((layer.stride for layer in convolutions), reverse=True)
            for layer, stride in zip(convolutions, strides, strict=True):
                layer.stride = stride
            return built

        return layers

    return wrapped(_UNITS, "_branch_layers", faulty)


def _halved_once() -> Injected:
    strided = 0

    def faulty(original: Callable[..., Any]) -> Callable[..., Any]:
        def build_unit(spec: Any, inputs: int, width: int, stride: int, *, first: bool = False, **options: Any) -> Any:
            nonlocal strided
            strided = 0 if first else strided + (stride > 1)
            return original(spec, inputs, width, stride if strided < 2 else 1, first=first, **options)

        return build_unit

    return wrapped(_UNITS, "build_unit", faulty)


def _zeros_before() -> Injected:
    from resbench.networks.units import ZeroPadShortcut

    return replaced(ZeroPadShortcut, "padding", lambda self: (self.outputs - self.inputs, 0))


FAULTS: tuple[Fault, ...] = (
    Fault(
        "shortcut-scaled",
        "network",
        "Every shortcut is multiplied by 0.9, as where a damping meant for the branch is put on the sum.",
        _shortcut_scaled,
        ("he-scaling-product", "he-no-vanish-small-weights", "unit-identity-shortcut", "against-function"),
    ),
    Fault(
        "shortcut-normalised",
        "network",
        "The shortcut carries the normalised signal, as where a layer normalisation stands before the two ways part.",
        _shortcut_normalised,
        ("he-scaling-product", "unit-identity-shortcut", "unit-gradient-passes"),
    ),
    Fault(
        "shortcut-detached",
        "network",
        "The shortcut passes no gradient, as where the input of the addition is taken from .data or detach().",
        _shortcut_detached,
        ("he-backward-decomp", "he-no-vanish-small-weights", "unit-gradient-passes", "veit-grad-path-sum"),
    ),
    Fault(
        "shortcut-relu-in-place",
        "network",
        "The branch begins with a ReLU that overwrites the signal that the shortcut is still to carry.",
        _in_place,
        ("he-forward-additive", "he-backward-decomp"),
    ),
    Fault(
        "shortcut-dropped-in-one-unit",
        "network",
        "One unit in the middle returns its branch alone: its addition was lost in an edit.",
        _dropped_in_one_unit,
        ("he-scaling-product", "he-no-vanish-small-weights", "huang-update", "unit-identity-shortcut"),
    ),
    Fault(
        "shortcut-after-activation",
        "network",
        "The shortcut starts after the unit's first activation, as where x is overwritten by relu(bn(x)) first.",
        _after_activation,
        ("he-bn-after-add-alters-shortcut", "he-scaling-product", "unit-identity-shortcut"),
    ),
    Fault(
        "first-activation-missing",
        "network",
        "No ReLU follows the first convolution: pre-activation units then split a signal that is not activated.",
        _without_stem_relu,
        ("he-preact-first-last", "huang-drop-is-identity", "against-function"),
    ),
    Fault(
        "last-activation-missing",
        "network",
        "A pre-activation network's last sum goes to the classifier without BN and ReLU.",
        _without_last_activation,
        ("he-preact-first-last", "he-param-164", "he-param-1001"),
    ),
    Fault(
        "relu-before-addition",
        "network",
        "A ReLU ends the branch, so that a unit can only add to its signal.",
        _relu_before_addition,
        ("huang-net", "he-f-relu-truncation", "against-function"),
    ),
    Fault(
        "relu-after-addition",
        "network",
        "A ReLU follows the addition of pre-activation units, as in the original ones.",
        _relu_after_addition,
        ("he-forward-additive", "he-backward-decomp", "he-f-relu-truncation", "unit-identity-shortcut"),
    ),
    Fault(
        "bn-in-training-at-test",
        "network",
        "Batch normalisation ignores eval(): its train(mode) forgets to hand the mode on.",
        _bn_stays_in_training,
        ("unit-eval-reaches-all", "unit-eval-independent", "unit-eval-keeps-statistics", "against-function"),
    ),
    Fault(
        "bn-momentum-wrong",
        "network",
        "The running statistics move by 0.9 of the difference: TensorFlow's momentum taken for PyTorch's.",
        _bn_momentum,
        ("against-gradients",),
    ),
    Fault(
        "bn-statistics-shared",
        "network",
        "The normalisations of a unit share their running statistics, as where one layer is called twice.",
        _bn_statistics_shared,
        ("he-preact-inputs-normalised", "against-structure", "against-function", "against-gradients"),
    ),
    Fault(
        "gate-softmax",
        "network",
        "A gate's channels compete: softmax in the place of the sigmoid.",
        _gate_softmax,
        ("hwy-eq", "he-gate-init-openness", "he-general-h-product"),
    ),
    Fault(
        "gate-inverted",
        "network",
        "The gate opens the way that it should close: g and 1 - g are exchanged.",
        _gate_inverted,
        ("hwy-eq", "he-gate-init-openness", "veit-highway-bias", "he-gate-covers-identity"),
    ),
    Fault(
        "gate-bias-sign",
        "network",
        "Gates start with the bias of the other sign, so that shortcuts are closed where they should be open.",
        _gate_bias_sign,
        ("hwy-bias", "hwy-eq", "veit-highway-bias", "he-gate-init-openness"),
    ),
    Fault(
        "branch-scale-forgotten",
        "network",
        "Constant scaling multiplies the shortcut and forgets the branch.",
        _without_branch_scale,
        ("he-no-vanish-small-weights", "he-scaling-product"),
    ),
    Fault(
        "shortcut-scale-forgotten",
        "network",
        "Constant scaling multiplies the branch and forgets the shortcut.",
        _without_shortcut_scale,
        ("he-scaling-product",),
    ),
    Fault(
        "downsampling-not-pooled",
        "network",
        "The shortcut takes every second pixel where it should average four.",
        _subsampled_instead_of_pooled,
        ("huang-net", "huang-update", "huang-drop-is-identity"),
    ),
    Fault(
        "downsampling-by-first-layer",
        "network",
        "A bottleneck reduces the map in its first 1x1 convolution, not in the 3x3: the two versions of ResNet-50.",
        _stride_in_first_layer,
        ("unit-bottleneck-stride",),
    ),
    Fault(
        "downsampling-forgotten-once",
        "network",
        "The third stage keeps the map's size: its first unit has lost the stride of 2.",
        _halved_once,
        ("huang-net", "he-footnote-downsampling", "he-unit-counts", "resnet-6n2"),
    ),
    Fault(
        "zero-padding-before",
        "network",
        "The channels that a shortcut lacks are filled in before its own, not after.",
        _zeros_before,
        ("huang-net", "huang-update", "huang-drop-is-identity"),
    ),
)
