"""Arithmetic of He 2016 and on the numbers that it printed (``claims/published/he2016.toml``); no torch.

Published errors are the decimal numbers of the paper, kept as fractions of percent: differences are exact.  Rows carry
the names of this package's networks, in *collections* (``cifar10``, ``cifar100``, ``imagenet-top1``,
``imagenet-top5``; ``resnet2015-...`` for the earlier paper, whose ResNet-110 is the best of five runs).
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any

__all__ = [
    "added_units",
    "best_network",
    "epochs",
    "error_difference",
    "error_differences",
    "errors",
    "gate_bias_grid",
    "gate_openness",
    "map_reductions",
    "p_value",
    "plain_activations",
    "shortcut_parameters",
    "shortcut_product",
    "unit_counts",
    "weight_layers",
    "z_score",
]

FAIL = "fail"
"""The paper's word for a test error above 20 %."""


@cache
def _data() -> dict[str, Any]:
    text = files("resbench").joinpath("claims/published/he2016.toml").read_text(encoding="utf-8")
    return tomllib.loads(text, parse_float=Fraction)


def _tables(collection: str) -> dict[str, dict[str, Any]]:
    """Name -> table of a collection.  Raises: ValueError where there is no such collection."""
    data = {name: table for name, table in _data().items() if isinstance(table, dict)}
    tables = {name: table for name, table in data.items() if table.get("collection") == collection}
    if not tables:
        raise ValueError(f"no published collection '{collection}'")
    return tables


@cache
def _errors(collection: str) -> dict[str, Fraction | str]:
    """Network -> test error (percent) or ``FAIL``, over all tables of a collection.

    Raises: ValueError where two tables print different numbers for one network.
    """
    found: dict[str, Fraction | str] = {}
    for name, table in _tables(collection).items():
        for network, error in table["error"].items():
            if found.setdefault(network, error) != error:
                raise ValueError(f"{name} prints {error} for {network}, an earlier table {found[network]}")
    return found


def _error(collection: str, network: str) -> Fraction:
    error = _errors(collection)[network]
    if isinstance(error, str):
        raise ValueError(f"{network} has no published error: '{error}'")
    return Fraction(error)


def _images(collection: str) -> int:
    """The size of the test set behind a collection's errors."""
    (images,) = {table["images"] for table in _tables(collection).values()}
    return int(images)


def error_difference(*, collection: str, first: str, second: str) -> Fraction:
    """Published test error of ``first`` less that of ``second``, percentage points."""
    return _error(collection, first) - _error(collection, second)


def error_differences(*, collection: str, firsts: Sequence[str], seconds: Sequence[str]) -> list[Fraction]:
    """:func:`error_difference` of each pair."""
    return [
        error_difference(collection=collection, first=first, second=second)
        for first, second in zip(firsts, seconds, strict=True)
    ]


def errors(*, collection: str, networks: Sequence[str]) -> dict[str, float]:
    """Published test error of each network, percent."""
    return {network: float(_error(collection, network)) for network in networks}


def best_network(*, collection: str, networks: Sequence[str] | None = None) -> str:
    """The network of the lowest published error; ``FAIL`` counts as the highest.

    Raises: ValueError where two networks share the lowest error.
    """
    rows = {name: error for name, error in _errors(collection).items() if networks is None or name in networks}
    missing = set(networks or ()) - set(rows)
    if missing:
        raise ValueError(f"no published error of {', '.join(sorted(missing))}")
    lowest = min(error for error in rows.values() if not isinstance(error, str))
    best = [name for name, error in rows.items() if error == lowest]
    if len(best) > 1:
        raise ValueError(f"{' and '.join(best)} share the lowest error")
    return best[0]


def z_score(*, collection: str, first: str, second: str) -> float:
    """Two-proportion z of ``first`` against ``second``, as two independent single runs on the test set.

    The pooled proportion serves both variances.  The paper prints medians of five runs on one and the same set, so
    this is how large the difference is on the ruler of one test set, not a test of the five runs.
    """
    images = _images(collection)
    one, two = _error(collection, first) / 100, _error(collection, second) / 100
    pooled = (one + two) / 2
    return float(one - two) / math.sqrt(2 * pooled * (1 - pooled) / images)


def p_value(*, collection: str, first: str, second: str) -> float:
    """Two-sided p of :func:`z_score`."""
    return math.erfc(abs(z_score(collection=collection, first=first, second=second)) / math.sqrt(2))


def shortcut_product(*, factor: str, units: int) -> Fraction:
    """``prod lambda_i`` of ``units`` equal shortcut scalings (equation 8), exactly; ``factor`` such as ``"1/2"``."""
    product = Fraction(1)
    for _ in range(units):
        product *= Fraction(factor)
    return product


def gate_openness(*, biases: Sequence[float], units: int) -> list[float]:
    """``prod (1 - sigmoid(b_g))`` over ``units`` gates with ``W_g = 0``, for each initial bias."""
    return [(1.0 - 1.0 / (1.0 + math.exp(-bias))) ** units for bias in biases]


def gate_bias_grid(*, first: int, last: int, step: int) -> list[int]:
    """The initial gate biases that the paper searched: ``first`` to ``last``, both included."""
    count, remainder = divmod(last - first, step)
    if remainder:
        raise ValueError(f"{last} is not a whole number of steps of {step} from {first}")
    return [first + index * step for index in range(count + 1)]


def shortcut_parameters(*, widths: Sequence[int], units_per_stage: int, bias: bool) -> int:
    """Weights (and biases) of one 1x1 convolution of a unit's output width in every unit."""
    return units_per_stage * sum(width * width + (width if bias else 0) for width in widths)


def unit_counts(*, depths: Sequence[int], layers_per_unit: int) -> list[int]:
    """Residual units of CIFAR networks: all layers but the stem's and the classifier's are in units, in three stages.

    Raises: ValueError for a depth that no whole number of units per stage gives.
    """
    counts = []
    for depth in depths:
        per_stage, remainder = divmod(depth - 2, 3 * layers_per_unit)
        if remainder:
            raise ValueError(f"no network of depth {depth} has {layers_per_unit} layers a unit in 3 equal stages")
        counts.append(3 * per_stage)
    return counts


def weight_layers(*, units_per_stage: Sequence[int], layers_per_unit: int, stages: int) -> list[int]:
    """Depth of a network of ``stages`` equal stages: the units' layers, the stem and the classifier."""
    return [stages * n * layers_per_unit + 2 for n in units_per_stage]


def added_units(*, deep: str, shallow: str) -> list[int]:
    """How many more residual units ``deep`` has than ``shallow``, by ImageNet stage (56, 28, 14 and 7 pixels)."""
    units: dict[str, list[int]] = _data()["imagenet-units"]["units"]
    return [more - fewer for more, fewer in zip(units[deep], units[shallow], strict=True)]


def map_reductions(*, maps: Sequence[int]) -> int:
    """How often the feature map shrinks on its way through the stages, whose map sizes (pixels) are given."""
    return sum(after < before for before, after in pairwise(maps))


def plain_activations(*, layers: int) -> list[int]:
    """Activations of a plain network of ``layers`` weight layers: [after-activation, pre-activation, 1 if identical].

    After-activation puts one behind every layer but the classifier, pre-activation one before every layer but the
    first (section 4): both are counted in the whole sequence, and the two sequences are compared.
    """
    after: list[str] = []
    before: list[str] = []
    for layer in range(layers):
        after += ["weight", "activation"] if layer < layers - 1 else ["weight"]
        before += ["activation", "weight"] if layer > 0 else ["weight"]
    return [after.count("activation"), before.count("activation"), int(after == before)]


def epochs(*, iterations: Sequence[int], batch: int, images: int) -> list[Fraction]:
    """Passes over the training set after so many mini-batches."""
    return [Fraction(count * batch, images) for count in iterations]
