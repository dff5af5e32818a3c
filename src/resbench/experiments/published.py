"""Published raw numbers, and Veit 2016's statements computed again from them (``claims/published/veit2016.toml``).

Errors are percent, increases are percentage points against the undamaged network.  ``ordinary`` modules are all but
the first of each stage, as in :mod:`resbench.experiments.lesions`, which measures the same on this package's networks.
Modules and layers are counted from 1.  A ``network`` is a table of ``[deletion]``.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from itertools import pairwise
from statistics import correlation, fmean, median
from typing import Any, Literal

from resbench.experiments.combinatorics import length_counts, stage_firsts
from resbench.records.measurement import Measurement

__all__ = [
    "deletion_correlation",
    "deletion_medians",
    "duplication_savings",
    "error_by",
    "error_by_tau",
    "error_factor",
    "expected_runs",
    "figure_6_long_ratio",
    "figure_6_peak",
    "figure_6_ratios",
    "first_unit_rank",
    "imagenet_increases",
    "imagenet_medians",
    "imagenet_ordinary_increases",
    "imagenet_worst_modules",
    "increase_by_depth",
    "interior_layer_errors",
    "largest_step",
    "largest_step_share",
    "layers_worse_than_chance",
    "load_published",
    "lowest_error",
    "medians_with_excluded",
    "module_error",
    "noticeable_modules",
    "ordinary_increase",
    "ordinary_median",
    "ordinary_share_within",
    "p_value",
    "plain_against_residual",
    "reorder_medians",
    "run_count",
    "stage_first_errors",
    "stochastic_against_constant",
    "tau_range",
    "unmeasured_modules",
    "z_score",
]


@cache
def load_published(name: str) -> dict[str, Any]:
    """The reference data of one paper, ``claims/published/<name>.toml``; one parse a process, so do not change it."""
    resource = files("resbench").joinpath("claims", "published", f"{name}.toml")
    return tomllib.loads(resource.read_text(encoding="utf-8"))


def _data() -> dict[str, Any]:
    return load_published("veit2016")


# --- deleting one module --------------------------------------------------------------------------------------------


def _ordinary(network: str) -> list[float]:
    """The ordinary modules' errors."""
    table = _data()["deletion"][network]
    firsts = stage_firsts(table["units"])
    return [error for module, error in enumerate(table["errors"], start=1) if module not in firsts]


def _increases(network: str) -> list[float]:
    return [error - _data()["deletion"][network]["baseline"] for error in _ordinary(network)]


def ordinary_median(network: str) -> float:
    """Median error over the ordinary modules."""
    return median(_ordinary(network))


def ordinary_increase(network: str, statistic: Literal["median", "mean", "largest"] = "median") -> float:
    """Increase over the ordinary modules."""
    reduce: dict[str, Callable[[list[float]], float]] = {"median": median, "mean": fmean, "largest": max}
    return reduce[statistic](_increases(network))


def ordinary_share_within(network: str, points: float) -> Measurement:
    """Share of the ordinary modules whose deletion costs at most ``points``, percent."""
    increases = _increases(network)
    within = sum(increase <= points for increase in increases)
    return Measurement(100.0 * within / len(increases), detail=f"{within} of {len(increases)} ordinary modules")


def lowest_error(network: str) -> float:
    """The smallest error after any single deletion."""
    return float(min(_data()["deletion"][network]["errors"]))


def module_error(network: str, module: int) -> float:
    """The error after deleting one module."""
    return float(_data()["deletion"][network]["errors"][module - 1])


def noticeable_modules(network: str, points: float) -> list[int]:
    """The modules whose deletion costs more than ``points``."""
    table = _data()["deletion"][network]
    return [m for m, error in enumerate(table["errors"], start=1) if error - table["baseline"] > points]


def first_unit_rank(network: str) -> int:
    """Rank of module 1 among all single deletions by their error; 1 is the worst."""
    errors = _data()["deletion"][network]["errors"]
    return 1 + sum(1 for error in errors if error > errors[0])


def stage_first_errors(network: str) -> list[float]:
    """The error after deleting the first module of each stage."""
    return [module_error(network, module) for module in stage_firsts(_data()["deletion"][network]["units"])]


def increase_by_depth(networks: Sequence[str]) -> list[float]:
    """Median ordinary increase of each network, in the order given."""
    return [ordinary_increase(network) for network in networks]


def stochastic_against_constant(stochastic: str, constant: str) -> dict[str, float]:
    """Median ordinary increase with stochastic depth and with constant depth."""
    return {"stochastic": ordinary_increase(stochastic), "constant": ordinary_increase(constant)}


# --- deleting a layer of a plain network ----------------------------------------------------------------------------


def interior_layer_errors() -> list[float]:
    """The error after deleting layer 2, ..., 13 of the 15-layer plain network."""
    return [float(error) for error in _data()["vgg"]["errors"]]


def layers_worse_than_chance(accuracy: float) -> list[int]:
    """The plain network's layers whose deletion leaves an accuracy below ``accuracy`` percent (chance is 10)."""
    vgg = _data()["vgg"]
    return [layer for layer, error in zip(vgg["layer"], vgg["errors"], strict=True) if 100.0 - error < accuracy]


def plain_against_residual(residual: str) -> dict[str, float]:
    """Smallest error of the plain network's deletions and median error of the residual network's, over all modules."""
    return {
        "plain smallest error": min(interior_layer_errors()),
        "residual median error": median(_data()["deletion"][residual]["errors"]),
    }


# --- ImageNet -------------------------------------------------------------------------------------------------------


def imagenet_worst_modules(count: int) -> list[int]:
    """ResNet-200's ``count`` worst modules, the worst first.

    Raises: ValueError where a module without a recorded error could be among them.
    """
    table = _data()["imagenet"]["resnet200-preact"]
    ranked = sorted(zip(table["error"], table["module"], strict=True), reverse=True)
    if table["others"][1] >= ranked[count - 1][0]:
        raise ValueError(f"the {count} worst modules are not all recorded")
    return [module for _, module in ranked[:count]]


def imagenet_increases(modules: Sequence[int]) -> list[float]:
    """ResNet-200's increase when each of ``modules`` is deleted, points of top-1 error."""
    table = _data()["imagenet"]["resnet200-preact"]
    errors = dict(zip(table["module"], table["error"], strict=True))
    return [errors[module] - table["baseline"] for module in modules]


def imagenet_ordinary_increases() -> list[float]:
    """Smallest and largest increase over ResNet-200's other 58 modules, points; the median module is one of them."""
    table = _data()["imagenet"]["resnet200-preact"]
    others = sum(table["units"]) - len(table["module"])
    if 2 * others <= sum(table["units"]):
        raise ValueError("the median module is not among the others")
    return [error - table["baseline"] for error in table["others"]]


def imagenet_medians(network: str) -> list[float]:
    """Baseline and median error after one deletion, as recorded."""
    table = _data()["imagenet"][network]
    return [table["baseline"], table["median"]]


def unmeasured_modules() -> list[int]:
    """ResNet-152's modules without a measurement."""
    return [int(module) for module in _data()["imagenet"]["resnet152"]["missing"]]


# --- deleting, duplicating and exchanging many modules --------------------------------------------------------------


def _medians(lesion: str, dataset: str = "cifar10") -> dict[int, float]:
    """Median error by the number of modules (ResNet-110) or, on ImageNet, of ResNet-200."""
    table = (_data()["imagenet"] if dataset == "imagenet" else _data())[lesion]
    return dict(zip(table["k"], table["median"], strict=True))


def error_by(
    lesion: Literal["deletions", "swaps"], dataset: Literal["cifar10", "imagenet"] = "cifar10"
) -> list[list[float]]:
    """Pairs [k, median error] after ``k`` deletions, without the stage-first modules, or ``k`` exchanges."""
    return [[k, error] for k, error in _medians(lesion, dataset).items()]


def deletion_medians(ks: Sequence[int]) -> list[float]:
    """Median error after each number of deletions."""
    return [_medians("deletions")[k] for k in ks]


def deletion_correlation() -> float:
    """Pearson's correlation between the number of deletions and the median error."""
    medians = _medians("deletions")
    return correlation(list(medians), list(medians.values()))


def largest_step() -> float:
    """The largest rise of the median from ``k`` to ``k + 1`` deletions, points."""
    return max(after - before for before, after in pairwise(_medians("deletions").values()))


def largest_step_share() -> float:
    """That rise as a share of the whole range."""
    medians = _medians("deletions").values()
    return largest_step() / (max(medians) - min(medians))


def error_factor(k: int) -> float:
    """Median error after ``k`` deletions over the undamaged network's."""
    return float(_medians("deletions")[k] / _data()["deletion"]["resnet110-preact"]["baseline"])


def run_count() -> int:
    """Runs in the table of deletions, all ``k`` together."""
    return sum(_data()["deletions"]["runs"])


def expected_runs() -> float:
    """Runs that would be left of all runs, were they as many for each ``k`` and their modules drawn uniformly."""
    table, n = _data()["deletions"], 54
    kept = n - len(table["excluded"])
    share = [math.comb(kept, k) / math.comb(n, k) for k in table["k"]]
    return float(_data()["deletions_unfiltered"]["runs"] * fmean(share))


def medians_with_excluded(k: int) -> dict[str, float]:
    """Median error after ``k`` deletions over the runs of the figure, and over all runs."""
    return {"figure": _medians("deletions")[k], "all runs": _medians("deletions_unfiltered")[k]}


def duplication_savings() -> list[float]:
    """Median error after ``k`` deletions less that after ``k`` duplications, k = 1..10."""
    deleted = _medians("deletions")
    return [deleted[k] - error for k, error in _medians("duplications").items()]


def error_by_tau() -> list[list[float]]:
    """Pairs [Kendall's tau, median error], bins of 0.01."""
    table = _data()["reordering"]
    return [[tau, error] for tau, error in zip(table["tau"], table["median"], strict=True)]


def reorder_medians(low: float, high: float) -> list[float]:
    """The recomputed medians of the bins from ``high`` down to ``low``."""
    return [error for tau, error in error_by_tau() if low <= tau <= high]


def tau_range() -> list[float]:
    """The smallest tau of all runs, and the last bin of the figure."""
    table = _data()["reordering"]
    return [table["smallest_tau"], min(table["tau"])]


# --- section 5 ------------------------------------------------------------------------------------------------------


def figure_6_ratios() -> list[float]:
    """The gradient of a path over that of one a unit shorter, for the short paths of figure 6(b)."""
    return [longer / shorter for shorter, longer in pairwise(_data()["figure_6"]["gradient"])]


def figure_6_long_ratio() -> float:
    """The factor a unit between the shortest path of figure 6(b) and the longest that its inset shows."""
    figure = _data()["figure_6"]
    return float((figure["long"]["gradient"] / figure["gradient"][0]) ** (1 / figure["long"]["length"]))


def figure_6_peak() -> dict[str, float]:
    """Figure 6(c)'s peak, as read off and as the product of figure 6(a)'s counts and an exponential through 6(b)."""
    figure = _data()["figure_6"]
    first, last = figure["gradient"][0], figure["gradient"][-1]
    ratio = (last / first) ** (1 / figure["length"][-1])
    product = [count * first * ratio**k for k, count in enumerate(length_counts(figure["units"]))]
    return {"figure": figure["peak"]["gradient"], "product": max(product)}


def z_score() -> float:
    """The two-proportion z of 6.10 % against 5.96 % error (pooled variance)."""
    table = _data()["effective_paths"]
    pooled = (table["full"] + table["effective"]) / 200.0
    deviation = math.sqrt(2.0 * pooled * (1.0 - pooled) / table["images"])
    return float((table["full"] - table["effective"]) / 100.0 / deviation)


def p_value() -> float:
    """The two-sided probability of so large a ``z`` where there is no difference."""
    return math.erfc(abs(z_score()) / math.sqrt(2.0))
