"""Arithmetic on the numbers that Huang 2016 printed (``claims/published/huang2016.toml``).

The decimal numbers of the paper are computed with as fractions and rounded once, at the end: a difference of 1.16
points is the float 1.16.
A network's error is named ``row.arm``: ``cifar10.constant`` is Table 1's constant-depth CIFAR-10 error.
Errors and improvements are in percent (or percentage points) throughout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any, Literal

from resbench.experiments.published import load_published

__all__ = [
    "baseline_crossing",
    "baseline_spread",
    "curve",
    "curve_against_heatmap",
    "curve_best",
    "difference",
    "drop_fractions",
    "epochs_of",
    "gain_of_longer_training",
    "gradient_ratio_bounds",
    "heatmap_best",
    "heatmap_differences",
    "heatmap_gains",
    "images_seen_ratio",
    "linear_against_constant",
    "linear_minus_uniform",
    "p_lasts_beating_baseline",
    "p_value",
    "relative_improvement",
    "time_ratio",
    "time_savings",
    "validation_images",
    "version_differences",
    "z_score",
]

Rule = Literal["linear", "uniform"]


@cache
def _data() -> dict[str, Any]:
    exact: dict[str, Any] = _exact(load_published("huang2016"))
    return exact


def _exact(value: Any) -> Any:
    """``value`` with every float as the fraction that its decimal form denotes."""
    if isinstance(value, dict):
        return {key: _exact(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_exact(entry) for entry in value]
    return Fraction(str(value)) if isinstance(value, float) else value


def _error(name: str, version: str = "v3") -> Fraction:
    """The error of ``row.arm`` in percent; version 1's where that version printed another."""
    row, arm = name.rsplit(".", 1)
    first: dict[str, Any] = _data()["version_1"].get(row, {}) if version == "v1" else {}
    return Fraction(first.get(arm, _data()["table_1"][row][arm]))


def difference(first: str, second: str) -> float:
    """``first - second``, percentage points."""
    return float(_error(first) - _error(second))


def relative_improvement(first: str, second: str, version: str = "v3") -> float:
    """By how much ``second`` is below ``first``, in percent of ``first``."""
    before, after = _error(first, version), _error(second, version)
    return float(100 * (before - after) / before)


def z_score(first: str, second: str) -> float:
    """Two-proportion z of the error rates ``first - second``, pooled variance, on the size of the two test sets."""
    rates = [_error(name) / 100 for name in (first, second)]
    counts = [_data()["table_1"][name.rsplit(".", 1)[0]]["images"] for name in (first, second)]
    pooled = sum(rate * count for rate, count in zip(rates, counts, strict=True)) / sum(counts)
    variance = pooled * (1 - pooled) * sum(Fraction(1, count) for count in counts)
    return float(rates[0] - rates[1]) / math.sqrt(variance)


def p_value(first: str, second: str) -> float:
    """Two-sided p of :func:`z_score`.  The two networks saw the same images, so this is conservative."""
    return math.erfc(abs(z_score(first, second)) / math.sqrt(2))


def baseline_spread() -> float:
    """Largest minus smallest of the constant-depth CIFAR-100 errors that one version prints, points."""
    values = [Fraction(value) for value in _data()["cifar100_constant"].values()]
    return float(max(values) - min(values))


def version_differences(names: Sequence[str]) -> list[float]:
    """Version 3 minus version 1 of each network's error, points."""
    return [float(_error(name) - _error(name, "v1")) for name in names]


def gain_of_longer_training(arm: str) -> float:
    """Error on ImageNet after 90 epochs minus after 120, points."""
    errors = _data()["imagenet_by_epochs"][arm]
    return float(errors["90"] - errors["120"])


def time_ratio(row: str) -> float:
    """Training time of stochastic over constant depth (Table 2, hours and minutes)."""
    times = _data()["table_2"][row]
    return _minutes(times["stochastic"]) / _minutes(times["constant"])


def time_savings(rows: Sequence[str]) -> list[float]:
    """Training time saved, percent of constant depth's, for each row of Table 2."""
    return [100 * (1 - time_ratio(row)) for row in rows]


def _minutes(time: str) -> int:
    hours, minutes = time.rstrip("m").split("h")
    return 60 * int(hours) + int(minutes)


def gradient_ratio_bounds() -> list[float]:
    """The least stochastic / constant ratio of first-layer gradients that figure 7 allows, per phase of training.

    The phases are those between drops of the learning rate; each curve is known as ``[low, high]`` there.
    """
    figure = _data()["figure_7"]
    return [float(low / high) for (low, _), (_, high) in zip(figure["stochastic"], figure["constant"], strict=True)]


def _heatmap() -> dict[int, dict[Fraction, Fraction]]:
    """Depth in layers -> p_L -> error, in ascending depth."""
    table = dict(_data()["figure_8_heatmap"])
    columns = table.pop("p_last")
    return {int(depth): dict(zip(columns, row, strict=True)) for depth, row in table.items()}


def heatmap_best() -> list[float]:
    """The p_L of the lowest error at each depth, shallow to deep (figure 8, right)."""
    return [float(min(row, key=row.__getitem__)) for row in _heatmap().values()]


def heatmap_differences(depths: Sequence[int], p_last: str = "0.5") -> list[float]:
    """Error at ``p_last`` minus error at constant depth (p_L = 1), points, at each of ``depths`` layers."""
    table = _heatmap()
    return [float(table[depth][Fraction(p_last)] - table[depth][Fraction(1)]) for depth in depths]


def heatmap_gains(p_last: str = "0.5") -> list[list[float]]:
    """Pairs ``[depth, points gained over constant depth]``."""
    depths = list(_heatmap())
    return [[depth, -change] for depth, change in zip(depths, heatmap_differences(depths, p_last), strict=True)]


def _curve(rule: Rule) -> dict[Fraction, Fraction]:
    return dict(_data()["figure_8_curves"][rule])


def curve(rule: Rule, low: str = "0", high: str = "1") -> list[float]:
    """The errors of figure 8 (left) for ``low <= p_L <= high``, by ascending p_L."""
    return [float(error) for p, error in _curve(rule).items() if Fraction(low) <= p <= Fraction(high)]


def curve_best(rule: Rule) -> float:
    """The p_L of the curve's lowest error."""
    errors = _curve(rule)
    return float(min(errors, key=errors.__getitem__))


def curve_against_heatmap() -> float:
    """Largest difference between the linear curve and the heat map's row of 110 layers where both print p_L."""
    errors = _curve("linear")
    return float(max(abs(error - errors[p]) for p, error in _heatmap()[110].items()))


def linear_minus_uniform(p_lasts: Sequence[str]) -> list[float]:
    """Error under linear decay minus under the uniform rule, points, for each p_L."""
    linear, uniform = _curve("linear"), _curve("uniform")
    return [float(linear[Fraction(p)] - uniform[Fraction(p)]) for p in p_lasts]


def linear_against_constant(p_last: str) -> float:
    """Error under linear decay to ``p_last`` minus constant depth's, CIFAR-10, 110 layers, points."""
    return float(_curve("linear")[Fraction(p_last)] - _error("cifar10.constant"))


def p_lasts_beating_baseline(rule: Rule) -> list[float]:
    """The p_L < 1 whose error is below constant depth's on CIFAR-10 (p_L = 1 *is* constant depth)."""
    return [float(p) for p, error in _curve(rule).items() if p < 1 and error < _error("cifar10.constant")]


def baseline_crossing(rule: Rule) -> float:
    """The p_L at which the curve, coming from small p_L, first falls to constant depth's error; interpolated."""
    baseline = _error("cifar10.constant")
    points = list(_curve(rule).items())
    for (p, error), (next_p, next_error) in pairwise(points):
        if next_error <= baseline < error:
            return float(p + (next_p - p) * (error - baseline) / (error - next_error))
    raise ValueError(f"the {rule} curve does not cross the baseline")


def _epochs(recipe: str) -> Fraction:
    constants = _data()["recipe"][recipe]
    if "epochs" in constants:
        return Fraction(constants["epochs"])
    return Fraction(constants["iterations"] * constants["batch"], constants["images"])


def epochs_of(recipe: str) -> float:
    """The epochs of a recipe; from its iterations, batch and training images where it counts those."""
    return float(_epochs(recipe))


def images_seen_ratio(first: str, second: str) -> float:
    """Training images that the first recipe shows, counted with repetition, over those of the second."""
    seen = [_epochs(recipe) * _data()["recipe"][recipe]["images"] for recipe in (first, second)]
    return float(seen[0] / seen[1])


def drop_fractions(recipe: str) -> list[float]:
    """After which shares of the training the learning rate is divided by ten."""
    return [float(drop / _epochs(recipe)) for drop in _data()["recipe"][recipe]["drops"]]


def validation_images(recipe: str) -> int:
    """The size of the validation set that is held back class by class."""
    constants = _data()["recipe"][recipe]
    return int(sum(constants["validation_per_class"]) * constants["classes"])
