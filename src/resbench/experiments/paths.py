"""How the gradient is distributed over path lengths (Veit 2016, section 5, figure 6), from sampled path gradients.

``g(k)`` is the mean gradient norm of a path through ``k`` of ``n`` units; the paths of length ``k`` carry
``C(n, k) g(k)`` together.  Intervals: 95 %, bootstrap over the sampled paths of each length, or over groups of images
where there are several.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from resbench.experiments.path_lengths import central_range
from resbench.experiments.reading import reads
from resbench.experiments.resampling import REPLICATES, weighted
from resbench.records.measurement import Measurement
from resbench.records.results import Result

__all__ = [
    "decay_fit",
    "decay_rate",
    "effective_range",
    "effective_share",
    "gradient_shares",
    "line",
    "log_gradients",
    "mean_length",
    "resampled_means",
    "share_over",
]

Floats = NDArray[np.float64]


def log_gradients(result: Result) -> Floats:
    """``log g(k)``, ``(1 + replicates, 1 + n)``, averaged over the members' logarithms.

    Lengths whose gradient underflows to zero have no logarithm and are cut, with all longer ones.
    """
    generator = np.random.default_rng(6)
    logs = []
    for member in result:
        norms = np.asarray(member["norms"], dtype=np.float64)
        with np.errstate(divide="ignore"):
            logs.append(np.log(_over_groups(norms) if norms.shape[1] > 1 else _over_paths(norms[:, 0], generator)))
    mean = np.mean(logs, axis=0)
    finite = np.isfinite(mean).all(0)
    length = len(finite) if finite.all() else int(np.argmin(finite))
    return np.asarray(mean[:, :length])


def _over_paths(norms: Floats, generator: np.random.Generator) -> Floats:
    """Means of ``(lengths, paths)`` of one group of images; each length's paths are resampled by themselves."""
    return np.stack([resampled_means(row[~np.isnan(row)], generator) for row in norms], axis=1)


def _over_groups(norms: Floats) -> Floats:
    """Means of ``(lengths, groups, paths)``; all lengths of a group of images are resampled together."""
    return weighted(norms.mean(2), 0)


def resampled_means(values: Floats, generator: np.random.Generator) -> Floats:
    """The mean of ``values`` and those of its bootstrap resamples, ``(1 + replicates,)``."""
    picks = generator.integers(len(values), size=(REPLICATES, len(values)))
    return np.concatenate([[values.mean()], values[picks].mean(1)])


def line(rows: Floats, weights: Floats | None = None) -> tuple[Floats, Floats]:
    """Slope and R^2 of the (weighted) least-squares line through each row against 0, 1, 2, ...: ``(rows,)`` each."""
    share = np.full(rows.shape[1], 1.0 / rows.shape[1]) if weights is None else weights / weights.sum()
    positions = np.arange(rows.shape[1])
    x = positions - share @ positions
    centred = rows - (rows @ share)[:, None]
    slope = centred @ (share * x) / (x @ (share * x))
    residual = (centred - slope[:, None] * x) ** 2 @ share
    return slope, 1.0 - residual / (centred**2 @ share)


def _units(result: Result) -> int:
    return len(np.asarray(result[0]["norms"])) - 1


def gradient_shares(result: Result) -> Floats:
    """Share of the gradient that the paths of each length carry, ``(1 + replicates, lengths)``."""
    n = _units(result)
    logs = log_gradients(result)
    counts = np.array([math.log(math.comb(n, k)) for k in range(logs.shape[1])])
    total = logs + counts
    shares = np.exp(total - total.max(1, keepdims=True))
    return np.asarray(shares / shares.sum(1, keepdims=True))


def _scalar(rows: Floats, result: Result, detail: str = "") -> Measurement:
    paths = sum(int((~np.isnan(np.asarray(member["norms"]))).sum()) for member in result)
    return Measurement(float(rows[0]), replicates=rows[1:].tolist(), method=_method(result), n=paths, detail=detail)


def _method(result: Result) -> str:
    groups = np.asarray(result[0]["norms"]).shape[1]
    return "bootstrap over paths" if groups == 1 else "bootstrap over groups of images, each with its own paths"


@reads(("path_gradients", "network"))
def decay_fit(result: Result, *, network: str) -> Measurement:
    """R^2 of the straight line through ``log g(k)``: 1 is an exactly exponential decay."""
    slope, explained = line(log_gradients(result))
    return _scalar(explained, result, f"slope {slope[0]:+.3f} a unit")


@reads(("path_gradients", "network"))
def decay_rate(result: Result, *, network: str) -> Measurement:
    """The factor ``r`` by which one more unit changes a path's gradient: the slope of ``log g(k)``, as ``exp``."""
    return _scalar(np.exp(line(log_gradients(result))[0]), result)


@reads(("path_gradients", "network"))
def effective_share(result: Result, *, network: str, low: int, high: int) -> Measurement:
    """Share of the gradient carried by paths through ``low`` to ``high`` units, percent."""
    return _scalar(100.0 * gradient_shares(result)[:, low : high + 1].sum(1), result)


@reads(("path_gradients", "network"))
def share_over(result: Result, *, network: str, length: int) -> Measurement:
    """Share of the gradient carried by paths through more than ``length`` units, percent."""
    return _scalar(100.0 * gradient_shares(result)[:, length + 1 :].sum(1), result)


@reads(("path_gradients", "network"))
def mean_length(result: Result, *, network: str) -> Measurement:
    """Mean length of the paths that carry the gradient, units, weighted by what they carry."""
    shares = gradient_shares(result)
    return _scalar(shares @ np.arange(shares.shape[1]), result, f"the mean path passes {_units(result) / 2} units")


@reads(("path_gradients", "network"))
def effective_range(result: Result, *, network: str) -> Measurement:
    """The lengths between the 2.5 % and the 97.5 % point of the gradient: ``[low, high]`` units."""
    rows = [list(central_range(row)) for row in gradient_shares(result).tolist()]
    return Measurement(rows[0], replicates=rows[1:], method=_method(result))
