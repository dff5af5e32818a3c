"""The lesion claims on a user's network, where its depth allows them.

Robustness to lesions is an effect of depth (Veit's own networks: one ordinary unit costs +22.8 points at 9 units and
+0.41 at 54), so every quantity says of how many units it speaks: below ``least_units`` it is not measured.
"""

from __future__ import annotations

import numpy as np

from resbench.errors import NotMeasured
from resbench.experiments import lesions
from resbench.experiments.reading import reads
from resbench.experiments.resampling import pooled_errors
from resbench.records.measurement import Measurement
from resbench.records.results import Result

__all__ = [
    "duplication_against_deletion",
    "error_by_deletions",
    "error_by_tau",
    "median_share_lost",
    "ordinary_median_increase",
]


def _need(single: Result, least_units: int) -> None:
    """Raises: NotMeasured where the target has fewer units."""
    units = len(np.asarray(single[0]["ordinary"])) + int(single[0]["left_out"])
    if units < least_units:
        raise NotMeasured(f"an effect of depth: needs {least_units} units or more, the target has {units}")


@reads(("single_deletion", "network"))
def ordinary_median_increase(single: Result, *, network: str, least_units: int) -> Measurement:
    """Median increase over the ordinary units (all but the first of each stage), points."""
    _need(single, least_units)
    return lesions.ordinary_median_increase(single, network=network)


@reads(("single_deletion", "network"))
def median_share_lost(single: Result, *, network: str, least_units: int) -> Measurement:
    """Share of the accuracy that deleting an ordinary unit costs, in the median: 0 nothing, 1 all of it."""
    _need(single, least_units)
    increase = lesions.ordinary_median_increase(single, network=network)
    errors = pooled_errors(single)
    rows = np.median(errors[:, 1:][:, np.asarray(single[0]["ordinary"])], axis=1) - errors[:, 0]
    shares = rows / (100.0 - errors[:, 0])
    return Measurement(
        float(shares[0]),
        replicates=shares[1:].tolist(),
        method=increase.method,
        n=increase.n,
        detail=increase.detail,
        samples=increase.samples,
    )


@reads(("multiple_deletion", "network"), ("single_deletion", "network"))
def error_by_deletions(multiple: Result, single: Result, *, network: str, least_units: int) -> Measurement:
    """Pairs ``[k, median error after k random deletions in percent]``."""
    _need(single, least_units)
    return lesions.error_by_deletions(multiple, network=network)


@reads(("reordering", "network"), ("single_deletion", "network"))
def error_by_tau(reordered: Result, single: Result, *, network: str, least_units: int) -> Measurement:
    """Pairs ``[Kendall's tau, error in percent]``, one an order."""
    _need(single, least_units)
    return lesions.error_by_tau(reordered, network=network)


@reads(("duplication", "network"), ("multiple_deletion", "network"), ("single_deletion", "network"))
def duplication_against_deletion(
    duplicated: Result, multiple: Result, single: Result, *, network: str, least_units: int
) -> Measurement:
    """Mean error of random duplications and of as many random deletions, percent, over the numbers tried of both."""
    _need(single, least_units)
    return lesions.duplication_against_deletion(duplicated, multiple, network=network)
