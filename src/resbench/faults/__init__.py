"""Seeded faults: small wrong edits of networks, training, experiments, judge and records that claims or tests must see.

A module named after what it breaks holds the faults of a kind, a tuple ``FAULTS``; here they are gathered.
"""

from __future__ import annotations

from resbench.faults import depth, experiments, formulas, judging, network, records, shortcuts, training
from resbench.faults.fault import Fault

__all__ = ["ALL", "Fault"]

ALL: tuple[Fault, ...] = (
    *shortcuts.FAULTS,
    *network.FAULTS,
    *depth.FAULTS,
    *formulas.FAULTS,
    *training.FAULTS,
    *experiments.FAULTS,
    *judging.FAULTS,
    *records.FAULTS,
)
