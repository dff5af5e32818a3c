"""Recorded evidence: arrays come back as they were, and nothing that is damaged is read."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.records.evidence_samples import REQUEST, SETTING, record

from resbench.errors import Damaged, UserError
from resbench.records import evidence as module
from resbench.records.evidence import Evidence, _unpacked, evidence_path, read_evidence, restored, stored
from resbench.records.results import Request
from resbench.records.schemas import digest_of


def read(folder: Path) -> Evidence:
    found = read_evidence(folder, SETTING, REQUEST)
    assert found is not None
    return found


def test_what_is_written_is_read(tmp_path: Path) -> None:
    member: dict[str, Any] = {
        "wrong": np.arange(39).reshape(3, 13) % 4 == 0,
        "units": np.array([0, 2, 5]),
        "tau": np.array([0.1, np.nan, -1 / 3]),
        "names": np.array(["layer1.0", "layer1.1", "ä"]),
        "left_out": np.array(2),
        "none": np.zeros((0, 4), dtype=bool),
    }
    path = record(tmp_path, (member, {"wrong": np.ones((1, 1), dtype=bool)}))
    assert path == evidence_path(tmp_path, REQUEST)
    evidence = read(tmp_path)
    first, second = restored(evidence)
    assert sorted(first) == sorted(member)
    for name, array in member.items():
        np.testing.assert_array_equal(first[name], array)
        assert first[name].dtype.kind == array.dtype.kind
    assert second["wrong"].tolist() == [[True]]
    assert evidence.subject.published_error == 6.61
    assert json.loads(path.read_text())["made"]["environment"] == {"cpu": "a processor"}


@given(hnp.arrays(np.bool_, hnp.array_shapes(max_dims=3, min_side=0, max_side=20)))
def test_truth_values_of_any_shape(array: Any) -> None:
    (packed,) = stored(({"wrong": array},))
    np.testing.assert_array_equal(_unpacked(packed["wrong"]), array)


@pytest.mark.parametrize(
    ("numbers", "kind"),
    [([0.5, np.nan, np.inf, -0.0], "single"), ([0.1], "float"), ([1e300], "float"), ([np.float32(0.1)], "single")],
)
def test_floats_come_back_exactly_however_they_are_stored(numbers: list[float], kind: str) -> None:
    array = np.array(numbers, dtype=np.float64)
    (packed,) = stored(({"loss": array},))
    assert packed["loss"].type == kind
    assert _unpacked(packed["loss"]).tobytes() == array.tobytes()


def test_further_runs_are_beside_the_first(tmp_path: Path) -> None:
    assert evidence_path(tmp_path, REQUEST, run=2) == tmp_path / "resnet56" / "seed-2" / "single_deletion.json"
    record(tmp_path)
    assert read_evidence(tmp_path, SETTING, REQUEST, run=2) is None


def test_a_network_without_a_record_has_none(tmp_path: Path) -> None:
    record(tmp_path)
    assert read_evidence(tmp_path, SETTING, Request("single_deletion", "resnet99")) is None


def test_an_object_is_not_recorded(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="object cannot be recorded"):
        record(tmp_path, ({"wrong": np.array([None])},))
    assert not list(tmp_path.rglob("*.json"))


def fault(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_evidence(folder, SETTING, REQUEST)
    message = str(caught.value)
    assert "\n" not in message
    assert "resnet56/single_deletion.json" in message
    assert "resbench measure" in message
    return message


def change(path: Path, edit: Any) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_a_truncated_file(tmp_path: Path) -> None:
    path = record(tmp_path)
    path.write_bytes(path.read_bytes()[:-200])
    assert "not a record of evidence" in fault(tmp_path)


def test_another_schema(tmp_path: Path) -> None:
    change(record(tmp_path), lambda content: content.update(schema="resbench.evidences/2"))
    assert "not a record of evidence" in fault(tmp_path)


def test_a_newer_schema_is_not_damage(tmp_path: Path) -> None:
    change(record(tmp_path), lambda content: content.update(schema="resbench.evidence/3"))
    with pytest.raises(UserError, match=r"of a newer resbench \(resbench.evidence/3\); update") as caught:
        read_evidence(tmp_path, SETTING, REQUEST)
    assert not isinstance(caught.value, Damaged)


def test_an_unknown_field(tmp_path: Path) -> None:
    change(record(tmp_path), lambda content: content.update(verdict="HOLDS"))
    assert "verdict" in fault(tmp_path)


@pytest.mark.parametrize(
    "edit",
    [
        lambda content: content["subject"].update(published_error=6.62),
        lambda content: content["subject"].update(seed=1),
        lambda content: content["made"]["environment"].update(cpu="another"),
        lambda content: content.update(version=content["version"] + 1),
        lambda content: content.pop("digest"),
        lambda content: content.update(digest=64 * "0"),
    ],
)
def test_whatever_was_changed_is_seen(tmp_path: Path, edit: Any) -> None:
    change(record(tmp_path), edit)
    assert "another digest" in fault(tmp_path)


@pytest.mark.parametrize(("field", "value"), [("shape", [1, 7]), ("type", "int"), ("data", "eJwDAAAAAAE=")])
def test_arrays_that_were_changed(tmp_path: Path, field: str, value: Any) -> None:
    change(record(tmp_path), lambda content: content["members"][0]["wrong"].update({field: value}))
    assert "another digest" in fault(tmp_path)


@pytest.mark.parametrize(
    "edit",
    [
        lambda array: array.update(shape=[9, 99]),
        lambda array: array.update(shape=[1 << 62, 1 << 62]),
        lambda array: array.update(data="eJwDAAA="),
        lambda array: array.update(data="AAAA" + array["data"]),
        lambda array: array.update(data=base64.b64encode(base64.b64decode(array["data"]) + b"more").decode()),
    ],
)
def test_arrays_that_do_not_unpack(tmp_path: Path, edit: Any) -> None:
    """With the digest of what they are: written by something else than resbench."""

    def forged(content: dict[str, Any]) -> None:
        edit(content["members"][0]["wrong"])
        content["digest"] = digest_of(content)

    change(record(tmp_path), forged)
    assert "do not unpack" in fault(tmp_path)


def test_an_array_that_would_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LARGEST", 1000)
    record(tmp_path, ({"wrong": np.zeros(8 * 1001, dtype=bool)},))
    assert "too large" in fault(tmp_path)


@pytest.mark.parametrize("name", ["..", "../up", "a/b", "", ".hidden", "A", "a\n"])
def test_a_name_that_would_lead_elsewhere(tmp_path: Path, name: str) -> None:
    for request in (Request("evaluation", name), Request(name, "resnet56")):
        with pytest.raises(UserError, match="is no name of a network or experiment"):
            evidence_path(tmp_path, request)


def test_a_link_out_of_the_store_is_neither_read_nor_written_through(tmp_path: Path) -> None:
    store, outside = tmp_path / "store", tmp_path / "outside"
    path = record(outside)
    store.mkdir()
    (store / "resnet56").symlink_to(outside / "resnet56")
    before = path.read_bytes()
    with pytest.raises(UserError, match="leads out of"):
        read_evidence(store, SETTING, REQUEST)
    with pytest.raises(UserError, match="leads out of"):
        record(store, seed=3)
    (store / "resnet56").unlink()
    (store / "resnet56").mkdir()
    (store / "resnet56" / path.name).symlink_to(path)
    with pytest.raises(UserError, match="leads out of"):
        read_evidence(store, SETTING, REQUEST)
    assert path.read_bytes() == before


def test_a_store_may_be_a_link_itself(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "store")
    (tmp_path / "store").mkdir()
    record(tmp_path / "link")
    assert read(tmp_path / "link") == read(tmp_path / "store")


def test_a_loop_of_links(tmp_path: Path) -> None:
    (tmp_path / "resnet56").symlink_to(tmp_path / "resnet56")
    with pytest.raises(UserError):
        read_evidence(tmp_path, SETTING, REQUEST)


def test_a_file_in_the_wrong_place(tmp_path: Path) -> None:
    path = record(tmp_path)
    content = path.read_bytes()
    other = evidence_path(tmp_path, Request("evaluation", "resnet56"))
    other.write_bytes(content)
    with pytest.raises(UserError, match="is cifar10-public/resnet56/single_deletion, not what its place says"):
        read_evidence(tmp_path, SETTING, Request("evaluation", "resnet56"))


@given(st.text(max_size=12))
def test_words(word: str) -> None:
    array = np.array([word.replace("\x00", "")])
    (packed,) = stored(({"names": array},))
    assert _unpacked(packed["names"]).tolist() == array.tolist()
