"""What lesion claims speak of, bounded by confidence sequences while a sweep goes on.

Every reading here belongs to the quantity of the same name in :mod:`resbench.experiments.lesions` or
:mod:`resbench.experiments.unit_lesions`.  A median, share, minimum or rank of lesions rises with each lesion's
increase, so it lies between its values at all lower and at all upper limits; the limits hold together at ``alpha``
(each lesion has its part, Bonferroni), however dependent the lesions are.  A mean over lesions has a sequence of its
own, that of the mean per image.  Errors are percent, increases points.

Not here, and judged on all images: rank correlations over random draws and medians of draws
(``error_by_deletions``, ``error_by_tau``, ``error_after_deletions``, ``duplication_against_deletion``,
``largest_step``): they vary between draws more than between images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resbench.confidence_sequences import mean_sequence
from resbench.errors import NotMeasured

__all__ = ["DESCRIPTION_ONLY", "READINGS", "Reading", "Seen"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Triple = tuple[Floats, Floats, Floats]
"""The observed value, the lower and the upper limit."""

DESCRIPTION_ONLY = frozenset(
    f"unit_lesions.{name}" for name in ("error_by_deletions", "error_by_tau", "duplication_against_deletion")
)
"""Quantities that read of single deletions only how many units there are."""


class Seen:
    """What single deletions of one network have shown so far.

    ``wrong``: booleans ``(1 + lesions, images)``, row 0 the whole network; a lesion that was stopped has seen only its
    first ``used`` images.  ``description``: what the experiment says of the steps.
    """

    def __init__(self, description: Mapping[str, Any]):
        self.description = description
        self.lesions = len(np.asarray(description["ordinary"]))
        self.wrong: Bools = np.zeros((1 + self.lesions, 0), dtype=bool)
        self.used = np.zeros(self.lesions, dtype=np.int64)

    def add(self, wrong: Bools, active: Bools) -> None:
        """``wrong``: ``(1 + lesions, images of the batch)``; rows of lesions that are not ``active`` are ignored."""
        self.wrong = np.concatenate([self.wrong, wrong], axis=1)
        self.used[active] += wrong.shape[1]

    @property
    def ordinary(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.description["ordinary"])

    def errors(self, rows: NDArray[np.int64], alpha: float) -> Triple:
        """Error of each lesion of ``rows``, percent."""
        wrong = (self.wrong[1:][rows] & self._tested(rows)).sum(1)
        return _percent([0, 1], [self.used[rows] - wrong, wrong], alpha / len(rows), 0.0)

    def increases(self, rows: NDArray[np.int64], alpha: float) -> Triple:
        """Increase of each lesion of ``rows``, points, paired by image with the whole network."""
        return self._paired(rows, self.wrong[:1], alpha)

    def above(self, rows: NDArray[np.int64], other: int, alpha: float) -> Triple:
        """Error of each lesion of ``rows`` less that of the lesion ``other``, points, paired by image."""
        return self._paired(rows, self.wrong[1 + other : 2 + other], alpha)

    def _paired(self, rows: NDArray[np.int64], reference: Bools, alpha: float) -> Triple:
        tested, wrong = self._tested(rows), self.wrong[1:][rows]
        more = (wrong & ~reference & tested).sum(1)
        less = (~wrong & reference & tested).sum(1)
        return _percent([-1, 0, 1], [less, self.used[rows] - more - less, more], alpha / len(rows), -1.0)

    def mean_increase(self, rows: NDArray[np.int64], alpha: float) -> Triple:
        """Mean increase over ``rows``, points, on the images that all of them have seen; arrays ``()``."""
        k, images = len(rows), int(self.used[rows].min())
        net = self.wrong[1:, :images][rows].sum(0) - k * self.wrong[0, :images].astype(np.int64)
        counts = np.bincount(net + k, minlength=2 * k + 1)
        return _percent(np.arange(-k, k + 1) / k, list(counts), alpha, -1.0)

    def whole(self, alpha: float) -> Triple:
        """Error of the whole network, percent; arrays ``()``."""
        wrong = self.wrong[0].sum()
        return _percent([0, 1], [self.wrong.shape[1] - wrong, wrong], alpha, 0.0)

    def _tested(self, rows: NDArray[np.int64]) -> Bools:
        return np.asarray(np.arange(self.wrong.shape[1]) < self.used[rows][:, None])


def _percent(values: Any, counts: Sequence[Any], alpha: float, low: float) -> Triple:
    seen = np.stack([np.asarray(count, dtype=np.float64) for count in counts], axis=-1)
    lower, upper = mean_sequence(values, seen, alpha=alpha, low=low)
    total = seen.sum(-1)
    mean = np.divide(seen @ np.asarray(values, dtype=np.float64), total, out=np.zeros(total.shape), where=total > 0)
    # The limits are exact to 2^-32 of the range: the observed mean must not fall outside by that.
    return 100.0 * mean, 100.0 * np.minimum(lower, mean), 100.0 * np.maximum(upper, mean)


@dataclass(frozen=True)
class Reading:
    """A quantity as it stands: its observed value and limits, all of one structure (number, list or table).

    ``open``: for each network that is read, which of its lesions could still change the outcome, ``(lesions,)``.
    """

    value: Any
    low: Any
    high: Any
    open: tuple[Bools, ...]


Read = Callable[..., Reading]
"""Called with the networks' :class:`Seen`, ``alpha``, the comparator's ``bounds`` and the quantity's parameters."""


def _reading(parts: Sequence[Any], *open: Bools) -> Reading:
    value, low, high = (part.tolist() if hasattr(part, "tolist") else part for part in parts)
    return Reading(value, low, high, open)


def _medians(triple: Triple) -> list[Any]:
    return [np.median(part) for part in triple]


def _marked(seen: Seen, rows: NDArray[np.int64], needed: Bools | bool = True) -> Bools:
    marks = np.zeros(seen.lesions, dtype=bool)
    marks[rows] = needed
    return marks


def _straddles(triple: Triple, bounds: Sequence[float]) -> Bools:
    """Which limits do not clear all bounds: the rest cannot move to another side of any."""
    _, low, high = triple
    return np.asarray(np.any([(low <= bound) & (bound <= high) for bound in bounds], axis=0))


def _median(seen: Seen, alpha: float, bounds: Sequence[float]) -> Reading:
    rows = seen.ordinary
    triple = seen.increases(rows, alpha)
    open = _marked(seen, rows, _straddles(triple, bounds))
    return _reading(_medians(triple), open)


def _ordinary_median_increase(networks: Sequence[Seen], alpha: float, bounds: Sequence[float], /, **_: Any) -> Reading:
    return _median(networks[0], alpha, bounds)


def _ordinary_mean_increase(networks: Sequence[Seen], alpha: float, bounds: Sequence[float], /, **_: Any) -> Reading:
    (seen,) = networks
    return _reading(seen.mean_increase(seen.ordinary, alpha), _marked(seen, seen.ordinary))


def _ordinary_share_within(
    networks: Sequence[Seen], alpha: float, bounds: Sequence[float], /, *, points: float, **_: Any
) -> Reading:
    (seen,) = networks
    triple = seen.increases(seen.ordinary, alpha)
    shares = [100.0 * float((part <= points + 1e-9).mean()) for part in triple]
    open = _marked(seen, seen.ordinary, _straddles(triple, [points]))
    return _reading([shares[0], shares[2], shares[1]], open)


def _downsampling_increase(networks: Sequence[Seen], alpha: float, bounds: Sequence[float], /, **_: Any) -> Reading:
    (seen,) = networks
    rows = np.flatnonzero(seen.description["changes_shape"])
    if not len(rows):
        raise NotMeasured("no deletable unit changes the shape")
    triple = seen.increases(rows, alpha)
    return _reading(triple, _marked(seen, rows, _straddles(triple, bounds)))


def _interior_layer_errors(networks: Sequence[Seen], alpha: float, bounds: Sequence[float], /, **_: Any) -> Reading:
    (seen,) = networks
    rows = _interior(seen)
    triple = seen.errors(rows, alpha)
    return _reading(triple, _marked(seen, rows, _straddles(triple, bounds)))


def _interior_layer_median(networks: Sequence[Seen], alpha: float, bounds: Sequence[float], /, **_: Any) -> Reading:
    (seen,) = networks
    rows = _interior(seen)
    return _reading([float(part) for part in _medians(seen.errors(rows, alpha))], _marked(seen, rows))


def _interior(seen: Seen) -> NDArray[np.intp]:
    """As :func:`resbench.experiments.lesions.interior_layer_errors`: of a user's layers all, which were chosen."""
    return np.arange(seen.lesions) if "names" in seen.description else np.arange(1, seen.lesions - 1)


def _downsampling_against_ordinary(
    networks: Sequence[Seen], alpha: float, bounds: Sequence[float], /, **_: Any
) -> Reading:
    (seen,) = networks
    changing = np.flatnonzero(np.asarray(seen.description["changes_shape"]))
    if not len(changing):
        raise NotMeasured("no deletable unit changes the shape")
    least = tuple(part.min() for part in seen.increases(changing, alpha / 2.0))
    medians = _medians(seen.increases(seen.ordinary, alpha / 2.0))
    tables = [
        {"ordinary median": float(a), "least downsampling": float(b)} for a, b in zip(medians, least, strict=True)
    ]
    return _reading(tables, _marked(seen, np.union1d(changing, seen.ordinary)))


def _first_unit_rank(networks: Sequence[Seen], alpha: float, bounds: Sequence[float], /, **_: Any) -> Reading:
    (seen,) = networks
    if "units" in seen.description and np.asarray(seen.description["units"])[0] != 0:
        raise NotMeasured("the first unit is not deletable")
    rows = np.arange(1, seen.lesions)
    point, low, high = seen.above(rows, 0, alpha)
    ranks = [1.0 + float((part > 0.0).sum()) for part in (point, low, high)]
    open = _marked(seen, rows, (low <= 0.0) & (high > 0.0))
    open[0] = True
    return _reading(ranks, open)


def _plain_against_residual(networks: Sequence[Seen], alpha: float, bounds: Sequence[float], /, **_: Any) -> Reading:
    plain, residual = networks
    interior = _interior(plain)
    smallest = tuple(part.min() for part in plain.increases(interior, alpha / 2.0))
    median = _medians(residual.increases(residual.ordinary, alpha / 2.0))
    tables = [
        {"plain smallest increase": float(a), "residual median increase": float(b)}
        for a, b in zip(smallest, median, strict=True)
    ]
    return _reading(tables, _marked(plain, interior), _marked(residual, residual.ordinary))


def _reduced(seen: Seen, statistic: str, alpha: float) -> tuple[list[float], Bools]:
    """Median or mean over the ordinary units, or mean of ``all`` or of the stage ``firsts``: value, low, high."""
    rows = seen.ordinary
    if statistic == "all":
        rows = np.arange(seen.lesions)
    elif statistic == "firsts":
        rows = np.flatnonzero(~np.asarray(seen.description["ordinary"]))
    if statistic == "median":
        return [float(part) for part in _medians(seen.increases(rows, alpha))], _marked(seen, rows)
    return [float(part) for part in seen.mean_increase(rows, alpha)], _marked(seen, rows)


def _increase_by_depth(
    networks: Sequence[Seen], alpha: float, bounds: Sequence[float], /, *, statistic: str = "median", **_: Any
) -> Reading:
    parts = [_reduced(seen, statistic, alpha / len(networks)) for seen in networks]
    values, lows, highs = (list(part) for part in zip(*(part[0] for part in parts), strict=True))
    return _reading([values, lows, highs], *(part[1] for part in parts))


def _stochastic_against_constant(
    networks: Sequence[Seen], alpha: float, bounds: Sequence[float], /, *, statistic: str = "median", **_: Any
) -> Reading:
    parts = [_reduced(seen, statistic, alpha / 2.0) for seen in networks]
    rows = zip(*(part[0] for part in parts), strict=True)
    tables = [dict(zip(("stochastic", "constant"), row, strict=True)) for row in rows]
    return _reading(tables, *(part[1] for part in parts))


def _firsts_against_constant(networks: Sequence[Seen], alpha: float, bounds: Sequence[float], /, **_: Any) -> Reading:
    return _stochastic_against_constant(networks, alpha, bounds, statistic="firsts")


def _need(seen: Seen, least_units: int) -> None:
    units = seen.lesions + int(seen.description["left_out"])
    if units < least_units:
        raise NotMeasured(f"an effect of depth: needs {least_units} units or more, the target has {units}")


def _target_median_increase(
    networks: Sequence[Seen], alpha: float, bounds: Sequence[float], /, *, least_units: int, **_: Any
) -> Reading:
    _need(networks[0], least_units)
    return _median(networks[0], alpha, bounds)


def _median_share_lost(
    networks: Sequence[Seen], alpha: float, bounds: Sequence[float], /, *, least_units: int, **_: Any
) -> Reading:
    """The increase over the accuracy: a tenth of ``alpha`` is the accuracy's, the rest the increases'."""
    (seen,) = networks
    _need(seen, least_units)
    whole, rows = seen.whole(0.1 * alpha), seen.ordinary
    point, low, high = seen.increases(rows, 0.9 * alpha)
    accuracies = [max(100.0 - float(part), 1e-9) for part in whole]  # of the value, the highest, the lowest
    shares = (
        point / accuracies[0],
        np.minimum(low / accuracies[1], low / accuracies[2]),
        np.minimum(np.maximum(high / accuracies[1], high / accuracies[2]), 1.0),
    )
    open = _marked(seen, rows, _straddles(shares, bounds))
    return _reading(_medians(shares), open)


READINGS: Mapping[str, Read] = {
    "lesions.ordinary_median_increase": _ordinary_median_increase,
    "lesions.ordinary_mean_increase": _ordinary_mean_increase,
    "lesions.ordinary_share_within": _ordinary_share_within,
    "lesions.downsampling_increase": _downsampling_increase,
    "lesions.downsampling_against_ordinary": _downsampling_against_ordinary,
    "lesions.interior_layer_errors": _interior_layer_errors,
    "lesions.interior_layer_median": _interior_layer_median,
    "lesions.first_unit_rank": _first_unit_rank,
    "lesions.plain_against_residual": _plain_against_residual,
    "lesions.increase_by_depth": _increase_by_depth,
    "lesions.stochastic_against_constant": _stochastic_against_constant,
    "lesions.firsts_against_constant": _firsts_against_constant,
    "unit_lesions.ordinary_median_increase": _target_median_increase,
    "unit_lesions.median_share_lost": _median_share_lost,
}
"""By quantity; others cannot be judged before all images were seen."""
