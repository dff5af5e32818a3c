"""What the lesion claims speak of, computed from the raw results of :mod:`resbench.experiments.lesion`.

Errors are percent, increases are percentage points against the whole network.  The two halves of the data are pooled:
the error of a lesion is that over all test images.  Intervals are 95 % and come from resampling the images, and the
draws where lesions were drawn at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resbench.errors import NotMeasured
from resbench.experiments.reading import reads
from resbench.experiments.resampling import pooled_errors, resampled_draws
from resbench.records.measurement import Measurement
from resbench.records.results import Result

__all__ = [
    "downsampling_against_ordinary",
    "downsampling_increase",
    "duplication_against_deletion",
    "error_after_deletions",
    "error_by_deletions",
    "error_by_tau",
    "first_unit_rank",
    "firsts_against_constant",
    "increase_by_depth",
    "interior_layer_errors",
    "interior_layer_median",
    "largest_step",
    "ordinary_mean_increase",
    "ordinary_median_increase",
    "ordinary_share_within",
    "plain_against_residual",
    "stochastic_against_constant",
]

Floats = NDArray[np.float64]
_OVER_IMAGES = "bootstrap over images, paired between lesions"
_OVER_DRAWS = "bootstrap over draws"


def _increases(single: Result) -> Floats:
    """Increase of every step's deletion, ``(1 + replicates, steps)`` points."""
    errors = pooled_errors(single)
    return errors[:, 1:] - errors[:, :1]


def _ordinary(single: Result) -> Floats:
    return _increases(single)[:, np.asarray(single[0]["ordinary"])]


def _costliest(single: Result) -> str:
    """``layer2.1 costs most (+12.3 points)`` of a user's network, whose units have names; else nothing."""
    if "names" not in single[0]:
        return ""
    increases, ordinary = _increases(single)[0], np.asarray(single[0]["ordinary"])
    names = np.asarray(single[0]["names"])[ordinary]
    worst = int(increases[ordinary].argmax())
    left_out = int(single[0]["left_out"])
    fixed = f", {left_out} units are not deletable" if left_out else ""
    return f"; of the ordinary units {names[worst]} costs most ({increases[ordinary][worst]:+.1f} points){fixed}"


def _reduced(single: Result, statistic: str) -> Floats:
    """Median or mean over the ordinary units, ``(1 + replicates,)``."""
    if statistic not in ("median", "mean"):
        raise ValueError(f"unknown statistic {statistic!r}")
    increases = _ordinary(single)
    return np.asarray(np.median(increases, axis=1) if statistic == "median" else increases.mean(1))


def _images(result: Result, key: str = "wrong") -> int:
    return sum(np.asarray(member[key]).shape[-1] for member in result)


def _scalar(rows: Floats, result: Result, detail: str = "", method: str = _OVER_IMAGES, **samples: Any) -> Measurement:
    """A scalar from its ``(1 + replicates,)`` values, the point first."""
    return Measurement(
        float(rows[0]),
        replicates=rows[1:].tolist(),
        method=method,
        n=_images(result),
        detail=detail,
        samples=samples,
    )


def _baseline(single: Result) -> float:
    return float(pooled_errors(single)[0, 0])


def _per_unit(single: Result) -> dict[str, Any]:
    errors = pooled_errors(single)[0]
    names = {"names": np.asarray(single[0]["names"]).tolist()} if "names" in single[0] else {}
    return {"baseline": float(errors[0]), "errors": [round(float(e), 4) for e in errors[1:]], **names}


@reads(("single_deletion", "network"))
def ordinary_median_increase(single: Result, *, network: str) -> Measurement:
    """Median increase over the ordinary units (all but the first of each stage), points."""
    detail = f"whole network {_baseline(single):.2f} %{_costliest(single)}"
    return _scalar(np.median(_ordinary(single), axis=1), single, detail, **_per_unit(single))


@reads(("single_deletion", "network"))
def ordinary_mean_increase(single: Result, *, network: str) -> Measurement:
    """Mean increase over the ordinary units, points; unlike the median it sees the few units that matter."""
    detail = f"whole network {_baseline(single):.2f} %{_costliest(single)}"
    return _scalar(_ordinary(single).mean(1), single, detail, **_per_unit(single))


@reads(("single_deletion", "network"))
def ordinary_share_within(single: Result, *, network: str, points: float) -> Measurement:
    """Share of the ordinary units whose deletion costs at most ``points``, percent."""
    # Percentages are sums of floats: an increase of exactly `points` must count as within.
    within = _ordinary(single) <= points + 1e-9
    detail = f"{int(within[0].sum())} of {within.shape[1]} ordinary units{_costliest(single)}"
    return _scalar(100.0 * within.mean(1), single, detail, **_per_unit(single))


@reads(("single_deletion", "network"))
def downsampling_increase(single: Result, *, network: str) -> Measurement:
    """Increase of each dimension-changing unit, points, in order."""
    changing = np.asarray(single[0]["changes_shape"])
    if not changing.any():
        raise NotMeasured("no deletable unit changes the shape")
    rows = _increases(single)[:, changing]
    return _list(rows, single, _OVER_IMAGES, **_per_unit(single))


@reads(("single_deletion", "network"))
def downsampling_against_ordinary(single: Result, *, network: str) -> Measurement:
    """Increase of the dimension-changing unit that costs least, and the ordinary units' median, points."""
    changing = np.asarray(single[0]["changes_shape"])
    if not changing.any():
        raise NotMeasured("no deletable unit changes the shape")
    least = _increases(single)[:, changing].min(1)
    rows = {"ordinary median": np.median(_ordinary(single), axis=1), "least downsampling": least}
    return _table(rows, single, _OVER_IMAGES, **_per_unit(single))


@reads(("single_deletion", "network"))
def first_unit_rank(single: Result, *, network: str) -> Measurement:
    """Rank of unit 1 among all single deletions by their error; 1 is the worst."""
    increases = _increases(single)
    if "units" in single[0] and np.asarray(single[0]["units"])[0] != 0:
        raise NotMeasured("the first unit is not deletable")
    rank = 1.0 + (increases[:, 1:] > increases[:, :1]).sum(1)
    return _scalar(rank, single, f"unit 1: {increases[0, 0]:+.1f} points", **_per_unit(single))


@reads(("single_deletion", "network"))
def interior_layer_errors(single: Result, *, network: str) -> Measurement:
    """Error after deleting each interior layer of a plain network (all but the first and the last), percent."""
    return _list(_interior(pooled_errors(single)[:, 1:], single), single, _OVER_IMAGES, **_per_unit(single))


@reads(("single_deletion", "network"))
def interior_layer_median(single: Result, *, network: str) -> Measurement:
    """Median over the interior layers of the error after deleting one, percent."""
    errors = _interior(pooled_errors(single)[:, 1:], single)
    least = f"the mildest layer leaves {errors[0].min():.1f} %"
    return _scalar(np.median(errors, axis=1), single, least, **_per_unit(single))


def _interior(rows: Floats, single: Result) -> Floats:
    """The columns of a plain network's interior layers; a user's layers were chosen: all of them that are deletable."""
    return rows if "names" in single[0] else rows[:, 1:-1]


@reads(("single_deletion", "plain"), ("single_deletion", "residual"))
def plain_against_residual(plain_single: Result, residual_single: Result, *, plain: str, residual: str) -> Measurement:
    """Smallest increase of a plain network's interior layers against the residual network's ordinary median, points."""
    smallest = _interior(_increases(plain_single), plain_single).min(1)
    median = np.median(_ordinary(residual_single), axis=1)
    rows = {"plain smallest increase": smallest, "residual median increase": median}
    return _table(rows, plain_single, _OVER_IMAGES)


@reads(("single_deletion", "networks"))
def increase_by_depth(singles: Sequence[Result], *, networks: Sequence[str], statistic: str = "median") -> Measurement:
    """Median (or ``mean``) ordinary increase of each network, points, in the order given."""
    rows = np.stack([_reduced(single, statistic) for single in singles], axis=1)
    return _list(rows, singles[0], _OVER_IMAGES, networks=list(networks))


@reads(("single_deletion", "stochastic"), ("single_deletion", "constant"))
def stochastic_against_constant(
    stochastic_single: Result, constant_single: Result, *, stochastic: str, constant: str, statistic: str = "median"
) -> Measurement:
    """Median or ``mean`` ordinary increase with stochastic and constant depth, points; ``all``: mean of all units."""
    rows = {}
    for name, single in (("stochastic", stochastic_single), ("constant", constant_single)):
        rows[name] = _increases(single).mean(1) if statistic == "all" else _reduced(single, statistic)
    raw = {"stochastic": _per_unit(stochastic_single), "constant": _per_unit(constant_single)}
    return _table(rows, stochastic_single, _OVER_IMAGES, **raw)


@reads(("single_deletion", "stochastic"), ("single_deletion", "constant"))
def firsts_against_constant(
    stochastic_single: Result, constant_single: Result, *, stochastic: str, constant: str
) -> Measurement:
    """Mean increase of the stage-first units with stochastic depth and with constant depth, points."""
    rows = {}
    for name, single in (("stochastic", stochastic_single), ("constant", constant_single)):
        firsts = ~np.asarray(single[0]["ordinary"])
        rows[name] = _increases(single)[:, firsts].mean(1)
    raw = {"stochastic": _per_unit(stochastic_single), "constant": _per_unit(constant_single)}
    return _table(rows, stochastic_single, _OVER_IMAGES, **raw)


def _runs(result: Result, groups: str) -> tuple[Floats, NDArray[Any]]:
    """Error of every random lesion, ``(1 + replicates, runs)`` percent with the draws resampled, and its group.

    The members got the same lesions; an error is that over both members' images.  Resampling the draws covers the
    images too, because every draw has its own sampling error in it.
    """
    labels = np.asarray(result[0][groups])
    if any(not np.array_equal(labels, np.asarray(member[groups])) for member in result):
        raise ValueError("the members did not get the same lesions")
    wrong = sum(np.asarray(member["wrong"]).sum(1) for member in result)
    errors = 100.0 * wrong / _images(result)
    return errors[resampled_draws(labels.tolist())], labels


def _medians(result: Result) -> tuple[Floats, list[int]]:
    """Median error for each number of lesions, ``(1 + replicates, ks)``, and those numbers."""
    errors, labels = _runs(result, "k")
    ks = sorted({int(k) for k in labels})
    return np.stack([np.median(errors[:, labels == k], axis=1) for k in ks], axis=1), ks


@reads(("multiple_deletion", "network"))
def error_by_deletions(multiple: Result, *, network: str) -> Measurement:
    """Pairs ``[k, median error after k random deletions in percent]``."""
    medians, ks = _medians(multiple)
    pairs = [[[k, float(m)] for k, m in zip(ks, row, strict=True)] for row in medians]
    return Measurement(pairs[0], replicates=pairs[1:], method=_OVER_DRAWS, n=_images(multiple))


@reads(("multiple_deletion", "network"))
def largest_step(multiple: Result, *, network: str) -> Measurement:
    """Largest rise of the median error from ``k`` to ``k + 1`` deletions, as a share of the whole range."""
    medians, ks = _medians(multiple)
    if len(ks) < 2:
        raise NotMeasured("only one unit beyond the first of a stage can be deleted")
    steps = np.diff(medians, axis=1).max(1) / (medians.max(1) - medians.min(1))
    return _scalar(steps, multiple, f"k = {ks[0]}..{ks[-1]}", _OVER_DRAWS)


@reads(("multiple_deletion", "network"))
def error_after_deletions(multiple: Result, *, network: str, k: int) -> Measurement:
    """Median error after ``k`` random deletions, percent."""
    medians, ks = _medians(multiple)
    if k not in ks:
        raise NotMeasured(f"{k} deletions: only {ks[-1]} units beyond the first of a stage can be deleted")
    return _scalar(medians[:, ks.index(k)], multiple, f"{k} units deleted", _OVER_DRAWS)


@reads(("reordering", "network"))
def error_by_tau(reordered: Result, *, network: str) -> Measurement:
    """Pairs ``[Kendall's tau, error in percent]``, one an order."""
    errors, swaps = _runs(reordered, "swaps")
    tau = np.asarray(reordered[0]["tau"])
    taus = tau[resampled_draws(swaps.tolist())]
    pairs = np.stack([taus, errors], axis=2)
    return Measurement(
        pairs[0].tolist(), replicates=pairs[1:].tolist(), method=_OVER_DRAWS, n=len(tau), detail=f"{len(tau)} orders"
    )


@reads(("duplication", "network"), ("multiple_deletion", "network"))
def duplication_against_deletion(duplicated: Result, multiple: Result, *, network: str) -> Measurement:
    """Mean error of random duplications and of as many random deletions, percent, over the numbers tried of both."""
    common = set(duplicated[0]["k"].tolist()) & set(multiple[0]["k"].tolist())
    rows = {}
    for name, result in (("duplicated", duplicated), ("deleted", multiple)):
        errors, labels = _runs(result, "k")
        rows[name] = np.mean([errors[:, labels == k].mean(1) for k in sorted(common)], axis=0)
    return _table(rows, multiple, _OVER_DRAWS)


def _list(rows: Floats, result: Result, method: str, **samples: Any) -> Measurement:
    point = [float(v) for v in rows[0]]
    return Measurement(point, replicates=rows[1:].tolist(), method=method, n=_images(result), samples=samples)


def _table(rows: dict[str, Floats], result: Result, method: str, **samples: Any) -> Measurement:
    names = list(rows)
    replicates = [
        dict(zip(names, values, strict=True)) for values in zip(*(rows[n][1:].tolist() for n in names), strict=True)
    ]
    point = {n: float(rows[n][0]) for n in names}
    return Measurement(point, replicates=replicates, method=method, n=_images(result), samples=samples)
