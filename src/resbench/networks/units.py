"""Residual units: one way to compose them, all the variants of He 2015 and 2016 and highway units built from it.

Every unit is ``y = after(skip(e) + scale * residual(e))`` with ``e = entry(x)``; ``entry`` is the identity except
where shortcut and branch share a pre-activation (He 2016, section 4: a projection is pre-activated as well).
The experiments see a unit through ``shortcut(x)``, ``branch(x)`` and ``after(x)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resbench.networks.copies import CopiesBatchNorm2d, CopiesConv2d, Sequence2d, select_copies

__all__ = ["ComposedUnit", "Down", "Order", "Shortcut", "UnitSpec", "build_unit"]

Order = Literal["original", "bn-after-add", "relu-before-add", "relu-only-preact", "preact", "no-norm"]
"""Activation orders, He 2016 table 2 (a) to (e), and ``no-norm``: convolutions with bias, each followed by ReLU,
nothing after the addition (Highway networks, Srivastava 2015)."""

Shortcut = Literal["identity", "none", "conv1x1", "dropout", "exclusive-gate", "shortcut-gate", "highway-gate"]
"""Shortcut types, He 2016 table 1; ``identity`` is scaled by ``shortcut_scale``, ``none`` is the plain network.
``conv1x1`` is also option C (He 2015, table 3): a projection on every shortcut.  ``highway-gate`` is
``exclusive-gate`` with the 3x3 convolution of a highway layer's transform gate (Srivastava 2015, equation 3)."""

Down = Literal["pool", "stride", "pool-centred", "stride-centred", "projection"]
"""What a dimension-changing shortcut does (He 2015, section 3.3).  Option A: average pooling or strided subsampling
and zero channels, all after the input's or, ``centred``, half of them before (as in some public CIFAR nets).
``projection`` is option B."""


class UnitSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a unit is, apart from its sizes.

    ``body``: ``basic`` (two 3x3 layers), ``bottleneck`` (1x1, 3x3, 1x1 with four times the width at its ends) or
    ``single`` (one 3x3 layer, He table 3's 1-layer skip).  ``down``: what a dimension-changing unit does on its
    shortcut (Huang's text pools, He's and Veit's nets and Huang's first code subsample).  ``gate_bias`` is the initial
    ``b_g`` of a gate ``g(x) = sigmoid(W_g x + b_g)`` (element-wise; it reads what the shortcut carries).  ``dropout``:
    the probability to drop an input of the branch's last convolution in training (as in Wide ResNets, Zagoruyko 2016,
    section 2.4; on the shortcut it is ``shortcut = "dropout"``).
    """

    order: Order = "preact"
    body: Literal["basic", "bottleneck", "single"] = "basic"
    shortcut: Shortcut = "identity"
    shortcut_scale: float = 1.0
    branch_scale: float = 1.0
    gate_bias: float = 0.0
    down: Down = "pool"
    dropout: float = 0.0

    @property
    def expansion(self) -> int:
        return 4 if self.body == "bottleneck" else 1


class ZeroPadShortcut(nn.Module):
    """Option A: average-pooled or strided input, new channels filled with zeros."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, pool: bool, copies: int):
        super().__init__()
        self.inputs, self.outputs, self.stride, self.pool, self.copies = inputs, outputs, stride, pool, copies

    def forward(self, input: Tensor) -> Tensor:
        if self.stride > 1:
            # ceil_mode keeps the map as large as the strided branch's where the size is odd.
            input = (
                F.avg_pool2d(input, self.stride, ceil_mode=True)
                if self.pool
                else input[:, :, :: self.stride, :: self.stride]
            )
        before, after = self.padding()
        if self.copies == 1:  # Keeps a channels_last image so.
            return F.pad(input, (0, 0, 0, 0, before, after)) if before or after else input
        parts = input.unflatten(1, (self.copies, self.inputs))
        return F.pad(parts, (0, 0, 0, 0, before, after)).flatten(1, 2)

    def padding(self) -> tuple[int, int]:
        """The number of zero channels (before, after) the input's."""
        return 0, self.outputs - self.inputs


class CentredZeroPadShortcut(ZeroPadShortcut):
    """Option A with half of the zero channels before the input's and half after (one more after, where odd)."""

    def padding(self) -> tuple[int, int]:
        added = self.outputs - self.inputs
        return added // 2, added - added // 2


class Scale(nn.Module):
    """Multiplication by a constant (He 2016, section 3.1, constant scaling)."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, input: Tensor) -> Tensor:
        return input * self.factor


class ComposedUnit(nn.Module):
    """``y = after(skip(e) + scale * residual(e))``, ``e = entry(x)``; maps ``(N, C, H, W)`` to ``(N, C', H', W')``.

    ``test_scale`` multiplies the branch in eval mode only (Huang 2016, equation 5: the survival probability).
    """

    def __init__(
        self,
        residual: Sequence2d,
        skip: nn.Module,
        post: nn.Module,
        *,
        entry: nn.Module | None = None,
        gate: nn.Module | None = None,
        gate_branch: bool = False,
        branch_scale: float = 1.0,
        changes_shape: bool = False,
        copies: int = 1,
    ):
        super().__init__()
        self.entry = entry if entry is not None else nn.Identity()
        self.residual, self.skip, self.post, self.gate = residual, skip, post, gate
        self.gate_branch, self.branch_scale, self.copies = gate_branch, branch_scale, copies
        self.changes_shape = changes_shape
        self.test_scale = 1.0

    def shortcut(self, x: Tensor) -> Tensor:
        """The shortcut's contribution to the addition."""
        kept: Tensor = self.skip(self.entry(x))
        return kept if self.gate is None else kept * (1.0 - self.gate(kept))

    def branch(self, x: Tensor) -> Tensor:
        """The residual branch's contribution to the addition, scaled as in the present mode."""
        entered = self.entry(x)
        output: Tensor = self.residual(entered)
        if self.gate is not None and self.gate_branch:
            output = output * self.gate(self.skip(entered))
        return output * self.scale if self.scale != 1.0 else output

    def after(self, x: Tensor) -> Tensor:
        """What follows the addition (identity, ReLU, or BN and ReLU)."""
        output: Tensor = self.post(x)
        return output

    @property
    def scale(self) -> float:
        """The constant that multiplies the branch in the present mode."""
        return self.branch_scale if self.training else self.branch_scale * self.test_scale

    def forward(self, x: Tensor, active: Tensor | None = None) -> Tensor:
        """``active``: indices of the copies whose branch is computed; None computes all."""
        entered = self.entry(x)
        kept = self.skip(entered)
        gate = None if self.gate is None else self.gate(kept)
        total = kept if gate is None else kept * (1.0 - gate)
        if active is not None and len(active) == 0:
            return self.after(total)
        if active is None or len(active) == self.copies:
            output = self.residual(entered)
            if gate is not None and self.gate_branch:
                output = output * gate
            return self.after(total + (output * self.scale if self.scale != 1.0 else output))
        if gate is not None:
            raise ValueError("gated units have no stochastic depth")
        output = self.residual(select_copies(entered, active, self.copies), active) * self.scale
        parts = total.unflatten(1, (self.copies, -1))
        return self.after(parts.index_add(1, active, output.unflatten(1, (len(active), -1))).flatten(1, 2))


def build_unit(
    spec: UnitSpec, inputs: int, width: int, stride: int, *, first: bool = False, copies: int = 1
) -> ComposedUnit:
    """One unit of ``spec``: ``(N, inputs, H, W)`` to ``(N, width * expansion, H / stride, W / stride)``.

    ``first``: the first unit of a pre-activation network, whose input the stem has activated already (He 2016,
    section 4: "adopt the first activation right after conv1 and before splitting into two paths").
    """
    outputs = width * spec.expansion
    shared = spec.order == "preact" and spec.down == "projection" and inputs != outputs
    activated = first and spec.order in ("preact", "relu-only-preact")
    residual = Sequence2d(*_branch_layers(spec, inputs, width, stride, skip_leading=shared or activated, copies=copies))
    entry = _activation(inputs, copies) if shared and not activated else None
    post: dict[str, Callable[[], nn.Module]] = {
        "original": nn.ReLU,
        "bn-after-add": lambda: _activation(outputs, copies),
    }
    return ComposedUnit(
        residual,
        _skip(spec, inputs, outputs, stride, copies),
        post.get(spec.order, nn.Identity)(),
        entry=entry,
        gate=_gate(spec, outputs, copies),
        gate_branch=spec.shortcut in ("exclusive-gate", "highway-gate"),
        branch_scale=spec.branch_scale,
        changes_shape=inputs != outputs or stride != 1,
        copies=copies,
    )


def _activation(channels: int, copies: int) -> Sequence2d:
    return Sequence2d(CopiesBatchNorm2d(channels, copies=copies), nn.ReLU())


def _gate(spec: UnitSpec, channels: int, copies: int) -> Sequence2d | None:
    kernels: dict[Shortcut, int] = {"exclusive-gate": 1, "shortcut-gate": 1, "highway-gate": 3}
    if spec.shortcut not in kernels:
        return None
    convolution = CopiesConv2d(channels, channels, kernels[spec.shortcut], bias=True, copies=copies)
    assert convolution.bias is not None
    nn.init.constant_(convolution.bias, spec.gate_bias)
    return Sequence2d(convolution, nn.Sigmoid())


def _branch_layers(
    spec: UnitSpec, inputs: int, width: int, stride: int, *, skip_leading: bool, copies: int
) -> list[nn.Module]:
    """The layers of the residual branch in the order of He 2016, figure 4."""
    outputs = width * spec.expansion
    sizes = {
        "basic": [(inputs, width, 3, stride), (width, width, 3, 1)],
        "bottleneck": [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)],
        "single": [(inputs, width, 3, stride)],
    }[spec.body]
    layers: list[nn.Module] = []
    last = len(sizes) - 1
    for index, (ins, outs, kernel, step) in enumerate(sizes):
        leading = index == 0 and skip_leading
        if spec.order == "preact" and not leading:
            layers += [CopiesBatchNorm2d(ins, copies=copies), nn.ReLU()]
        if spec.order == "relu-only-preact" and not leading:
            layers.append(nn.ReLU())
        if spec.dropout and index == last:
            layers.append(nn.Dropout(spec.dropout))
        layers.append(CopiesConv2d(ins, outs, kernel, stride=step, bias=spec.order == "no-norm", copies=copies))
        if spec.order in ("original", "relu-before-add", "relu-only-preact") or (
            spec.order == "bn-after-add" and index < last
        ):
            layers.append(CopiesBatchNorm2d(outs, copies=copies))
        if (spec.order in ("original", "bn-after-add") and index < last) or spec.order in (
            "relu-before-add",
            "no-norm",
        ):
            layers.append(nn.ReLU())
    return layers


class Nothing(nn.Module):
    """The absent shortcut of a plain network: zeros of its input's shape and type."""

    def forward(self, input: Tensor) -> Tensor:
        return torch.zeros_like(input)


def _skip(spec: UnitSpec, inputs: int, outputs: int, stride: int, copies: int) -> nn.Module:
    changes = inputs != outputs or stride != 1
    if spec.shortcut == "conv1x1" or (changes and spec.down == "projection"):
        layers: list[nn.Module] = [CopiesConv2d(inputs, outputs, 1, stride=stride, copies=copies)]
        if spec.order in ("original", "relu-before-add", "relu-only-preact"):
            layers.append(CopiesBatchNorm2d(outputs, copies=copies))
        return Sequence2d(*layers)
    padding = CentredZeroPadShortcut if spec.down.endswith("centred") else ZeroPadShortcut
    match_shape = padding(inputs, outputs, stride, pool=spec.down.startswith("pool"), copies=copies)
    layers = [match_shape] if changes else []
    if spec.shortcut == "none":
        layers.append(Nothing())
    elif spec.shortcut == "dropout":
        layers.append(nn.Dropout(0.5))
    elif spec.shortcut_scale != 1.0:
        layers.append(Scale(spec.shortcut_scale))
    return nn.Sequential(*layers) if layers else nn.Identity()
