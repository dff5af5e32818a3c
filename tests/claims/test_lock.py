from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from resbench.claims import load_claims
from resbench.claims.lock import fingerprint, lock_path, read_lock, verify, write_lock
from resbench.claims.model import AtLeast, AtMost, Claim, Expectation, Source, Within
from resbench.errors import UserError

SOURCE = Source(arxiv="1605.06431", version="v2", title="Residual Networks")
EXPECTATION = Expectation(
    setting="digits",
    kind="trained",
    quantity="lesions.share",
    params={"network": "resnet110", "points": [1, 2]},
    unit="%",
    compare=AtLeast(bound=90.0),
    origin="measured",
    why="ten seeds",
)


def claim(id: str = "veit-a", **changes: Any) -> Claim:
    fields: dict[str, Any] = {
        "id": id,
        "version": 1,
        "paper": "veit2016",
        "source": SOURCE,
        "locus": "section 4",
        "statement": "Most deletions are harmless.",
        "provenance": "seen",
        "changelog": ["1: first encoded"],
        "expect": [EXPECTATION],
    }
    return Claim(**(fields | changes))


def expecting(**changes: Any) -> Claim:
    return claim(expect=[msgspec.structs.replace(EXPECTATION, **changes)])


def test_a_fingerprint_is_16_hexadecimal_digits_and_stable() -> None:
    # A literal: a fingerprint that changes with the code would make every committed lock stale.
    assert fingerprint(claim()) == "5f473078e2d10f6e"


@pytest.mark.parametrize(
    "changed",
    [
        claim(id="veit-b"),
        claim(paper="he2016"),
        claim(locus="section 5"),
        claim(statement="All deletions are harmless."),
        claim(provenance="memory"),
        claim(source=msgspec.structs.replace(SOURCE, version="v1")),
        claim(source=msgspec.structs.replace(SOURCE, arxiv="1605.00001")),
        claim(expect=[]),
        claim(expect=[EXPECTATION, EXPECTATION]),
        expecting(setting="cifar10"),
        expecting(kind="structural"),
        expecting(quantity="lesions.median"),
        expecting(params={"network": "resnet56", "points": [1, 2]}),
        expecting(params={"network": "resnet110", "points": [2, 1]}),
        expecting(unit="points"),
        expecting(direction="higher"),
        expecting(compare=AtLeast(bound=89.0)),
        expecting(compare=Within(value=90.0, abs=1.0)),
        expecting(origin="chosen"),
    ],
)
def test_normative_changes_change_it(changed: Claim) -> None:
    assert fingerprint(changed) != fingerprint(claim())


@pytest.mark.parametrize(
    "changed",
    [
        claim(version=2, changelog=["1: first encoded", "2: again"]),
        claim(breaks="a shortcut that is scaled"),
        claim(known_conflicts=["another reproduction disagrees"]),
        claim(not_asserted="x"),
        claim(source=msgspec.structs.replace(SOURCE, title="The same, spelt right")),
        expecting(why="twenty seeds"),
        expecting(paper_value="94 %"),
        expecting(params={"points": [1, 2], "network": "resnet110"}),
        expecting(direction="none"),
    ],
)
def test_wording_around_it_does_not(changed: Claim) -> None:
    assert fingerprint(changed) == fingerprint(claim())


def test_a_comparator_of_the_same_fields_is_another_comparator() -> None:
    assert fingerprint(expecting(compare=AtMost(bound=90.0))) != fingerprint(claim())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "claims.lock"
    write_lock([claim("veit-b"), claim("veit-a")], path)
    return path


def test_a_written_lock_agrees_and_is_sorted(path: Path) -> None:
    assert verify([claim("veit-b"), claim("veit-a")], read_lock(path)) == []
    raw = json.loads(path.read_text())
    assert raw["schema"] == 1
    assert list(raw["claims"]) == ["veit-a", "veit-b"]
    assert raw["claims"]["veit-a"] == {"1": fingerprint(claim())}
    assert [line for line in path.read_text().splitlines() if fingerprint(claim()) in line] == [
        f'   "1": "{fingerprint(claim())}"'
    ]


def test_a_silent_change_is_found_and_not_written(path: Path) -> None:
    changed = [claim("veit-a", statement="Other words."), claim("veit-b")]
    [problem] = verify(changed, read_lock(path))
    assert problem.startswith("veit-a: changed without a higher version; set version = 2")
    before = path.read_bytes()
    with pytest.raises(UserError, match="not written: veit-a: changed without a higher version"):
        write_lock(changed, path)
    assert path.read_bytes() == before


def test_a_higher_version_is_written_beside_the_older(path: Path) -> None:
    raised = [claim("veit-a", version=2, statement="Other words."), claim("veit-b")]
    assert verify(raised, read_lock(path)) == ["veit-a: version 2 is not in the lock; run `resbench claims lock`"]
    write_lock(raised, path)
    lock = read_lock(path)
    assert verify(raised, lock) == []
    assert lock["veit-a"] == {1: fingerprint(claim()), 2: fingerprint(raised[0])}
    [problem] = verify([claim("veit-a"), claim("veit-b")], lock)
    assert problem == "veit-a: version went down from 2 to 1"


def test_versions_are_sorted_as_numbers(tmp_path: Path) -> None:
    path = tmp_path / "claims.lock"
    for version in (2, 9, 10):
        write_lock([claim(version=version)], path)
    assert list(json.loads(path.read_text())["claims"]["veit-a"]) == ["2", "9", "10"]


def test_new_and_vanished_claims(path: Path) -> None:
    now = [claim("veit-a"), claim("veit-c")]
    gone, new = verify(now, read_lock(path))
    assert gone.startswith("veit-b: is locked but in no claim file")
    assert new == "veit-c: is not in the lock; run `resbench claims lock`"
    with pytest.raises(UserError, match="veit-b: is locked but in no claim file"):
        write_lock(now, path)


def test_several_conflicts_are_one_line(path: Path) -> None:
    with pytest.raises(UserError, match=r"veit-a: .* \(and 1 more\)$"):
        write_lock([claim("veit-a", locus="x"), claim("veit-b", locus="x")], path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "<<<<<<< HEAD",
        '{"schema": 2, "claims": {}}',
        '{"schema": 1}',
        '{"schema": 1, "claims": {"a-b": {"1": "x"}}}',
        '{"schema": 1, "claims": {"a-b": {"zero": "0123456789abcdef"}}}',
        '{"schema": 1, "claims": {"a-b": {"0": "0123456789abcdef"}}}',
    ],
)
def test_a_broken_lock_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "claims.lock"
    path.write_text(text)
    for action in (lambda: read_lock(path), lambda: write_lock([claim()], path)):
        with pytest.raises(UserError, match=r"^claims\.lock: not a claim lock: [^\n]*$"):
            action()
    assert path.read_text() == text


def test_a_missing_lock(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file or directory; run `resbench claims lock`"):
        read_lock(tmp_path / "claims.lock")


def test_an_interrupted_write_leaves_the_old_lock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot write .*claims\.lock: No space left on device"):
        write_lock([claim("veit-a"), claim("veit-b"), claim("veit-c")], path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["claims.lock"]


def test_a_place_that_cannot_be_written(path: Path) -> None:
    with pytest.raises(UserError, match="cannot write"):
        write_lock([claim()], path / "claims.lock")


def test_the_packages_lock_is_up_to_date() -> None:
    assert verify(load_claims(), read_lock(lock_path())) == []
