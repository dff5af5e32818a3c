"""Stored runs as asv's results, read back by asv itself."""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from asv_samples import NETWORK, ORIGINAL, PREACT, ROOT, git, repository, timing_run
from filelock import FileLock

from resbench.errors import UserError
from resbench.timing.asv_export import export
from resbench.timing.record import TimingRecord, TimingRun
from resbench.timing.worker.case import Case
from resbench.timing.worker.grid import cases
from resbench.timing.worker.suites import place

asv_results = pytest.importorskip("asv.results")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "repository"
    repository(folder, 2)
    return folder


@pytest.fixture
def commit(checkout: Path) -> str:
    return git(checkout, "rev-parse", "HEAD")


def written(results: Path) -> Path:
    """The only result file."""
    (path,) = (path for path in results.glob("*/*.json") if path.name != "machine.json")
    return path


def value(path: Path, case: Case, what: str = "value") -> Any:
    """What asv reads for a case, its parameters' values being those of benchmarks.json."""
    benchmark, *own = place(case)
    listed = json.loads((path.parents[1] / "benchmarks.json").read_text())[benchmark]["params"]
    index = list(itertools.product(*listed)).index(tuple(map(repr, own)))
    return getattr(asv_results.Results.load(str(path)), f"get_result_{what}")(benchmark, listed)[index]


def replaced(run: TimingRun, **environment: object) -> TimingRun:
    return msgspec.structs.replace(run, environment=run.environment | environment)


def test_asv_reads_the_median_over_processes(checkout: Path, commit: str, tmp_path: Path) -> None:
    run = timing_run(commit, {PREACT: 0.004, NETWORK: 0.03}, processes=5)
    done = export([run], tmp_path, repository=checkout)
    path = written(tmp_path)
    assert path.name == f"{commit[:8]}-resbench-torch2.15-cpu.json"
    assert path in done.files
    for record in run.records:
        times = [min(one.seconds) for one in record.rounds]  # of fewer than 15 samples the fastest tenth is one
        assert value(path, record.case) == statistics.median(times)
        assert value(path, record.case, "samples") == times
        stats = value(path, record.case, "stats")
        assert stats["ci_99_a"] < value(path, record.case) < stats["ci_99_b"]
        assert stats["repeat"] == 5


def test_result_says_which_commit_machine_and_version(checkout: Path, commit: str, tmp_path: Path) -> None:
    export([timing_run(commit, {PREACT: 0.004})], tmp_path, repository=checkout)
    found = asv_results.Results.load(str(written(tmp_path)), machine_name="cpu-epyc-7xx3")
    assert found.commit_hash == commit
    assert found.date == int(git(checkout, "show", "--no-patch", "--format=%at", commit)) * 1000
    assert found.params == {
        "machine": "cpu-epyc-7xx3",
        "os": "Linux",
        "arch": "x86_64",
        "cpu": "AMD EPYC",
        "num_cpu": "2",
        "python": "3.11",
        "torch": "2.15.0+cpu",
    }
    assert found.benchmark_version == {"units.Step.track_cpu": PREACT.version}
    assert found.started_at == {"units.Step.track_cpu": 1795248000000}


def test_gpu_is_in_the_machine_and_in_every_result(checkout: Path, commit: str, tmp_path: Path) -> None:
    facts = {
        "cpu": {"name": "AMD EPYC", "threads": 16},
        "system": {"name": "Linux", "release": "6.1.0-13", "architecture": "x86_64", "memory": 128 * 2**30 - 5},
        "torch": {"cuda": "13.2"},
        "gpu": {"name": "NVIDIA H200", "driver": "580.1"},
    }
    case = Case("unit:preact", "64@8", device="cuda")
    run = timing_run(commit, {case: 0.001}, fingerprint="gpu-h200-torch2.15-cu132", environment=facts)
    export([run], tmp_path, repository=checkout)
    machine = json.loads((tmp_path / "gpu-h200" / "machine.json").read_text())
    gpu = {"gpu": "NVIDIA H200", "driver": "580.1", "cuda": "13.2"}
    assert gpu.items() <= machine.items()
    assert machine["ram"] == "128 GiB"
    params = asv_results.Results.load(str(written(tmp_path))).params
    assert gpu.items() <= params.items()
    # These change by themselves, and asv would begin another series.
    assert "6.1.0-13" not in str(params)
    assert "ram" not in params
    assert written(tmp_path).name == f"{commit[:8]}-resbench-torch2.15-cu132.json"


def test_other_cases_of_the_commit_stay_and_new_times_replace_old(checkout: Path, commit: str, tmp_path: Path) -> None:
    third = Case("unit:highway", "64@8")
    first = timing_run(commit, {PREACT: 0.004, third: 0.007, NETWORK: 0.03})
    export([first], tmp_path, repository=checkout)
    kept = {
        (case, what): value(written(tmp_path), case, what)
        for case in (third, NETWORK)
        for what in ("value", "samples", "stats")
    }
    again = timing_run(commit, {PREACT: 0.005, ORIGINAL: 0.006}, seed=1)
    export([again], tmp_path, repository=checkout)
    path = written(tmp_path)
    assert value(path, PREACT) == pytest.approx(0.005, rel=0.02)
    assert value(path, ORIGINAL) == pytest.approx(0.006, rel=0.02)
    assert {(case, what): value(path, case, what) for case, what in kept} == kept


def test_rows_of_another_version_are_not_mixed(checkout: Path, commit: str, tmp_path: Path) -> None:
    run = timing_run(commit, {PREACT: 0.004})
    old = [msgspec.structs.replace(record, version="0") for record in run.records]
    export([msgspec.structs.replace(run, records=tuple(old))], tmp_path, repository=checkout)
    export([timing_run(commit, {ORIGINAL: 0.006})], tmp_path, repository=checkout)
    assert value(written(tmp_path), PREACT) is None
    assert value(written(tmp_path), ORIGINAL) == pytest.approx(0.006, rel=0.02)


def test_processes_of_several_runs_of_a_commit_are_put_together(checkout: Path, commit: str, tmp_path: Path) -> None:
    runs = [timing_run(commit, {PREACT: 0.004}, seed=seed) for seed in range(2)]
    export(runs, tmp_path, repository=checkout)
    assert len(value(written(tmp_path), PREACT, "samples")) == 6


def test_benchmarks_never_shrink(checkout: Path, commit: str, tmp_path: Path) -> None:
    export([timing_run(commit, {PREACT: 0.004, NETWORK: 0.03})], tmp_path, repository=checkout)
    path = tmp_path / "benchmarks.json"
    known = json.loads(path.read_text())
    known["units.Step.track_cpu"]["code"] = "as asv found it"
    known["other.track_this"] = {"name": "other.track_this"}
    path.write_text(json.dumps(known))
    export([timing_run(commit, {ORIGINAL: 0.004})], tmp_path, repository=checkout)
    after = json.loads(path.read_text())
    assert set(after) == set(known)
    assert after["units.Step.track_cpu"]["params"][0] == ["'preact 64@8 b32'", "'original 64@8 b32'"]
    assert after["units.Step.track_cpu"]["code"] == "as asv found it"


def test_benchmarks_are_those_that_asv_finds(checkout: Path, commit: str, tmp_path: Path) -> None:
    """So that exported results and those of `asv run` stand in one graph."""
    timed = cases("default")
    export([timing_run(commit, dict.fromkeys(timed, 0.004))], tmp_path, repository=checkout)
    exported = json.loads((tmp_path / "benchmarks.json").read_text())
    script = (
        "import json, sys; sys.path.insert(0, 'benchmarks'); from asv_runner.discovery import disc_benchmarks; "
        + (
            "print(json.dumps({b.name: [b.param_names, b.params, b.type, b.unit, b.version, b.timeout] "
            "for b in disc_benchmarks('benchmarks/suites') if 'cpu' in b.name}))"
        )
    )
    asked = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    fields = ("param_names", "params", "type", "unit", "version", "timeout")
    assert {
        name: [one[field] for field in fields] for name, one in exported.items() if name != "version"
    } == json.loads(asked.stdout)


def test_what_was_not_measured_is_said_and_is_no_number(checkout: Path, commit: str, tmp_path: Path) -> None:
    run = timing_run(commit, {PREACT: 0.004, ORIGINAL: 0.0})
    unfit = [
        msgspec.structs.replace(record, unhealthy=("throttled",)) if record.rounds else record for record in run.records
    ]
    done = export([msgspec.structs.replace(run, records=tuple(unfit))], tmp_path, repository=checkout)
    assert done.missing == (ORIGINAL.key,)
    assert done.unhealthy == (PREACT.key,)
    assert value(written(tmp_path), ORIGINAL) is None


@pytest.mark.parametrize(
    ("git_state", "message"),
    [
        (None, "does not know its commit"),
        ({"commit": "HEAD", "dirty": True}, "changed tree"),
        ({"commit": "0" * 40, "dirty": False}, "commit 00000000 is not in"),
    ],
)
def test_refuses_what_is_no_commit(checkout: Path, tmp_path: Path, git_state: object, message: str) -> None:
    run = replaced(timing_run("HEAD", {PREACT: 0.004}), git=git_state)
    with pytest.raises(UserError, match=rf"^[^\n]*{message}[^\n]*$"):
        export([run], tmp_path / "results", repository=checkout)
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("other", [{"cpu": "Intel Xeon"}, {"cores": 64}, {"gpu": "NVIDIA H200"}])
def test_never_overwrites_another_machine(
    checkout: Path, commit: str, tmp_path: Path, other: dict[str, object]
) -> None:
    export([timing_run(commit, {PREACT: 0.004})], tmp_path, repository=checkout)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    run = replaced(timing_run(commit, {PREACT: 0.1}), **other)
    with pytest.raises(UserError, match=r"another machine's results \(.*--machine"):
        export([run], tmp_path, repository=checkout)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == before
    export([run], tmp_path, repository=checkout, machine="second")
    assert (tmp_path / "second" / "machine.json").is_file()


def test_other_software_on_the_same_machine_is_not_mixed_in(checkout: Path, commit: str, tmp_path: Path) -> None:
    export([timing_run(commit, {PREACT: 0.004})], tmp_path, repository=checkout)
    other = replaced(timing_run(commit, {PREACT: 0.004}), python="3.13.1")
    with pytest.raises(UserError, match="another python"):
        export([other], tmp_path, repository=checkout)
    with pytest.raises(UserError, match="other software or hardware than another run"):
        export([timing_run(commit, {PREACT: 0.004}), other], tmp_path / "new", repository=checkout)


@pytest.mark.parametrize("damage", [b"", b'{"version": 2, "results": {"a"', b"[]", b'{"results": {}}'])
@pytest.mark.parametrize("which", ["benchmarks.json", "machine.json", "result"])
def test_a_damaged_file_is_not_replaced(checkout: Path, commit: str, tmp_path: Path, damage: bytes, which: str) -> None:
    run = timing_run(commit, {PREACT: 0.004})
    export([run], tmp_path, repository=checkout)
    path = written(tmp_path) if which == "result" else next(tmp_path.rglob(which))
    path.write_bytes(damage)
    with pytest.raises(UserError, match=path.name):
        export([run], tmp_path, repository=checkout)
    assert path.read_bytes() == damage


@pytest.mark.parametrize("machine", ["../up", "a/b", "", "-x"])
def test_machine_cannot_be_a_path(checkout: Path, commit: str, tmp_path: Path, machine: str) -> None:
    run = timing_run(commit, {PREACT: 0.004}, fingerprint=f"{machine}-torch2.15" if not machine else "cpu-a-torch2.15")
    with pytest.raises(UserError, match="is no name for a machine"):
        export([run], tmp_path, repository=checkout, machine=machine)


def test_unwritable_folder_is_one_line(checkout: Path, commit: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        export([timing_run(commit, {PREACT: 0.004})], tmp_path / "file" / "results", repository=checkout)


def test_two_exports_do_not_write_at_the_same_time(
    checkout: Path, commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resbench.timing.asv_export.LOCK_SECONDS", 0.05)
    with FileLock(tmp_path / ".lock"), pytest.raises(UserError, match="another export has held"):
        export([timing_run(commit, {PREACT: 0.004})], tmp_path, repository=checkout)
    assert not list(tmp_path.rglob("*.json"))


def test_a_single_process_has_no_interval(checkout: Path, commit: str, tmp_path: Path) -> None:
    """asv then gives the point no weight of its own, as it does for a benchmark that returns one number."""
    from asv._stats import get_weight

    export([timing_run(commit, {PREACT: 0.004}, processes=1)], tmp_path, repository=checkout)
    assert get_weight(value(written(tmp_path), PREACT, "stats")) is None


def test_error_record_only_has_rows(checkout: Path, commit: str, tmp_path: Path) -> None:
    run = timing_run(commit, {})
    record = TimingRecord(PREACT, PREACT.version, error="broken")
    export([msgspec.structs.replace(run, records=(record,))], tmp_path, repository=checkout)
    assert value(written(tmp_path), PREACT) is None
