"""`resbench records`: stores verified, merged, compared, and taken to the present schemas."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.records.evidence_samples import MADE, REQUEST, SETTING, deletions, record, subject

from resbench.errors import UserError
from resbench.records.comparing import differences
from resbench.records.evidence import read_evidence, write
from resbench.records.locking import held
from resbench.records.merging import merge
from resbench.records.results import Request
from resbench.records.seeds import read_seed_records, write_seed
from resbench.records.stores import read_store, whole_store
from resbench.records.verifying import migrate, verify

OLD = Path(__file__).parent / "old"
Run = Callable[..., tuple[int, str, str]]
NAME = "resnet56/single_deletion.json"


def claims(measured: float = 1.0, status: str = "HOLDS") -> dict[str, dict[str, Any]]:
    return {
        "a-claim": {"fingerprint": 16 * "0", "status": status, "checks": [{"measured": measured, "interval": None}]}
    }


def at(folder: Path, moment: str, errors: list[int], **changes: Any) -> Path:
    made = msgspec.structs.replace(MADE, at=moment)
    return write(folder, SETTING, REQUEST, 1, subject(**changes), made, (deletions(errors),))


def content(folder: Path) -> dict[str, bytes]:
    """All files but locks."""
    found = [path for path in folder.rglob("*") if path.is_file() and ".locks" not in path.parts]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Path, Path, Path]:
    return tmp_path / "a", tmp_path / "b", tmp_path / "out"


# Merging


def test_what_is_in_either_is_in_the_whole(stores: tuple[Path, Path, Path]) -> None:
    first, second, out = stores
    record(first)
    record(first, request=Request("evaluation", "resnet20"))
    record(second, request=Request("evaluation", "resnet56"))
    write(second, SETTING, REQUEST, 1, subject(seed=2), MADE, (deletions([1, 2, 3]),), run=2)
    write_seed(first, SETTING, 1, {}, claims())
    write_seed(second, SETTING, 12, {}, claims())
    done = merge([first, second], out)
    assert content(out) == content(first) | content(second)
    assert sorted(done.written) == sorted(content(out))
    assert read_evidence(out, SETTING, REQUEST, run=2) is not None
    assert list(read_seed_records(out)) == [1, 12]
    again = merge([first, second], out)
    assert (again.written, sorted(again.kept)) == ([], sorted(content(out)))


def test_the_same_result_is_taken_once_whoever_measured_it(stores: tuple[Path, Path, Path]) -> None:
    first, second, out = stores
    at(first, "2026-01-01T00:00:00+00:00", [2, 3, 4])
    at(second, "2026-02-01T00:00:00+00:00", [2, 3, 4])
    done = merge([first, second], out)
    assert done.twice == [NAME]
    assert content(out) == content(first)


def test_other_results_are_refused_in_one_line_before_anything_is_written(stores: tuple[Path, Path, Path]) -> None:
    first, second, out = stores
    at(first, "2026-01-01T00:00:00+00:00", [2, 3, 4])
    at(second, "2026-02-01T00:00:00+00:00", [2, 3, 5])
    record(second, request=Request("evaluation", "resnet20"))
    with pytest.raises(UserError) as caught:
        merge([first, second], out)
    said = str(caught.value)
    assert said.startswith(f"{first / NAME} and {second / NAME} are not the same: wrong: 1 of 120 values differ; true")
    assert "give --prefer newest or first" in said
    assert "\n" not in said
    assert not out.exists()


@pytest.mark.parametrize(("prefer", "taken"), [("newest", 1), ("first", 0)])
@pytest.mark.parametrize("turned", [False, True])
def test_a_preferred_one_is_taken(stores: tuple[Path, Path, Path], prefer: Any, taken: int, turned: bool) -> None:
    older, newer, out = stores
    at(older, "2026-01-01T00:00:00+00:00", [2, 3, 4])
    at(newer, "2026-01-01T00:00:00+01:00" if turned else "2026-02-01T00:00:00+00:00", [2, 3, 5])
    if turned:  # an hour ahead of UTC is an hour earlier
        older, newer = newer, older
    sources = [older, newer]
    done = merge(sources if prefer == "newest" else [older, newer], out, prefer)
    assert done.preferred == [NAME]
    assert content(out) == content(sources[taken])


def test_clocks_that_say_the_same_decide_nothing(stores: tuple[Path, Path, Path]) -> None:
    first, second, out = stores
    for folder, last in ((first, 4), (second, 5)):
        at(folder, "2026-01-01T00:00:00+00:00", [2, 3, last])
    with pytest.raises(UserError, match="do not say which is newer; give --prefer first"):
        merge([first, second], out, "newest")


def test_what_is_there_takes_part(stores: tuple[Path, Path, Path]) -> None:
    first, second, _ = stores
    at(first, "2026-01-01T00:00:00+00:00", [2, 3, 4])
    at(second, "2026-02-01T00:00:00+00:00", [2, 3, 5])
    before = content(first)
    with pytest.raises(UserError, match="are not the same"):
        merge([second], first)
    assert content(first) == before
    merge([first, second], first, "newest")
    assert content(first) == content(second)


def test_seeds_of_another_result_are_told_with_the_claim(stores: tuple[Path, Path, Path]) -> None:
    first, second, out = stores
    write_seed(first, "digits", 3, {"cpu": "a"}, claims(1.0))
    write_seed(second, "digits", 3, {"cpu": "b"}, claims(1.25, "VIOLATED"))
    with pytest.raises(UserError, match=r"not the same: a-claim: HOLDS -> VIOLATED, measured 1 -> 1\.25;"):
        merge([first, second], out)


def test_a_damaged_source_is_refused_and_left_as_it_is(stores: tuple[Path, Path, Path]) -> None:
    first, second, out = stores
    record(first)
    path = record(second)
    path.write_bytes(path.read_bytes()[:-100])
    before = content(second)
    with pytest.raises(UserError, match="not a record of evidence"):
        merge([first, second], out)
    assert content(second) == before
    assert not out.exists()


def test_stores_of_two_settings_do_not_go_together(stores: tuple[Path, Path, Path]) -> None:
    first, second, out = stores
    record(first)
    write(second, "cifar10", Request("evaluation", "resnet20"), 1, subject(), MADE, (deletions([1, 2]),))
    with pytest.raises(UserError, match="of several settings do not go together"):
        merge([first, second], out)


def test_records_of_two_checkpoints_are_told_of(stores: tuple[Path, Path, Path]) -> None:
    first, second, out = stores
    record(first)
    record(second, request=Request("evaluation", "resnet56"), checkpoint=64 * "1")
    (line,) = merge([first, second], out).unlike
    assert "another checkpoint or data: one will be STALE" in line


def test_a_network_that_is_being_measured_is_left_alone(stores: tuple[Path, Path, Path]) -> None:
    first, _, out = stores
    record(first)
    with held(out / "resnet56", "measuring"), pytest.raises(UserError, match=r"resnet56 is held by process"):
        merge([first], out)
    assert not content(out)


def test_no_link_leads_out_of_the_folder_that_is_written(stores: tuple[Path, Path, Path], tmp_path: Path) -> None:
    first, _, out = stores
    record(first)
    out.mkdir()
    (tmp_path / "outside").mkdir()
    (out / "resnet56").symlink_to(tmp_path / "outside")
    with pytest.raises(UserError, match="leads out of"):
        merge([first], out)
    assert not os.listdir(tmp_path / "outside")


_KEYS = st.sampled_from([Request("evaluation", "a"), Request("evaluation", "b"), Request("reordering", "a")])
_STORE = st.dictionaries(_KEYS, st.integers(1, 3), max_size=3)


@settings(deadline=None, max_examples=25)
@given(_STORE, _STORE)
def test_merging_loses_nothing(tmp_path_factory: pytest.TempPathFactory, one: Any, two: Any) -> None:
    """Of any two stores: either the union, or (where they differ) a refusal; the order does not matter."""
    folder = tmp_path_factory.mktemp("merge")
    stores = [(folder / "a", one), (folder / "b", two)]
    for place, made in stores:
        place.mkdir()
        for request, wrong in made.items():
            write(place, SETTING, request, 1, subject(), MADE, (deletions([wrong, 5]),))
    sources = [place for place, made in stores if made]
    conflict = any(one[key] != two[key] for key in one.keys() & two.keys())
    for order in (sources, sources[::-1]):
        out = folder / f"out-{order is sources}"
        if conflict:
            with pytest.raises(UserError, match="are not the same"):
                merge(order, out)
        elif sources:
            merge(order, out)
            assert content(out) == content(folder / "a") | content(folder / "b")
    shutil.rmtree(folder)


# Verifying


def test_a_whole_store(tmp_path: Path) -> None:
    record(tmp_path)
    write_seed(tmp_path, SETTING, 1, {}, claims())
    (tmp_path / "notes.json").write_text("{}")
    (tmp_path / "README.md").write_text("not read")
    found = verify(tmp_path)
    assert not found.wrong
    assert found.summary == f"{tmp_path}: 1 record of evidence, 1 seed (1 other JSON file); 0 wrong"


def test_the_committed_evidence_is_whole(run: Run) -> None:
    code, out, _ = run("records", "verify")
    assert code == 0, out
    assert out.endswith("; 0 wrong\n")


def test_every_wrong_file_is_a_line(tmp_path: Path, run: Run) -> None:
    torn = record(tmp_path)
    torn.write_bytes(torn.read_bytes()[:-9])
    moved = record(tmp_path, request=Request("evaluation", "resnet20"))
    (tmp_path / "resnet32").mkdir()
    moved.rename(tmp_path / "resnet32" / "evaluation.json")
    seed = write_seed(tmp_path, SETTING, 1, {}, claims())
    seed.rename(tmp_path / "seed-2.json")
    (tmp_path / "seed-3.json").write_text("{}")
    (tmp_path / "other.json").write_text("{")
    (tmp_path / "out.json").symlink_to("/etc/hostname")
    (tmp_path / "folder").symlink_to("/etc")
    (tmp_path / "seed-9.json.damaged-1").write_text("torn")
    code, out, _ = run("records", "verify", str(tmp_path))
    assert code == 1
    *lines, summary = out.splitlines()
    assert len(lines) == 7
    for path, what in (
        ("resnet56/single_deletion.json", "not a record of evidence"),
        ("resnet32/evaluation.json", "is resnet20/evaluation, not what its place says"),
        ("seed-2.json", "is seed 1, not what its name says"),
        ("seed-3.json", "not a record of a seed"),
        ("other.json", "not JSON"),
        ("out.json", "leads out of"),
        ("folder", "leads out of"),
    ):
        assert any(line.startswith(f"{tmp_path}/{path}: ") and what in line for line in lines), path
    assert summary == f"{tmp_path}: no records (1 file set aside earlier); 7 wrong"


def test_checkpoints_are_compared_with_their_index_and_their_records(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints" / "digits"
    folder.mkdir(parents=True)
    entry = {"file": "a.safetensors", "sha256": 64 * "0", "bytes": 1}
    gone = {"file": "gone.safetensors", "sha256": 64 * "0", "bytes": 1}
    (folder / "index.json").write_text(json.dumps({"schema": 1, "files": {"a": entry, "gone": gone}}))
    (folder / "a.safetensors").write_bytes(b"x")
    record(tmp_path / "claims" / SETTING, recipe="r")
    (tmp_path / "checkpoints" / SETTING).mkdir()
    (tmp_path / "checkpoints" / SETTING / "resnet56.safetensors").write_bytes(b"another")
    wrong = verify(tmp_path).wrong
    assert len(wrong) == 3
    assert "a.safetensors: its hash is not the one in index.json" in wrong[0]
    assert "gone.safetensors: No such file" in wrong[1]
    assert "resnet56.safetensors: is not the checkpoint that" in wrong[2]


def test_two_settings_in_one_folder_are_wrong(tmp_path: Path) -> None:
    record(tmp_path)
    write_seed(tmp_path, "digits", 1, {}, claims())
    (line,) = verify(tmp_path).wrong
    assert "of setting digits, but resnet56/single_deletion.json beside it of cifar10-public" in line


def test_no_folder(run: Run, tmp_path: Path) -> None:
    for arguments in ("verify none", "diff none none", "merge none --out o", "migrate none"):
        code, _, err = run("records", *arguments.split())
        assert code == 2
        assert err == "resbench: none: no such folder or file\n"
    with pytest.raises(UserError, match="no records in it"):
        whole_store(tmp_path)


# Comparing


def test_the_same_results(stores: tuple[Path, Path, Path], run: Run) -> None:
    first, second, _ = stores
    at(first, "2026-01-01T00:00:00+00:00", [2, 3, 4])
    at(second, "2026-02-01T00:00:00+00:00", [2, 3, 4])
    assert run("records", "diff", str(first), str(second)) == (0, "1 the same, 0 not\n", "")


def test_what_differs_in_words_and_numbers(stores: tuple[Path, Path, Path], run: Run) -> None:
    first, second, _ = stores
    at(first, "2026-01-01T00:00:00+00:00", [2, 3, 4])
    path = at(second, "2026-02-01T00:00:00+00:00", [2, 3, 8], published_error=7.5)
    record(first, request=Request("evaluation", "resnet20"))
    write_seed(second, SETTING, 1, {}, claims())
    code, out, _ = run("records", "diff", str(first), str(second))
    assert code == 1
    assert out.splitlines() == [
        "resnet20/evaluation.json: only in the first",
        "resnet56/single_deletion.json:",
        "  published_error 6.61 -> 7.5",
        "  wrong: 4 of 120 values differ; true 7.5 % -> 10.83 %",
        "  made.at 2026-01-01T00:00:00+00:00 -> 2026-02-01T00:00:00+00:00",
        "seed-1.json: only in the second",
        "0 the same, 3 not",
    ]
    assert run("records", "diff", str(first / NAME), str(path))[0] == 1
    assert run("records", "diff", str(first), str(path))[0] == 2


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ([1.0, np.nan], [1.0, np.nan], []),
        ([1.0, 2.0], [1.0, 2.5], ["x: 1 of 2 values differ, by 0.5 at most; mean 1.5 -> 1.75"]),
        ([1.0, 2.0], [1.0, np.nan], ["x: 1 of 2 values differ, by nan at most; mean 1.5 -> nan"]),
        ([1, 2, 3], [1, 2, 5], ["x: 1 of 3 values differ, by 2 at most; mean 2 -> 2.66667"]),
        (["a", "b"], ["a", "c"], ["x: 1 of 2 values differ; the first 'b' -> 'c'"]),
        ([True, False], [True], ["x: 2 bool -> 1 bool"]),
        ([1], [1.5], ["x: 1 int64 -> 1 float64"]),
        (3, 4, ["x: 1 of 1 values differ, by 1 at most; mean 3 -> 4"]),
    ],
)
def test_arrays(stores: tuple[Path, Path, Path], first: Any, second: Any, said: list[str]) -> None:
    for folder, values in zip(stores, (first, second), strict=False):
        record(folder, ({"x": np.array(values)},))
    mine, yours = (read_evidence(folder, SETTING, REQUEST) for folder in stores[:2])
    assert mine is not None
    assert yours is not None
    assert differences(mine, yours) == said


# Older schemas


def test_older_files_are_taken_to_the_present_and_say_the_same(tmp_path: Path, run: Run) -> None:
    shutil.copytree(OLD, tmp_path / "store")
    before = whole_store(tmp_path / "store")
    assert sorted(before.items) == [
        "cifar10-public/resnet20/evaluation.json",
        "digits/seed-1.json",
        "digits/seed-2.json",
    ]
    assert verify(tmp_path / "store").summary.endswith("(2 files of an older schema); 0 wrong")
    code, out, _ = run("records", "migrate", str(tmp_path / "store"))
    assert code == 0
    assert "seeds.json: split into 2 files, and removed" in out
    after = read_store(tmp_path / "store")
    assert not after.older
    assert not after.wrong
    assert sorted(after.items) == sorted(before.items)
    for name, item in after.items.items():
        assert not differences(before.items[name].record, item.record)
    seeds = read_seed_records(tmp_path / "store" / "digits")
    assert seeds[1].setting == "digits"
    old = json.loads((OLD / "digits" / "seeds.json").read_text())["seeds"]
    assert {str(seed): record.claims for seed, record in seeds.items()} == {n: old[n]["claims"] for n in old}
    assert run("records", "migrate", str(tmp_path / "store"))[1].startswith("nothing to do")


def test_a_file_of_all_seeds_and_one_of_its_own_that_do_not_agree(tmp_path: Path) -> None:
    shutil.copytree(OLD / "digits", tmp_path / "digits")
    write_seed(tmp_path / "digits", "digits", 2, {}, claims())
    with pytest.raises(UserError, match=r"are not the same: .*; remove one of them"):
        migrate(tmp_path)
    assert (tmp_path / "digits" / "seeds.json").exists()


def test_nothing_is_migrated_beside_a_damaged_file(tmp_path: Path) -> None:
    shutil.copytree(OLD, tmp_path / "store")
    (tmp_path / "store" / "digits" / "seed-5.json").write_text("torn")
    before = content(tmp_path / "store")
    with pytest.raises(UserError, match="nothing was migrated"):
        migrate(tmp_path / "store")
    assert content(tmp_path / "store") == before
