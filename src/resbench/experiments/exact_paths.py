"""What the exact gradient by path length comes to (Veit 2016, figure 6(c)): all paths of a length, summed.

The paper multiplies the mean norm of a *sampled* path by the number of paths; here the paths of a length are added up
first, and may cancel.  Intervals: 95 %, bootstrap over images.
"""

from __future__ import annotations

import numpy as np

from resbench.errors import NotMeasured
from resbench.experiments.path_summary import LengthRows, over_images
from resbench.experiments.reading import reads
from resbench.records.measurement import Measurement
from resbench.records.results import Result

__all__ = ["decay_rate", "mean_length"]

_METHOD = "bootstrap over images"


@reads(("path_spectrum", "network"))
def mean_length(result: Result, *, network: str) -> Measurement:
    """Mean length, units, weighted by the norms of the gradients that all paths of each length carry together."""
    rows, images = _rows(result)
    lengths = rows.mean_lengths()
    detail = f"the mean path passes {rows.n / 2:g} units"
    return Measurement(float(lengths[0]), replicates=lengths[1:].tolist(), method=_METHOD, n=images, detail=detail)


@reads(("path_spectrum", "network"))
def decay_rate(result: Result, *, network: str) -> Measurement:
    """The factor by which one more unit changes the gradient of a length divided by its number of paths.

    Lengths count as much as they carry.
    """
    rows, images = _rows(result)
    found = rows.decay()
    if found.r is None:
        raise NotMeasured("fewer than two lengths carry a gradient")
    return Measurement(found.r, interval=found.interval, method=_METHOD, n=images)


def _rows(result: Result) -> tuple[LengthRows, int]:
    log_norms = np.asarray(result[0]["log_norms"], dtype=np.float64)
    return over_images(log_norms, len(log_norms) - 1, longer=False), log_norms.shape[1]
