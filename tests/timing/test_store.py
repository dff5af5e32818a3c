"""Timing runs as files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from timing_samples import NETWORK, PREACT, around, make_record, make_run

from resbench.errors import UserError
from resbench.records.aside import noticing
from resbench.timing import store
from resbench.timing.record import TimingRecord
from resbench.timing.store import decode, encode, find, load, names, reserved, save, vacant
from resbench.timing.worker.case import parse
from resbench.timing.worker.seen import Round


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("RESBENCH_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_is_read_as_it_was_written(folder: Path) -> None:
    run = make_run("main", [make_record(PREACT, around(0.01)), make_record(NETWORK, (), error="no such network")])
    assert save(run, "main") == Path(".resbench/runs/main.json")
    assert load("main") == run
    assert json.loads((folder / ".resbench/runs/main.json").read_text())["schema"] == "resbench.timing/1"


def test_a_saved_run_is_not_overwritten_unless_forced() -> None:
    save(make_run("main", {PREACT: around(0.01)}), "main")
    other = make_run("main", {PREACT: around(0.02)})
    with pytest.raises(UserError, match=r"main\.json exists.*--force"):
        save(other, "main")
    assert load("main") != other
    save(other, "main", force=True)
    assert load("main") == other


def test_the_folder_is_configurable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESBENCH_STORE", str(folder / "elsewhere"))
    save(make_run("main", {PREACT: around(0.01)}), "main")
    assert (folder / "elsewhere" / "main.json").is_file()
    assert names()[:1] == ["main"] or "main" in names()


def test_a_path_comes_before_a_saved_run_and_that_before_a_baseline(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "baselines", lambda: folder / "baselines")
    baseline = save(make_run("baseline", {PREACT: around(0.01)}), "baselines/throughput/main.json")
    assert find("main").samefile(baseline)
    saved = save(make_run("saved", {PREACT: around(0.01)}), "main")
    assert find("main").samefile(saved)
    Path("main").write_bytes(encode(make_run("path", {PREACT: around(0.01)})))
    assert load("main").name == "path"


def test_an_unknown_name_is_told_with_those_near_to_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "baselines", lambda: folder / "none")
    save(make_run("main", {PREACT: around(0.01)}), "feature-branch")
    with pytest.raises(UserError, match=r"no run 'feature-brunch'.*feature-branch"):
        load("feature-brunch")
    Path(".resbench/runs/feature-branch.json").unlink()
    with pytest.raises(UserError, match="resbench bench --save"):
        load("feature-brunch")


@pytest.mark.parametrize("name", ["", "../up", "a b", "-x", "a/b"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="is no name for a run"):
        save(make_run("main", {PREACT: around(0.01)}), name)


def test_a_folder_is_no_run(folder: Path) -> None:
    (folder / "runs").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        load("runs")


def _document() -> dict[str, Any]:
    found = json.loads(encode(make_run("main", {PREACT: around(0.01)})))
    assert isinstance(found, dict)
    return found


def _edited(edit: Callable[[dict[str, Any]], object]) -> bytes:
    document = _document()
    edit(document)
    return json.dumps(document).encode()


def _first_round(document: dict[str, Any]) -> dict[str, Any]:
    found = document["records"][0]["rounds"][0]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (encode(make_run("main", {PREACT: around(0.01)}))[:-300], "damaged or cut short"),
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[]", "no timing run"),
        (_edited(lambda d: d.update(schema="resbench.timing/2")), "of schema 'resbench.timing/2'"),
        (_edited(lambda d: d.pop("records")), "missing required field `records`"),
        (_edited(lambda d: _first_round(d).update(seconds=[0.0])), "no time"),
        (_edited(lambda d: _first_round(d).update(seconds=[-1.0])), "no time"),
        (_edited(lambda d: _first_round(d).update(seconds=[float("nan")])), "no time"),
        (_edited(lambda d: _first_round(d).update(seconds=[float("inf")])), "no time"),
        (_edited(lambda d: _first_round(d).update(seconds=[])), "no time"),
        (_edited(lambda d: _first_round(d).update(seconds=["1"])), "is not a timing run"),
        (_edited(lambda d: d["records"][0].update(rounds=[])), "neither samples nor a reason"),
        (_edited(lambda d: d["records"].append(d["records"][0])), "twice"),
        (_edited(lambda d: d["records"][0]["case"].update(colour="red")), "unknown field"),
        (_edited(lambda d: _first_round(d)["seconds"].append(0.5)), "another digest"),
        (_edited(lambda d: d.update(environment={"cpu": "another"})), "another digest"),
    ],
)
def test_a_bad_file_is_one_clear_line(folder: Path, content: bytes, message: str) -> None:
    (folder / "bad.json").write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        load("bad.json")
    assert "bad.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_run_from_before_there_were_digests_is_read(folder: Path) -> None:
    content = _edited(lambda d: d.pop("digest"))
    (folder / "old.json").write_bytes(content)
    assert load("old.json") == make_run("main", {PREACT: around(0.01)})


def test_a_damaged_run_is_set_aside_and_its_name_is_free(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("main", {PREACT: around(0.01)})
    path = save(run, "main")
    path.write_bytes(encode(run)[:-300])
    with noticing() as aside:
        assert vacant("main") == path
    assert not path.exists()
    assert aside == [f"{path}.damaged-1"]
    assert "main.json.damaged-1, its name is free" in capsys.readouterr().err
    save(run, "main")
    assert load("main") == run


def test_a_file_that_is_something_else_is_not_damaged(folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "notes.json").write_text("{}")
    with pytest.raises(UserError, match="exists: choose another name"):
        vacant("mine/notes.json")


def test_a_name_that_another_process_measures_is_refused_before_minutes_of_measuring() -> None:
    held = pytest.raises(UserError, match=r"main\.json is held by process \d+ on .* \(timing, since")
    with reserved("main"), held, reserved("main"):
        raise AssertionError
    with reserved("main"):
        pass


def test_what_could_not_be_read_again_is_not_written() -> None:
    bad = TimingRecord(parse(PREACT), "1", (Round((float("nan"),), 1, 1, True),))
    with pytest.raises(UserError, match="cannot be stored"):
        save(make_run("main", [bad]), "main")
    assert "main" not in names()


def test_an_unwritable_store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "file").write_text("")
    monkeypatch.setenv("RESBENCH_STORE", str(folder / "file"))
    with pytest.raises(UserError, match="cannot write"):
        save(make_run("main", {PREACT: around(0.01)}), "main")


def test_decoding_names_the_file() -> None:
    with pytest.raises(UserError, match=r"^x\.json is"):
        decode(b"{}", "x.json")
