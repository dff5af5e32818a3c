"""Timing runs out of other tools' files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from timing_samples import ENVIRONMENT, NETWORK, PREACT, around, make_record, make_run

from resbench.errors import UserError
from resbench.timing.change import Change
from resbench.timing.compare import compare
from resbench.timing.readers import EXTRA, read
from resbench.timing.store import save
from resbench.timing.summary import case_name, seconds
from resbench.timing.worker.case import parse
from resbench.timing.worker.suites import place

COLUMNS = ["result", "params", "version", "started_at", "duration", "stats_ci_99_a", "stats_ci_99_b"]
COLUMNS += ["stats_q_25", "stats_q_75", "stats_number", "stats_repeat", "samples", "profile"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESBENCH_STORE", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_its_own_files(folder: Path) -> None:
    run = make_run("main", {PREACT: around(0.01)})
    save(run, "main")
    assert read("main") == run


def write(path: Path, content: object) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return str(path)


def test_what_pytest_benchmark_writes(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real tool: its times, a foreign benchmark under its own name, and a case of ours in ``extra_info``."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # it measures nothing in a worker
    record = make_record(PREACT, (0.01, 0.02))
    pytester.makepyfile(
        f"""
        def test_foreign(benchmark):
            benchmark.group = "others"
            benchmark.pedantic(sum, args=([1, 2],), rounds=7, iterations=3)

        def test_ours(benchmark):
            benchmark.extra_info[{EXTRA!r}] = {msgspec.to_builtins(record)!r}
            benchmark.pedantic(lambda: None, rounds=2)
        """
    )
    pytester.runpytest_subprocess("-p", "no:resbench", "--benchmark-json=found.json", "-q").assert_outcomes(passed=2)
    run = read(str(pytester.path / "found.json"))
    foreign, ours = run.records
    assert ours == record
    assert case_name(foreign.case).endswith("::test_foreign")
    assert len(foreign.rounds) == 1, "all samples are of one process"
    assert len(foreign.rounds[0].seconds) == 7
    assert foreign.rounds[0].steps == 3
    assert 0 < (seconds(foreign) or 0) < 0.01
    assert run.environment["python"].startswith("3.")
    assert run.environment["tool"].startswith("pytest-benchmark")


def pytest_document(**benchmark: Any) -> dict[str, Any]:
    whole = {"fullname": "t.py::test[x]", "name": "test[x]", "param": "x", "extra_info": {}, **benchmark}
    return {
        "machine_info": {"python_version": "3.11.7", "system": "Linux", "machine": "x86_64", "cpu": {"count": 2}},
        "commit_info": {"id": "abc", "dirty": True, "time": "2026-11-20T10:00:00+01:00"},
        "benchmarks": [whole],
        "datetime": "2026-11-21T08:00:00+00:00",
        "version": "5.1.0",
    }


def test_a_benchmark_whose_parameter_is_a_case(folder: Path) -> None:
    found = read(write(folder / "a.json", pytest_document(param=PREACT, stats={"data": [0.1, 0.3, 0.2]})))
    assert found.records[0].key == PREACT
    assert seconds(found.records[0]) == pytest.approx(0.1)
    assert found.environment["git"] == {"commit": "abc", "dirty": True, "date": "2026-11-20T10:00:00+01:00"}


def test_the_environment_that_resbench_wrote_is_taken_whole(folder: Path) -> None:
    document = pytest_document(param=PREACT, stats={"data": [0.1]})
    document["machine_info"][EXTRA] = {**ENVIRONMENT, "gpu": "NVIDIA H200"}
    found = read(write(folder / "a.json", document)).environment
    assert found == {**ENVIRONMENT, "gpu": "NVIDIA H200", "tool": "pytest-benchmark 5.1.0"}


def test_a_file_without_samples_has_its_median(folder: Path) -> None:
    found = read(write(folder / "a.json", pytest_document(stats={"median": 0.25, "mean": 0.5})))
    assert found.records[0].rounds[0].seconds == (0.25,)


def asv_results(folder: Path, environment: str, results: dict[str, Any], benchmarks: dict[str, Any]) -> str:
    write(folder / "benchmarks.json", {**benchmarks, "version": 2})
    machine = {"machine": "box", "cpu": "AMD EPYC", "num_cpu": "2", "arch": "x86_64", "os": "Linux 6"}
    write(folder / "box" / "machine.json", {**machine, "version": 1})
    return write(
        folder / "box" / f"0123abcd-{environment}.json",
        {
            "commit_hash": "0123abcd" * 5,
            "env_name": environment,
            "date": 1_795_000_000_000,
            "params": machine,
            "python": "3.11",
            "requirements": {"torch": "2.15"},
            "result_columns": COLUMNS,
            "results": results,
            "version": 2,
        },
    )


def test_what_asv_writes(folder: Path) -> None:
    at = place(parse(PREACT))
    other = place(parse(PREACT.replace("/nchw/", "/nhwc/")))
    params = [[repr(at.work)], [repr(at.conditions), repr(other.conditions)]]
    sampled = [None] * 6 + [[1, None], [3, None], [[0.01, 0.03, 0.02], None]]
    rows = {
        at.benchmark: [[0.02, None], params, "1", 0, 1.0, *sampled[2:]],
        "timing.time_sort": [[0.5], [], "2", 0, 1.0],
        "timing.track_bytes": [[1000.0], [], "1"],
        "timing.time_by_size": [[0.1, float("nan"), None], [["1", "2", "3"]], "1"],
    }
    run = read(asv_results(folder, "virtualenv-py3.11", rows, {"timing.track_bytes": {"unit": "bytes"}}))
    found = {case_name(record.case): record for record in run.records}
    assert found[PREACT].rounds[0].seconds == (0.01, 0.03, 0.02)
    assert len(found[PREACT].rounds) == 1
    assert found[other_key := PREACT.replace("/nchw/", "/nhwc/")].error, other_key
    assert found["timing.time_sort"].rounds[0].seconds == (0.5,)
    assert found["timing.time_sort"].version == "2"
    assert found["timing.time_by_size(3)"].error == "failed or timed out in asv"
    assert not {"timing.track_bytes", "timing.time_by_size(2)"} & set(found), "bytes are no time, NaN is no case"
    assert run.environment["git"]["commit"] == "0123abcd" * 5
    assert run.environment["git"]["date"].startswith("2026-11-18")
    assert run.environment["cores"] == 2


def test_results_exported_by_resbench_have_a_process_a_sample(folder: Path) -> None:
    at = place(parse(PREACT))
    row = [[0.02], [[repr(at.work)], [repr(at.conditions)]], "1", 0, 1.0, *[None] * 6, [[0.01, 0.03, 0.02]]]
    run = read(asv_results(folder, "resbench-torch2.15-cpu", {at.benchmark: row}, {}))
    assert [one.seconds for one in run.records[0].rounds] == [(0.01,), (0.03,), (0.02,)]


def test_places_without_a_case_in_exported_results_are_none(folder: Path) -> None:
    one, two = place(parse(PREACT)), place(parse(PREACT.replace("64@8", "32@16").replace("/nchw/", "/nhwc/")))
    params = [[repr(at.work) for at in (one, two)], [repr(at.conditions) for at in (one, two)]]
    row = [[0.02, None, None, 0.03], params, "1", 0, 1.0]
    run = read(asv_results(folder, "resbench-torch2.15-cpu", {one.benchmark: row}, {}))
    assert [len(record.rounds) for record in run.records] == [1, 1]


def test_what_another_tool_does_not_know_is_no_difference(folder: Path) -> None:
    document = pytest_document(param=PREACT, stats={"data": [0.1]})
    document["machine_info"]["cpu"]["brand_raw"] = "AMD EPYC"
    found = compare([make_run("main", {PREACT: around(0.01)}), read(write(folder / "a.json", document))])
    assert not [line for line in found.differences[0] if "unknown" in line]


def test_runs_of_several_tools_are_compared(folder: Path) -> None:
    theirs = read(write(folder / "a.json", pytest_document(param=PREACT, stats={"data": [0.01, 0.01]})))
    ours = make_run("main", {PREACT: around(0.01)}, cpu=theirs.environment["cpu"])
    found = compare([ours, theirs])
    assert found.rows[0].against[0].change is Change.AMBIGUOUS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "pytest-benchmark's --benchmark-json"),
        ([1, 2], "none of the files"),
        ({"version": 1, "metadata": {}, "benchmarks": []}, "none of the files"),
        ({"schema": "resbench.comparison/1"}, "of schema 'resbench.comparison/1'"),
        ({"benchmarks": [{}], "machine_info": {}}, "damaged"),
        ({"results": {"a": 3}, "env_name": "x"}, "damaged"),
        (pytest_document(stats={"data": [0.0]}), "no time"),
        (pytest_document(stats={"data": [0.1]}, extra_info={EXTRA: {"case": 1}}), "record of 'test\\[x\\]' is damaged"),
    ],
)
def test_other_files_are_one_clear_line(folder: Path, content: object, message: str) -> None:
    name = write(folder / "x.json", content)
    with pytest.raises(UserError, match=message) as error:
        read(name)
    assert "\n" not in str(error.value)


def test_asv_results_without_times(folder: Path) -> None:
    with pytest.raises(UserError, match="holds no times"):
        read(asv_results(folder, "e", {"a.track_bytes": [[3.0], [], "1"]}, {"a.track_bytes": {"unit": "bytes"}}))


def test_a_damaged_machine_file(folder: Path) -> None:
    name = asv_results(folder, "e", {"a.time_x": [[3.0], [], "1"]}, {})
    (folder / "box" / "machine.json").write_text("{")
    with pytest.raises(UserError, match=r"machine\.json is not JSON"):
        read(name)


def test_a_network_keeps_the_slashes_and_spaces_of_its_name() -> None:
    at = place(parse(NETWORK))
    assert at.work == "resnet20-preact 3x32x32 b32"
