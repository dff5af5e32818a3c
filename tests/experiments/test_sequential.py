"""Sequential runs on real networks: the same verdicts from fewer images, and the record of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from test_lesion_target import as_target

from conftest import Run
from resbench.claims import find, load_claims
from resbench.claims.model import AtLeast, AtMost, Comparator, Expectation
from resbench.errors import NotMeasured
from resbench.experiments import lesion
from resbench.experiments import sequential as module
from resbench.experiments.lab import Lab, TargetLab
from resbench.experiments.lesion_sequential import parts_of, sweep
from resbench.experiments.lesion_stopping import Statement, Stopping
from resbench.experiments.sequential import Sequential, measure_sequentially
from resbench.judge import Status, compare
from resbench.plan import Item
from resbench.plan import Run as Judging
from resbench.records.measurement import Measurement
from resbench.records.places import baselines
from resbench.records.results import Request
from resbench.reports.sequential import sequential_text

FOLDER = baselines() / "checkpoints" / "digits"


def expectation(
    quantity: str, comparator: Comparator, network: str = "preact-9", setting: str = "digits", **params: Any
) -> Expectation:
    return Expectation(
        setting=setting,
        kind="trained",
        quantity=quantity,
        params={"network": network, **params},
        compare=comparator,
        unit="points",
        origin="chosen",
        why="test",
    )


CLEAR = expectation("lesions.ordinary_median_increase", AtMost(bound=60.0))
CLOSE = expectation("lesions.ordinary_mean_increase", AtLeast(bound=16.0))
DRAWS = expectation("lesions.error_after_deletions", AtLeast(bound=1.0), k=2)


@pytest.fixture
def small() -> Lab:
    """The nine-unit network with 200 and 197 test images."""
    lab = Lab("digits", FOLDER)
    target = lab._target("preact-9")
    members = tuple(
        replace(member, test=member.test.subset(range(200 - 3 * i))) for i, member in enumerate(target.members)
    )
    lab._targets["preact-9"] = replace(target, members=members)
    return lab


def judge(lab: Lab, *expectations: Expectation, alpha: float = 0.05) -> tuple[list[Measurement], Sequential]:
    sequential = Sequential(alpha)
    measure_sequentially(lab, [(f"c{i}@digits", one) for i, one in enumerate(expectations)], sequential)
    return [lab.evaluate(one) for one in expectations], sequential


def test_an_early_verdict_is_that_of_all_images(small: Lab) -> None:
    (early,), sequential = judge(small, CLEAR)
    whole = Lab("digits", FOLDER)
    whole._targets = small._targets
    late = whole.evaluate(CLEAR)
    assert compare(CLEAR.compare, early).status is compare(CLEAR.compare, late).status is Status.HOLDS
    assert early.n is not None
    assert late.n == 397
    assert early.n < late.n
    (one,) = sequential.statements
    assert (one["decided"], one["images"], one["of"]) == ("early", early.n, 397)
    assert max(one["lesions"]["preact-9"]) == early.n
    (network,) = sequential.networks
    assert network["passes"] < network["of"] == 10 * 397
    result = small.result(Request("single_deletion", "preact-9"))
    assert "wrong" not in result[0], "images that were not looked at must not pass for looked at"


def test_at_the_last_look_all_is_as_without_stopping(small: Lab) -> None:
    (close, clear), sequential = judge(small, CLOSE, CLEAR)
    assert [one["decided"] for one in sequential.statements] == ["at the last look", "early"]
    assert sequential.statements[0]["lesions"] == {"preact-9": [397] * 9}
    assert close.confidence == pytest.approx(0.96)
    assert "last look" in close.method
    assert clear.confidence == pytest.approx(0.99)
    found = small.result(Request("single_deletion", "preact-9"))
    for result, member in zip(found, small.members("preact-9"), strict=True):
        expected = lesion.single_deletion(member)
        for key in expected:
            np.testing.assert_array_equal(result[key], expected[key], err_msg=key)
    assert sequential.networks[0]["passes"] == sequential.networks[0]["of"]


def test_the_order_is_shuffled_and_repeatable(small: Lab) -> None:
    members = small.members("preact-9")
    first, again, other = (parts_of(members, seed)[0]._order.tolist() for seed in (0, 0, 1))
    assert first == again != other
    assert sorted(first) == list(range(200)) != first
    assert parts_of(members, 0)[1]._order.tolist()[:50] != first[:50]


def test_looks_of_another_size_see_the_same(small: Lab) -> None:
    images = []
    for look in (40, 64):
        parts = {"preact-9": parts_of(small.members("preact-9"), 0)}
        stopping = Stopping(
            [Statement("open", CLOSE, ("preact-9",))], {"preact-9": parts["preact-9"][0].describe()}, 0.05
        )
        sweep(stopping, parts, look)
        images.append(stopping.seen["preact-9"].wrong.sum(1))
        assert stopping.seen["preact-9"].wrong.shape[1] == 2 * 197, "equally many of each half"
    np.testing.assert_array_equal(*images)


def test_what_is_not_sequential_is_said_and_measured(small: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesion, "DRAWS", 2)
    (draws, _), sequential = judge(small, DRAWS, CLEAR)
    assert "draws" in draws.method
    assert [one["name"] for one in sequential.all_images] == ["c0@digits"]
    assert [one["name"] for one in sequential.statements] == ["c1@digits"]


def test_a_missing_network_is_not_measured(small: Lab) -> None:
    missing = expectation("lesions.ordinary_median_increase", AtMost(bound=1.0), "resnet110")
    lab, sequential = small, Sequential(0.05)
    measure_sequentially(lab, [("a", missing), ("b", CLEAR)], sequential)
    with pytest.raises(NotMeasured, match="network resnet110 is not trained"):
        lab.evaluate(missing)
    assert lab.evaluate(CLEAR).n


def test_a_users_network(small: Lab) -> None:
    """The same network, brought by a user: its claims by the run, the record and the table."""
    member = small.members("preact-9")[0]
    target = as_target(member.network, *member.test.take(range(len(member.test))))
    lost = expectation("unit_lesions.median_share_lost", AtMost(bound=0.9), "target", least_units=9)
    deep = expectation("unit_lesions.ordinary_median_increase", AtMost(bound=1.5), "target", least_units=50)
    claim = find(load_claims(), "veit-resnet-vs-vgg-gap")
    items = [
        Item(msgspec.structs.replace(claim, expect=[msgspec.structs.replace(one, setting="target")]), "target")
        for one in (lost, deep)
    ]
    sequential = Sequential(0.05, 3)
    verdicts = Judging(items, target=target, sequential=sequential).verdicts()
    assert [verdict.status for verdict in verdicts] == [Status.HOLDS, Status.NOT_MEASURED]
    assert "betting confidence sequence" in verdicts[0].checks[0].method
    record = json.loads(json.dumps(sequential.to_json(verdicts)))
    assert [one["decided"] for one in record["statements"]] == ["early", "not measured"]
    assert record["statements"][0]["status"] is not None
    text = sequential_text(record)
    assert max(map(len, text.splitlines())) <= 80
    assert f"{record['statements'][0]['images']} of 200 images" in text
    assert "1 of 2 statements decided early" in text
    assert "arXiv:2010.09686" in text


def test_a_target_without_data_is_not_measured(small: Lab) -> None:
    member = small.members("preact-9")[0]
    target = replace(as_target(member.network, *member.test.take(range(len(member.test)))), data=None)
    lab = TargetLab(target)
    lost = expectation("unit_lesions.median_share_lost", AtMost(bound=0.9), "target", least_units=9)
    measure_sequentially(lab, [("a", lost)], Sequential(0.05))
    with pytest.raises(NotMeasured, match="no data"):
        lab.evaluate(lost)


def test_the_command_line(run: Run) -> None:
    code, out, _ = run(
        *("check", "--select", "veit-single-delete-vgg", "--setting", "digits"),
        *("--sequential", "--alpha", "0.01", "--format", "json"),
    )
    assert code == 0
    document = json.loads(out)
    record = document["sequential"]
    assert record["alpha"] == 0.01
    assert record["statements"][0]["decided"] == "early"
    (check,) = document["verdicts"][0]["checks"]
    assert check["n"] == record["statements"][0]["images"] < record["statements"][0]["of"] == 1797
    assert "arXiv:2010.09686" in check["method"]


def test_recorded_evidence_is_judged_as_it_is(run: Run) -> None:
    """What others' networks were measured to be: there is nothing left to stop."""
    command = ("check", "--select", "veit-single-delete-vgg", "--setting", "cifar10-public", "--format", "json")
    plain, sequential = (json.loads(run(*command, *more)[1]) for more in ((), ("--sequential",)))
    assert plain["verdicts"] == sequential["verdicts"]
    assert plain["verdicts"][0]["status"] == "HOLDS"
    assert sequential["sequential"]["statements"] == []


def test_alpha_needs_sequential(run: Run) -> None:
    code, _, err = run("check", "--alpha", "0.01", "--kind", "exact")
    assert code == 2
    assert "--alpha goes with --sequential" in err


def test_a_quantity_without_a_reading_gets_all_images(small: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that reads errors and cannot be bounded: the sweep is an ordinary one, for all that read it."""
    monkeypatch.setattr(module, "READINGS", {CLEAR.quantity: module.READINGS[CLEAR.quantity]})
    (close, clear), record = judge(small, CLOSE, CLEAR)
    assert close.n == clear.n == 397
    assert not record.statements
    assert [one["name"] for one in record.all_images] == ["c0@digits", "c1@digits"]
