"""Every residual unit by name: its equation, where it stands in the papers, its layers and shapes.

A unit is named ``<variant>`` (two 3x3 layers) or ``<variant>-bottleneck`` (1x1, 3x3, 1x1), for instance
``shortcut-gate-b6`` or ``preact-bottleneck``; ``single``, ``single-preact`` and the highway units have one 3x3 layer.
In equations ``x`` is the unit's input, ``F`` its residual branch, ``*`` a convolution, ``.`` an element-wise product.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

import msgspec
import torch
from torch import nn

from resbench.errors import UserError
from resbench.networks.copies import CopiesBatchNorm2d, CopiesConv2d, initialise
from resbench.networks.units import ComposedUnit, UnitSpec, build_unit

__all__ = [
    "ACROSS_DIMENSIONS",
    "TABLE_1",
    "TABLE_2",
    "UnitDescription",
    "Variant",
    "branch_layers",
    "create_unit",
    "describe_unit",
    "unit_names",
    "unknown",
    "variant",
]


@dataclass(frozen=True)
class Variant:
    """What makes a unit that unit: its equation, its place in the papers, and the settings that build it."""

    equation: str
    source: str
    spec: UnitSpec


@dataclass(frozen=True)
class UnitDescription:
    """A unit for people: ``branch`` lists the layers of ``F`` in order, ``shapes`` the input's and the output's."""

    name: str
    equation: str
    branch: str
    source: str
    shapes: str


_ORIGINAL = UnitSpec(order="original", down="stride")
_EXCLUSIVE = "y = ReLU((1 - g) . x + g . F(x)), g = sigmoid(Wg * x + bg), Wg 1x1"
_SHORTCUT_ONLY = "y = ReLU((1 - g) . x + F(x)), g = sigmoid(Wg * x + bg), Wg 1x1"


def _changed(**settings: object) -> UnitSpec:
    return msgspec.structs.replace(_ORIGINAL, **settings)


TABLE_1 = {
    "scale-0-1": Variant("y = ReLU(F(x))", "He 2016, table 1: constant scaling 0 / 1", _changed(shortcut="none")),
    "scale-05-1": Variant(
        "y = ReLU(0.5 x + F(x))", "He 2016, table 1: constant scaling 0.5 / 1", _changed(shortcut_scale=0.5)
    ),
    "scale-05-05": Variant(
        "y = ReLU(0.5 x + 0.5 F(x))",
        "He 2016, table 1: constant scaling 0.5 / 0.5",
        _changed(shortcut_scale=0.5, branch_scale=0.5),
    ),
    **{
        f"exclusive-gate-b{-bias}": Variant(
            f"{_EXCLUSIVE}, initially bg = {bias}",
            f"He 2016, table 1: exclusive gating, init bg = {bias}",
            _changed(shortcut="exclusive-gate", gate_bias=float(bias)),
        )
        for bias in (0, -6, -7)
    },
    **{
        f"shortcut-gate-b{-bias}": Variant(
            f"{_SHORTCUT_ONLY}, initially bg = {bias}",
            f"He 2016, table 1: shortcut-only gating, init bg = {bias}",
            _changed(shortcut="shortcut-gate", gate_bias=float(bias)),
        )
        for bias in (0, -6)
    },
    "conv1x1": Variant(
        "y = ReLU(BN(Ws * x) + F(x)), Ws 1x1",
        "He 2016, table 1: 1x1 convolutional shortcut",
        _changed(shortcut="conv1x1"),
    ),
    "dropout": Variant(
        "y = ReLU(dropout(x, 0.5) + F(x))", "He 2016, table 1: dropout shortcut", _changed(shortcut="dropout")
    ),
}
"""He 2016, table 1: the shortcut variants of ResNet-110 (all but the identity, which is ``original``)."""

TABLE_2 = {
    "original": Variant("y = ReLU(x + F(x))", "He 2016, table 2 (a); He 2015, equation 1", _ORIGINAL),
    "bn-after-add": Variant("y = ReLU(BN(x + F(x)))", "He 2016, table 2 (b)", _changed(order="bn-after-add")),
    "relu-before-add": Variant("y = x + F(x), F >= 0", "He 2016, table 2 (c)", _changed(order="relu-before-add")),
    "relu-only-preact": Variant(
        "y = x + F(x); a network's first F does not begin with ReLU, and ReLU follows its last unit",
        "He 2016, table 2 (d)",
        _changed(order="relu-only-preact"),
    ),
    "preact": Variant(
        "y = x + F(x); a network's first F does not begin with BN, ReLU, and BN, ReLU follow its last unit",
        "He 2016, table 2 (e) and section 4 (first and last units)",
        _changed(order="preact"),
    ),
}
"""He 2016, table 2: the orders of activation, with the identity shortcut."""

ACROSS_DIMENSIONS = {
    "option-a": Variant(
        "y = ReLU([x(2i, 2j), 0] + F(x))", "He 2015, section 3.3, option A; the authors' and Veit's nets", _ORIGINAL
    ),
    "option-a-pool": Variant(
        "y = ReLU([mean2x2(x), 0] + F(x))", "Huang 2016, section 3 (average pooling, zeros)", _changed(down="pool")
    ),
    "option-a-centred": Variant(
        "y = ReLU([0, x(2i, 2j), 0] + F(x))",
        "He 2015, option A, as several public CIFAR nets have it: half of the zeros before",
        _changed(down="stride-centred"),
    ),
    "option-a-pool-centred": Variant(
        "y = ReLU([0, mean2x2(x), 0] + F(x))",
        "Huang 2016, option A pooled, with half of the zeros before",
        _changed(down="pool-centred"),
    ),
    "option-b": Variant(
        "y = ReLU(BN(Ws * x) + F(x)), Ws 1x1, where the shape changes; else ReLU(x + F(x))",
        "He 2015, section 3.3, option B, equation 2",
        _changed(down="projection"),
    ),
    "option-c": Variant(
        "y = ReLU(BN(Ws * x) + F(x)), Ws 1x1, in every unit",
        "He 2015, section 3.3, option C (the 1x1 convolutional shortcut of He 2016, table 1)",
        _changed(shortcut="conv1x1"),
    ),
}
"""Shortcuts across dimensions, ``[a, b]`` joining channels; only option C's also stands where the shape is kept."""

_ONE_LAYER = {
    "single": Variant("y = ReLU(x + F(x))", "He 2016, table 3: 1-layer skip, original", _changed(body="single")),
    "single-preact": Variant(
        "y = x + F(x)", "He 2016, table 3: 1-layer skip, pre-activation", _changed(body="single", order="preact")
    ),
    **{
        name: Variant(
            f"y = F(x) . T + x . (1 - T), T = sigmoid(WT * x + bT), WT 3x3, initially bT = {bias}",
            "Highway networks, Srivastava 2015, equation 3",
            UnitSpec(order="no-norm", body="single", shortcut="highway-gate", gate_bias=float(bias), down="stride"),
        )
        for name, bias in {"highway": -2, "highway-b4": -4}.items()
    },
}


@cache
def _variants() -> dict[str, Variant]:
    deep = TABLE_2 | TABLE_1 | ACROSS_DIMENSIONS
    wide = {
        f"{name}-bottleneck": Variant(v.equation, v.source, msgspec.structs.replace(v.spec, body="bottleneck"))
        for name, v in deep.items()
    }
    return deep | wide | _ONE_LAYER


def unit_names() -> list[str]:
    """Every unit's name, in the order of the papers' tables."""
    return list(_variants())


def variant(name: str) -> Variant:
    """The unit of this name.  Raises: UserError that names the nearest unit."""
    try:
        return _variants()[name]
    except KeyError:
        raise unknown("unit", name, _variants()) from None


def describe_unit(name: str) -> UnitDescription:
    """What the unit of this name is.  Raises: UserError that names the nearest unit."""
    found = variant(name)
    ends = {"basic": "C", "single": "C", "bottleneck": "4C"}[found.spec.body]
    shapes = f"(N, {ends}, H, W) -> (N, {ends}, H, W); across dimensions (N, {ends}', H/2, W/2), C' = 2C"
    with torch.device("meta"):
        branch = branch_layers(build_unit(found.spec, found.spec.expansion, 1, 1))
    return UnitDescription(name, found.equation, f"F = {branch}", found.source, shapes)


def create_unit(
    name: str, inputs: int, width: int, stride: int = 1, *, gate_bias: float | None = None, seed: int = 0
) -> ComposedUnit:
    """An initialised unit, ``(N, inputs, H, W)`` to ``(N, width, H/stride, W/stride)``; a bottleneck makes 4 width.

    ``gate_bias``: the initial bias of a gated unit in the place of the name's.

    Raises:
        UserError: no unit has this name (the nearest is named), or a gate bias for a unit without a gate.
    """
    spec = variant(name).spec
    if gate_bias is not None:
        if not spec.shortcut.endswith("gate"):
            raise UserError(f"unit '{name}' has no gate, so it takes no gate bias")
        spec = msgspec.structs.replace(spec, gate_bias=gate_bias)
    with torch.random.fork_rng(devices=[]):  # The layers' own initialisation, replaced below, draws from it.
        unit = build_unit(spec, inputs, width, stride)
    initialise(unit, [seed])
    return unit


def branch_layers(unit: ComposedUnit) -> str:
    """The layers of a unit's residual branch in order: ``conv3x3, BN, ReLU, conv3x3, BN``."""
    return ", ".join(_layer(module) for module in unit.residual)


def _layer(module: nn.Module) -> str:
    if isinstance(module, CopiesConv2d):
        return f"conv{module.kernel_size[0]}x{module.kernel_size[1]}"
    if isinstance(module, nn.Dropout):
        return f"dropout {module.p:g}"
    return "BN" if isinstance(module, CopiesBatchNorm2d) else "ReLU"


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that is none: it has the nearest names."""
    near = get_close_matches(name, list(known), n=3, cutoff=0.4)
    return UserError(f"no {kind} is named '{name}'" + (f"; the nearest: {', '.join(near)}" if near else ""))
