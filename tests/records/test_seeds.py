"""Records of seeds: a file each, older ones of all seeds, and numbers that JSON has not."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resbench.errors import Damaged, UserError
from resbench.records.seeds import read_seed_records, seed_path, write_seed

ENTRY = {"fingerprint": 16 * "a", "status": "HOLDS", "checks": [{"measured": 1.5, "interval": [1.0, 2.0]}]}


def test_what_is_written_is_read_in_the_order_of_seeds(tmp_path: Path) -> None:
    for seed in (10, 2, 0):
        assert write_seed(tmp_path, "digits", seed, {"cpu": "one"}, {"a": ENTRY}) == seed_path(tmp_path, seed)
    found = read_seed_records(tmp_path)
    assert list(found) == [0, 2, 10]
    assert found[2].values() == {"a": ENTRY}
    assert (found[2].setting, found[2].seed, found[2].environment) == ("digits", 2, {"cpu": "one"})
    assert found[2].at.startswith("20")


TEXT = st.text(max_size=3).filter(lambda text: text != "NaN")  # one of the words that stand for a number
NUMBERS = st.floats() | st.integers(-(2**53), 2**53) | st.none() | st.booleans() | TEXT
VALUES = st.recursive(
    NUMBERS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


@settings(deadline=None, max_examples=50)
@given(VALUES)
def test_any_value_comes_back(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    folder = tmp_path_factory.mktemp("seeds")
    entry = {**ENTRY, "checks": [{"measured": value, "interval": (-math.inf, math.nan), "samples": {"x": value}}]}
    write_seed(folder, "digits", 1, {}, {"a": entry})
    (check,) = read_seed_records(folder)[1].values()["a"]["checks"]
    assert repr(check["measured"]) == repr(check["samples"]["x"]) == repr(value)
    assert repr(check["interval"]) == "[-inf, nan]"


def test_a_file_of_all_seeds_is_read_and_a_seeds_own_comes_first(tmp_path: Path) -> None:
    infinite = {**ENTRY, "checks": [{"measured": math.inf, "interval": None}]}
    old = {"schema": 1, "seeds": {"10": {"environment": {}, "claims": {"a": infinite}}}}
    old["seeds"]["9"] = {"environment": {}, "claims": {"a": ENTRY}}  # type: ignore[index]
    (tmp_path / "seeds.json").write_text(json.dumps(old))
    assert list(read_seed_records(tmp_path / "seeds.json")) == list(read_seed_records(tmp_path)) == [9, 10]
    assert read_seed_records(tmp_path)[10].values()["a"]["checks"][0]["measured"] == math.inf
    write_seed(tmp_path, "digits", 9, {}, {"b": ENTRY})
    assert list(read_seed_records(tmp_path)[9].claims) == ["b"]


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {**ENTRY, "status": "GREEN"},
        {**ENTRY, "fingerprint": "0"},
        {**ENTRY, "checks": [{"measured": 1}]},
        {**ENTRY, "checks": [{"measured": 1, "interval": 5}]},
    ],
)
def test_what_is_no_entry_is_neither_written_nor_read(tmp_path: Path, entry: dict[str, Any]) -> None:
    old = {"schema": 1, "seeds": {"1": {"environment": {}, "claims": {"a": entry}}}}
    (tmp_path / "seeds.json").write_text(json.dumps(old))
    with pytest.raises(Damaged, match="not a record of seeds"):
        read_seed_records(tmp_path)
    with pytest.raises(ValueError, match=r"Object missing|Invalid enum|Expected"):
        write_seed(tmp_path, "digits", 1, {}, {"a": entry})
    assert not (tmp_path / "seed-1.json").exists()


@pytest.mark.parametrize("name", ["seed-01.json", "seed-x.json", "seed-1.json.damaged-1", ".seed-1.json.tmp"])
def test_other_names_are_other_files(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("torn")
    assert read_seed_records(tmp_path) == {}


def test_nothing_there_is_no_seed(tmp_path: Path) -> None:
    assert read_seed_records(tmp_path / "none") == {}


def test_a_link_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    path = write_seed(tmp_path, "digits", 1, {}, {"a": ENTRY})
    (tmp_path / "seeds" / "seed-1.json").symlink_to(path)
    with pytest.raises(UserError, match="leads out of"):
        read_seed_records(tmp_path / "seeds")
