"""Schemas: steps from older numbers, refusal of newer ones, and a digest that sees every change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.records.evidence_samples import record

from resbench.errors import Damaged, UserError
from resbench.records.evidence import EVIDENCE, read_evidence, restored
from resbench.records.results import Request
from resbench.records.schemas import Document, Schema, digest_of, schema_of

OLD = Path(__file__).parent / "old"
"""Files as earlier versions of resbench wrote them."""


class Third(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    schema: Literal["resbench.sample/3"] = "resbench.sample/3"
    seconds: float
    names: dict[str, Any]
    digest: str = ""


def named(document: Document) -> Document:
    name = document.pop("name")
    return {**document, "names": {"a": name}}


def in_seconds(document: Document) -> Document:
    if document["milliseconds"] < 0:
        raise ValueError("a negative time")
    seconds = document.pop("milliseconds") / 1000
    return {**document, "seconds": seconds}


SAMPLE = Schema("resbench.sample", 3, Third, {1: named, 2: in_seconds}, "a sample")
PLACE = Path("some/sample.json")


def decode(content: bytes) -> Third:
    return SAMPLE.decode(content, PLACE, "restore it")


def test_steps_are_taken_one_after_the_other() -> None:
    present = Third(seconds=0.25, names={"a": "x"})
    first = {"schema": "resbench.sample/1", "name": "x", "milliseconds": 250}
    second = {"schema": "resbench.sample/2", "names": {"a": "x"}, "milliseconds": 250}
    for older in (first, second):
        found = decode(msgspec.json.encode(older))
        assert msgspec.structs.replace(found, digest="") == present
        assert decode(SAMPLE.encode(found)) == found, "what was migrated is written as the present schema"
    assert schema_of(SAMPLE.encode(present)) == "resbench.sample/3"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"schema": "resbench.sample/2", "milliseconds": -1}', "a negative time"),
        (b'{"schema": "resbench.sample/1"}', "milliseconds|name"),
        (b'{"schema": "resbench.sample/0"}', "instead of 'resbench.sample/3'"),
        (b'{"schema": "resbench.sample/03"}', "instead of"),
        (b'{"schema": "resbench.other/3"}', "instead of"),
        (b'{"schema": 3}', "not a sample"),
        (b'{"schema": null}', "not a sample"),
        (b"{}", "not a sample"),
        (b"[]", "not a sample"),
        (b"", "not a sample"),
        (b"\xff\xfe", "not a sample"),
        (b"[" * 100_000, "not a sample"),
        (b'{"schema": "resbench.sample/3", "seconds": 1, "names": {}}', "another digest"),
    ],
)
def test_what_is_no_sample_is_damaged(content: bytes, message: str) -> None:
    with pytest.raises(Damaged, match=message) as caught:
        decode(content)
    assert caught.value.path == PLACE
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_a_newer_one_is_told_and_is_not_damaged() -> None:
    with pytest.raises(
        UserError, match=r"sample\.json: a sample of a newer resbench .*/4\); update resbench"
    ) as caught:
        decode(b'{"schema": "resbench.sample/4", "seconds": "of something else"}')
    assert not isinstance(caught.value, Damaged)


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.dictionaries(st.text(), st.integers(-(2**63), 2**63) | st.text())


@settings(deadline=None)
@given(st.data(), NUMBERS, NAMES)
def test_one_changed_byte_is_seen(data: st.DataObject, seconds: float, names: dict[str, Any]) -> None:
    """Or it changes nothing: a space, another way to write a number."""
    content = SAMPLE.encode(Third(seconds=seconds, names=names))
    there = decode(content)
    place = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = decode(bytes(changed))
    except UserError:
        return
    assert found == there


@pytest.mark.parametrize("seconds", [float("nan"), float("inf")])
def test_what_could_not_be_read_again_is_not_written(seconds: float) -> None:
    with pytest.raises(UserError, match="a sample cannot be recorded: Expected `float`, got `null`"):
        SAMPLE.encode(Third(seconds=seconds, names={}))


def test_the_digest_is_of_the_content_and_not_of_the_order_of_keys() -> None:
    document = {"a": 1, "b": {"d": 2.5, "c": None}}
    assert digest_of({"b": {"c": None, "d": 2.5}, "a": 1, "digest": "x"}) == digest_of(document)
    assert digest_of({**document, "a": 2}) != digest_of(document)


def test_evidence_of_schema_1_is_read() -> None:
    """A committed file of before: provenance and arrays as they were, and a digest of its own."""
    found = read_evidence(OLD / "cifar10-public", "cifar10-public", Request("evaluation", "resnet20"))
    assert found is not None
    assert found.subject.published_error == 8.27
    (member,) = restored(found)
    assert int(np.count_nonzero(member["wrong"])) == 827
    again = EVIDENCE.decode(EVIDENCE.encode(found), PLACE, "")
    assert msgspec.structs.replace(again, digest="") == msgspec.structs.replace(found, digest="")


def test_changed_arrays_of_schema_1_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "resnet20" / "evaluation.json"
    path.parent.mkdir()
    document = json.loads((OLD / "cifar10-public" / "resnet20" / "evaluation.json").read_text())
    document["members"][0]["wrong"]["shape"] = [1, 9999]
    path.write_text(json.dumps(document))
    with pytest.raises(Damaged, match="another digest"):
        read_evidence(tmp_path, "cifar10-public", Request("evaluation", "resnet20"))


def test_a_field_that_a_later_resbench_adds_changes_no_digest(tmp_path: Path) -> None:
    """As if ``precision`` were new: files without it are read."""
    path = record(tmp_path)
    document = json.loads(path.read_text())
    del document["subject"]["precision"]
    document["digest"] = digest_of(document)
    path.write_text(json.dumps(document))
    assert read_evidence(tmp_path, "cifar10-public", Request("single_deletion", "resnet56")) is not None
