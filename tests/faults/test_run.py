"""The run: what kills a fault, and what becomes of faults that cannot be tried."""

from __future__ import annotations

import multiprocessing
from typing import Any

import fake_faults
import pytest

from resbench.errors import UserError
from resbench.faults.matrix import Matrix
from resbench.faults.run import run_faults


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    told: list[int] = []
    found = run_faults(
        fake_faults.ALL[:-1], processes=3, timeout=600, told=lambda _, jobs: told.append(jobs), catalogue="fake_faults"
    )
    assert told == [7] * 7, "one job a fault, the claims of one setting, and the tests"
    assert not [child for child in multiprocessing.active_children() if child.is_alive()]
    return found


def row(matrix: Matrix, name: str) -> dict[str, object]:
    return next(row for row in matrix.to_json()["faults"] if row["name"] == name)


def test_a_claim_kills_that_holds_without_the_fault(matrix: Matrix) -> None:
    assert set(matrix.to_json()["baseline"].values()) == {"HOLDS"}
    assert row(matrix, "killed")["killed_by"] == ["veit-paths-2n@any"]
    assert row(matrix, "killed")["statuses"] == {"veit-paths-2n@any": "VIOLATED"}
    assert row(matrix, "killed")["judged"] == 2


def test_a_fault_that_nobody_notices_survives(matrix: Matrix) -> None:
    assert matrix.survivors == ["harmless"]
    assert not matrix.passed


def test_a_fault_that_cannot_be_tried_is_no_kill(matrix: Matrix) -> None:
    assert set(matrix.errors) == {"impossible", "dies"}
    assert matrix.errors["impossible"].startswith("its injection raised AttributeError: resbench.networks has no such")
    assert matrix.errors["dies"] == "its process died: exit code 3"
    assert all(row(matrix, name)["killed_by"] == [] for name in matrix.errors)


def test_a_fault_that_hangs_is_given_up() -> None:
    matrix = run_faults([fake_faults.HANGS], processes=1, timeout=2, catalogue="fake_faults")
    assert matrix.errors == {"hangs": "no result within 2 s"}
    assert not matrix.passed


def test_a_test_kills_that_passes_without_the_fault(matrix: Matrix) -> None:
    seen = row(matrix, "seen-by-a-test")
    assert seen["killed_by"] == ["tests/experiments/test_combinatorics.py::test_what_a_module_is_fed"]
    tests: Any = seen["tests"]
    assert [test["status"] for test in tests] == ["failed", "not run"]
    assert "test_no_such_test" in tests[1]["test"]


def test_a_glob_that_no_claim_matches_is_an_error() -> None:
    with pytest.raises(UserError, match=r"no claim matches 'veit-path-2n'; nearest: veit-paths-2n"):
        run_faults(fake_faults.ALL[:1], ["veit-path-2n"], processes=1, timeout=30, catalogue="fake_faults")
