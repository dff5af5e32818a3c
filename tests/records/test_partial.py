"""Measurements of an interrupted run: kept, reused, and forgotten when a run is complete."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from resbench.errors import UserError
from resbench.records.partial import PartialResults, source_fingerprint
from resbench.records.results import Request

REQUEST = Request("single_deletion", "preact-9")
RESULT = [{"wrong": np.array([[True, False]]), "k": np.array([3])}, {"wrong": np.array([[False]])}]


def test_round_trip_and_clear(tmp_path: Path) -> None:
    kept = PartialResults(tmp_path, "abc")
    with kept.lock(REQUEST):
        assert kept.get(REQUEST) is None
        kept.put(REQUEST, RESULT)
    again = PartialResults(tmp_path, "abc")
    found = again.get(REQUEST)
    assert found is not None
    assert [sorted(member) for member in found] == [["k", "wrong"], ["wrong"]]
    np.testing.assert_array_equal(found[0]["wrong"], RESULT[0]["wrong"])
    assert again.reused == [REQUEST]
    again.clear()
    assert PartialResults(tmp_path, "abc").get(REQUEST) is None


def test_another_fingerprint_shares_nothing(tmp_path: Path) -> None:
    kept = PartialResults(tmp_path, "abc")
    with kept.lock(REQUEST):
        kept.put(REQUEST, RESULT)
    assert PartialResults(tmp_path, "abd").get(REQUEST) is None


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"not a zip"])
def test_a_damaged_file_is_measured_again(tmp_path: Path, content: bytes) -> None:
    kept = PartialResults(tmp_path, "abc")
    with kept.lock(REQUEST):
        kept.put(REQUEST, RESULT)
    kept._path(REQUEST).write_bytes(content)
    assert kept.get(REQUEST) is None


def test_an_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "partial").write_text("")
    with pytest.raises(UserError, match="RESBENCH_CACHE"), PartialResults(tmp_path, "abc").lock(REQUEST):
        pass


def test_the_fingerprint_is_of_the_source() -> None:
    assert len(source_fingerprint()) == 16
