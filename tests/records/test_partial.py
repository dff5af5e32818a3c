"""Measurements of an interrupted run: kept, reused, and forgotten when a run is complete."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock, Timeout

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


def test_members_keep_their_order_and_arrays_their_names(tmp_path: Path) -> None:
    kept = PartialResults(tmp_path, "abc")
    with kept.lock(REQUEST):
        kept.put(REQUEST, [{"after/unit": np.array([member])} for member in range(12)])
        found = kept.get(REQUEST)
    assert found is not None
    assert [{name: array.tolist() for name, array in member.items()} for member in found] == [
        {"after/unit": [member]} for member in range(12)
    ]


def test_pieces_of_a_measurement_under_way(tmp_path: Path) -> None:
    kept = PartialResults(tmp_path, "abc")
    with kept.lock(REQUEST):
        assert kept.get_piece("first") is None
        kept.put_piece("first", np.array([[1.5, np.nan]]))
        kept.put_piece("second", np.array([True]))
    again = PartialResults(tmp_path, "abc")
    np.testing.assert_array_equal(again.get_piece("first"), np.array([[1.5, np.nan]]))
    np.testing.assert_array_equal(again.get_piece("second"), np.array([True]))
    again.clear()
    assert again.get_piece("first") is None


def test_results_of_several_requests(tmp_path: Path) -> None:
    kept = PartialResults(tmp_path, "abc")
    requests = [Request(experiment, network) for experiment in ("a", "b") for network in ("c", "d")]
    for index, request in enumerate(requests):
        with kept.lock(request):
            kept.put(request, [{"index": np.array(index)}])
    for index, request in enumerate(requests):
        found = kept.get(request)
        assert found is not None
        assert found[0]["index"] == index


def test_one_process_waits_for_another(tmp_path: Path) -> None:
    (lock,) = _locks_held(tmp_path)
    with PartialResults(tmp_path, "abc").lock(REQUEST), pytest.raises(Timeout):
        FileLock(lock).acquire(timeout=0)
    with FileLock(lock).acquire(timeout=0):
        pass


def _locks_held(folder: Path) -> list[Path]:
    with PartialResults(folder, "abc").lock(REQUEST):
        return list(folder.rglob("*.lock"))


def test_no_object_is_unpickled(tmp_path: Path) -> None:
    """Nor is a file that held one taken for the result: it is measured again."""
    kept = PartialResults(tmp_path, "abc")
    with kept.lock(REQUEST):
        kept.put(REQUEST, [{"wrong": np.array([{"an": "object"}], dtype=object)}])
    assert kept.get(REQUEST) is None
    assert not kept._path(REQUEST).exists()


def test_a_run_that_kept_nothing_has_nothing_to_forget(tmp_path: Path) -> None:
    PartialResults(tmp_path, "abc").clear()


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
    told = f"cannot write {tmp_path}/partial/abc: Not a directory; set RESBENCH_CACHE"
    with pytest.raises(UserError, match=told), PartialResults(tmp_path, "abc").lock(REQUEST):
        pass


def test_the_fingerprint_is_of_the_source() -> None:
    assert len(source_fingerprint()) == 16
