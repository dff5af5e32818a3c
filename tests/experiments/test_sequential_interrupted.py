"""A sequential run that was interrupted goes on where it was, to the verdicts and the record of one that was not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from test_lesion_target import as_target
from test_sequential import expectation

from conftest import Run
from resbench.claims import find, load_claims
from resbench.claims.model import AtLeast, AtMost, Expectation
from resbench.experiments import lesion_sequential as module
from resbench.experiments.lab import Lab
from resbench.experiments.lesion import Body
from resbench.experiments.lesion_target import TargetBody
from resbench.experiments.sequential import Sequential, measure_sequentially
from resbench.plan import Item, kept_of_target
from resbench.plan import Run as Judging
from resbench.records.partial import PartialResults
from resbench.records.places import baselines
from resbench.records.results import Request
from resbench.targets.target import UserTarget

FOLDER = baselines() / "checkpoints" / "digits"


CLEAR = expectation("lesions.ordinary_median_increase", AtMost(bound=60.0))
CLOSE = expectation("lesions.downsampling_increase", AtLeast(bound=18.0))
BOTH = [("clear@digits", CLEAR), ("close@digits", CLOSE)]


class Counted:
    """Counts lesioned images, and interrupts the run before the ``at``-th look of a member."""

    def __init__(self, at: int | None, run: Any):
        self.at, self.images, self._run = at, 0, run

    def __call__(self, body: Any, plans: Sequence[Any], data: Any) -> NDArray[np.bool_]:
        if self.at is not None:
            self.at -= 1
            if not self.at:
                raise KeyboardInterrupt
        self.images += len(plans) * len(data)
        return self._run(body, plans, data)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Any:
    original = {kind: kind.wrong for kind in (Body, TargetBody)}

    def install(at: int | None = None) -> Counted:
        fake = Counted(at, lambda body, *given: original[type(body)](body, *given))
        for kind in original:
            monkeypatch.setattr(kind, "wrong", lambda body, plans, data: fake(body, plans, data))
        return fake

    return install


@pytest.fixture
def members() -> Any:
    """The nine-unit network with 200 and 197 test images."""
    target = Lab("digits", FOLDER)._target("preact-9")
    return replace(
        target,
        members=tuple(
            replace(member, test=member.test.subset(range(200 - 3 * i))) for i, member in enumerate(target.members)
        ),
    )


def measured(members: Any, kept: PartialResults | None, seed: int = 0) -> tuple[list[Any], dict[str, Any], int, Any]:
    lab, sequential = Lab("digits", FOLDER), Sequential(0.05, seed)
    lab._targets["preact-9"] = members
    measure_sequentially(lab, BOTH, sequential, kept)
    found = [lab.evaluate(one) for _, one in BOTH]
    return found, sequential.to_json([]), sequential.reused, lab.result(Request("single_deletion", "preact-9"))


@pytest.mark.parametrize("at", [2, 4, 8])
def test_it_goes_on(members: Any, counted: Any, tmp_path: Path, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted among the looks, and among what lesions that were stopped have to catch up at the last look."""
    monkeypatch.setattr(module, "_COMPLETED_AT_ONCE", 40)
    whole = counted()
    outcomes, record, reused, result = measured(members, None)
    assert reused == 0
    assert [one["decided"] for one in record["statements"]] == ["early", "at the last look"]
    assert record["networks"][0]["passes"] == whole.images

    before = counted(at)
    with pytest.raises(KeyboardInterrupt):
        measured(members, PartialResults(tmp_path, "key"))
    assert before.images > 0

    after = counted()
    again, same_record, reused, same_result = measured(members, PartialResults(tmp_path, "key"))
    assert again == outcomes
    assert same_record == record
    for one, other in zip(result, same_result, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key], err_msg=key)
    assert reused == before.images
    assert after.images == whole.images - before.images

    nothing = counted()
    measured(members, PartialResults(tmp_path, "key"))
    assert nothing.images == 0, "a second process finds everything there"


def test_another_order_or_another_key_shares_nothing(members: Any, counted: Any, tmp_path: Path) -> None:
    counted(3)
    with pytest.raises(KeyboardInterrupt):
        measured(members, PartialResults(tmp_path, "key"))
    counted()
    assert measured(members, PartialResults(tmp_path, "key"), seed=1)[2] == 0
    assert measured(members, PartialResults(tmp_path, "other"))[2] == 0
    assert measured(members, PartialResults(tmp_path, "key"))[2] > 0


def test_a_damaged_piece_is_measured_again(members: Any, counted: Any, tmp_path: Path) -> None:
    outcomes = measured(members, PartialResults(tmp_path, "key"))[0]
    for path in tmp_path.rglob("*.npy"):
        path.write_bytes(path.read_bytes()[:-1])
    count = counted()
    again = measured(members, PartialResults(tmp_path, "key"))
    assert (again[0], again[2]) == (outcomes, 0)
    assert count.images > 0


def test_the_command_goes_on(run: Run, counted: Any, tmp_path: Path) -> None:
    command = ("check", "--select", "veit-single-delete-vgg", "--setting", "digits", "--sequential", "--format", "json")
    _, undisturbed, _ = run(*command)
    before = counted(2)
    code, out, err = run(*command)
    assert (code, out) == (130, "")
    assert "interrupted; finished measurements are kept for the next run" in err
    assert list((tmp_path / "cache").rglob("looks--*.npy"))
    after = counted()
    code, out, err = run(*command)
    assert code == 0
    assert f"reused {before.images:,} lesioned images of an interrupted run" in err
    first, second = json.loads(undisturbed), json.loads(out)
    assert (first["sequential"], first["verdicts"]) == (second["sequential"], second["verdicts"])
    assert after.images == first["sequential"]["networks"][0]["passes"] - before.images
    assert not list((tmp_path / "cache").rglob("looks--*")), "a complete run leaves nothing behind"


@pytest.fixture
def target(members: Any) -> UserTarget:
    member = members.members[0]
    return as_target(member.network, *member.test.take(range(len(member.test))))


def test_a_users_network_goes_on(
    target: UserTarget, counted: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RESBENCH_CACHE", str(tmp_path))
    close = expectation("unit_lesions.median_share_lost", AtMost(bound=0.15), "target", "target", least_units=9)
    claim = find(load_claims(), "veit-resnet-vs-vgg-gap")
    items = [Item(replace_expectations(claim, close), "target")]

    def judged() -> tuple[Any, Sequential]:
        sequential = Sequential(0.05)
        return Judging(
            items, target=target, partial=kept_of_target(target), sequential=sequential
        ).verdicts(), sequential

    counted(2)
    with pytest.raises(KeyboardInterrupt):
        judged()
    counted()
    verdicts, sequential = judged()
    assert sequential.reused > 0
    undisturbed = Sequential(0.05)
    assert Judging(items, target=target, sequential=undisturbed).verdicts() == verdicts
    assert undisturbed.to_json(verdicts) == sequential.to_json(verdicts)


def replace_expectations(claim: Any, *expectations: Expectation) -> Any:
    import msgspec

    return msgspec.structs.replace(claim, expect=list(expectations))


def test_what_was_seen_of_another_network_is_not_used(target: UserTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other weights, images, or attributes that are no weights: other folders."""

    def folder(of: UserTarget) -> Path:
        kept = kept_of_target(of)
        assert kept is not None
        return kept._folder

    first = folder(target)
    assert folder(target) == first
    assert target.data is not None
    assert folder(replace(target, data=target.data.subset(range(100)))) != first
    assert kept_of_target(replace(target, data=None)) is None
    target.model.factor = 0.9
    assert folder(target) != first
    del target.model.factor
    assert folder(target) == first
    with torch.no_grad():
        next(target.model.parameters()).mul_(1.01)
    assert folder(target) != first
