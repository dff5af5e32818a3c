"""Which version of each experiment this is: what recorded evidence must be of.

Raise an experiment's number when what it returns for one and the same network and data changes: other lesions, other
images, other arrays.  A faster way to the same arrays changes nothing.  Evidence of another number is STALE.

What makes evidence of a network that resbench trained STALE, and only that: another version of the experiment, another
version of the networks' code (:data:`NETWORKS`), another recipe than the present one (the fingerprint of what decides
the training), other data than the setting's other records.  A claim may change freely: records hold raw results, which
are judged afresh each time.  So may anything else of resbench: the training loop on another device or made faster, the
statistics, the judge.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["NETWORKS", "VERSIONS"]

NETWORKS = 1
"""Of what the networks' code builds from a specification, and computes with given weights.  Raise it when either
changes: weights trained before then belong to another function, so checkpoints and evidence of another number are
STALE."""

VERSIONS: Mapping[str, int] = {
    "evaluation": 1,
    "single_deletion": 1,
    "multiple_deletion": 2,
    "reordering": 2,
    "duplication": 2,
    "path_gradients": 2,
    "path_spectrum": 1,
    "training_curves": 1,
    "step_times": 1,
}
"""Those that can be recorded."""
