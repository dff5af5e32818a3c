"""What counts as a kill, what as a survivor, which claims are idle; and how it is shown."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace

import msgspec
import pytest

from resbench.claims import load_claims
from resbench.errors import UserError
from resbench.faults import ALL
from resbench.faults.child import Answer
from resbench.faults.fault import Fault
from resbench.faults.matrix import Matrix, Row
from resbench.faults.selection import all_items, matching, measures_time, select_faults, select_items
from resbench.plan import Item
from resbench.reports.faults import faults_json, faults_table, list_of_faults

HOLDS: Answer = ("HOLDS", "measured 1, expected 1")
ITEMS = [item for item in all_items(load_claims()) if item.id in ("veit-paths-2n@any", "veit-plain-single-path@any")]
ONE, TWO = (item.id for item in ITEMS)


def fault(name: str = "wrong-sum") -> Fault:
    return Fault(name, "network", "A sum is wrong.", nullcontext, ("veit-*",))


def row(one: str, before: str = "HOLDS", *, test: str = "", test_before: str = "passed", error: str = "") -> Row:
    tests = {"tests/test_a.py::test_b": (test, "")} if test else {}
    return Row(
        fault(),
        {} if error else {ONE: (one, "measured 2, expected 1")},
        tests,
        {ONE: (before, "")},
        dict.fromkeys(tests, (test_before, "")),
        error,
    )


def matrix(*rows: Row, whole: bool = False, items: list[Item] = ITEMS) -> Matrix:
    return Matrix(rows, items, {item.id: HOLDS for item in items}, whole)


@pytest.mark.parametrize("status", ["VIOLATED", "INCONCLUSIVE", "STALE", "ERROR"])
def test_a_claim_that_fails_kills(status: str) -> None:
    assert row(status).killed_by == [ONE]


@pytest.mark.parametrize("status", ["HOLDS", "NOT_MEASURED", "WAIVED", "ABSENT"])
def test_a_claim_that_passes_does_not(status: str) -> None:
    assert row(status).survived
    assert not matrix(row(status)).passed


@pytest.mark.parametrize("before", ["VIOLATED", "INCONCLUSIVE", "NOT_MEASURED"])
def test_a_claim_that_does_not_hold_without_the_fault_kills_nothing(before: str) -> None:
    found = row("VIOLATED", before)
    assert (found.killed_by, found.survived) == ([], False)
    assert found.undecided == f"{ONE} is {before} without the fault"
    assert not matrix(found).passed


def test_tests_kill_that_pass_without_the_fault() -> None:
    assert row("HOLDS", test="failed").killed_by == ["tests/test_a.py::test_b"]
    assert row("HOLDS", test="failed", test_before="failed").survived
    assert row("HOLDS", test="not run").survived
    assert row("HOLDS", "VIOLATED", test="not run").undecided


def test_what_could_not_be_tried_is_neither_killed_nor_a_survivor() -> None:
    found = matrix(row("", error="its process died"))
    assert found.errors == {"wrong-sum": "its process died"}
    assert (found.survivors, found.undecided, found.passed) == ([], {}, False)


def test_claims_are_idle_only_where_all_faults_were_tried() -> None:
    assert matrix(row("VIOLATED")).idle == []
    assert matrix(row("VIOLATED")).passed
    whole = matrix(row("VIOLATED"), whole=True)
    assert whole.idle == ["veit-plain-single-path"]
    assert not whole.passed


def test_a_descriptive_claim_is_not_idle() -> None:
    described = [
        Item(msgspec.structs.replace(item.claim, descriptive="arithmetic on printed numbers"), item.setting)
        for item in ITEMS
    ]
    assert matrix(row("VIOLATED"), whole=True, items=described).passed


def test_the_json_is_one_line_a_fault() -> None:
    text = faults_json(matrix(row("VIOLATED"), row("HOLDS")))
    content = json.loads(text)
    assert [each["killed_by"] for each in content["faults"]] == [[ONE], []]
    assert content["baseline"] == {ONE: "HOLDS", TWO: "HOLDS"}
    assert content["faults"][0]["statuses"] == {ONE: "VIOLATED"}
    assert content["survivors"] == ["wrong-sum"]
    assert sum(line.startswith('  {"name"') for line in text.splitlines()) == 2


def test_the_table_fills_80_columns_and_says_what_survives() -> None:
    long = replace(row("VIOLATED"), fault=fault("a-name-so-long-that-it-would-take-more-than-half-of-a-line"))
    rows = [row("HOLDS"), row("VIOLATED", test="failed"), row("VIOLATED"), row("", error="died\x1b[31m\nat once")]
    assert max(map(len, faults_table(matrix(long, *rows)).splitlines())) <= 80
    text = faults_table(matrix(*rows))
    assert "SURVIVES 1" in text
    assert "NOT TRIED: died [31m at once" in text
    assert "2 of 2: veit-paths-2n, test_a.py::test_b" in text
    assert "2 of 4 faults killed" in text
    assert "survivors: wrong-sum" in text
    assert "measured 2" not in text


def test_few_faults_are_told_with_what_their_claims_said() -> None:
    text = faults_table(matrix(row("VIOLATED")))
    assert f"VIOLATED {ONE}\n    measured 2, expected 1" in text


def test_the_list_has_every_fault_and_fits() -> None:
    text = list_of_faults(ALL)
    assert all(f"{fault.name} ({fault.where})" in text for fault in ALL)
    assert len(ALL) >= 40


def test_globs_choose_claims_in_settings() -> None:
    items = all_items(load_claims())
    assert [item.id for item in matching(items, ["veit-paths-2*"])] == [ONE]
    assert {item.setting for item in matching(items, ["unit-eval-*"])} == {"target"}
    assert {item.setting for item in matching(items, ["*@digits"])} == {"digits"}
    with pytest.raises(UserError, match=r"no claim matches 'veit-paths-2m@any'; nearest: veit-paths-2n@any"):
        select_items(items, ["veit-paths-2m@any"])


def test_globs_choose_faults() -> None:
    assert [fault.name for fault in select_faults(ALL, ["paths-one-unit-*"])] == [
        "paths-one-unit-more",
        "paths-one-unit-less",
    ]
    with pytest.raises(UserError, match=r"no fault matches 'shortcut-scald'; nearest: shortcut-scaled"):
        select_faults(ALL, ["shortcut-scald"])


def test_claims_that_measure_time_are_known() -> None:
    timed = [item.id for item in all_items(load_claims()) if measures_time(item)]
    assert "huang-speed-consistent-25@digits" in timed
    assert not any(id.endswith(("@any", "@target")) for id in timed)
