"""A fast subset of the faults, each in a process of its own as `resbench faults` has it; README has the command."""

from __future__ import annotations

import pytest

from resbench.faults import ALL
from resbench.faults.matrix import Matrix
from resbench.faults.run import run_faults
from resbench.faults.selection import select_faults

FAST = {
    "shortcut-scale-forgotten": "he-scaling-product@any",
    "downsampling-by-first-layer": "unit-bottleneck-stride@any",
    "plain-network-widens": "vgg-role@any",
    "gate-bias-sign": "hwy-bias@any",
    "paths-one-unit-less": "veit-23-modules@any",
    "schedule-ignores-p-last": "huang-time-saving-40@any",
    "projection-before-activation": "he-bottleneck-cifar@any",
    "formula-survival-from-first": "huang-2L-networks@any",
    "formula-deletion-with-replacement": "veit-seed-delete2@any",
    "formula-accuracy-for-error": "he-gate-search@any",
}


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    claims = ["hwy-bias", "unit-bottleneck-stride", *(id for id in FAST.values() if not id.startswith("hwy"))]
    return run_faults(select_faults(ALL, list(FAST)), claims, processes=2, timeout=900)


def test_every_fault_is_killed_by_the_claim_that_knows_best(matrix: Matrix) -> None:
    missed = {row.fault.name: row.claims for row in matrix.rows if FAST[row.fault.name] not in row.killers}
    assert missed == {}
    assert matrix.passed


def test_a_fault_leaves_the_claims_of_other_things_alone(matrix: Matrix) -> None:
    killers = {row.fault.name: set(row.killers) for row in matrix.rows}
    assert killers["formula-deletion-with-replacement"] == {"veit-seed-delete2@any"}
    assert killers["downsampling-by-first-layer"] == {"unit-bottleneck-stride@any"}
    assert killers["paths-one-unit-less"] == {"veit-23-modules@any"}
