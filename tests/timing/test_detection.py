"""Detection beside the peers: what is run, what counts, what is kept.  No tool is started here."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from asv_samples import ROOT
from benchmarks import detection, detection_record
from benchmarks.detection import Outcome, own_turn, peer_turn, run_trials
from benchmarks.detection_neighbours import neighbours, words
from benchmarks.detection_own import judged
from benchmarks.detection_peers import asv_mark, pyperf_verdict, pytest_verdict
from benchmarks.detection_record import SCHEMA, WORKLOAD, Comparison, Record, Session, load, opened, save
from benchmarks.detection_table import RULES, Count, as_json, as_table, summaries
from benchmarks.detection_tools import Judged, ToolFailed, clean_environment, knobs, run_tool
from benchmarks.detection_workload import REPEATS, repeats, write

from resbench.errors import UserError
from resbench.timing.ab import PAIRS, AbRow
from resbench.timing.change import Change, Ratio
from resbench.timing.worker.case import Case

_SAME, _WORSE = Judged("same", False, 1.0), Judged("worse", True, 1.1)


def _record(*comparisons: Comparison) -> Record:
    session = Session("2026-01-01", 2.0, {}, {}, {"asv": "0.6.6"})
    return Record(SCHEMA, WORKLOAD, 25.0, "cpu-test-torch2.15", (session,), comparisons)


def _comparison(tool: str, slowdown: int, alarm: bool, verdict: str = "", ratio: float | None = None) -> Comparison:
    return Comparison(0, 0, tool, slowdown, verdict, alarm, 20.0, "2026-01-01", ratio)


# The workload


@pytest.mark.parametrize("slowdown", [0, 5, 10, 20])
def test_a_step_runs_the_branch_so_many_times(slowdown: int, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("subject_of_a_test", write(tmp_path, slowdown))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    network, calls = module.build(), []
    network.unit.register_forward_hook(lambda *_: calls.append(1))
    network(module.torch.randn(1, 64, 8, 8))
    assert len(calls) == REPEATS * (100 + slowdown) / 100
    assert module.make_step()().shape == (4, 64, 8, 8)


def test_a_slowdown_that_is_no_whole_number_of_branches_is_refused() -> None:
    with pytest.raises(ValueError, match="3 %"):
        repeats(3)


# Time


def test_every_tool_gets_the_budget() -> None:
    found = knobs(25.0, 2.0)
    assert 2 * (2 * (found.asv_seconds + 2.0)) <= 25
    assert 2 * (found.pytest_seconds + 2.0) <= 25
    assert 2 * ((found.pyperf_processes + 1) * (2.0 + (found.pyperf_values + 1) * 0.16)) <= 25
    assert 5 * 2 * found.resbench_seconds + 5 * 2.0 + 2 * 2.0 <= 25


def test_more_time_is_more_samples_and_too_little_is_still_some() -> None:
    short, long = (knobs(budget, 2.0).as_dict() for budget in (1.0, 60.0))
    assert all(0 < short[name] < long[name] for name in short if name != "resbench_pairs")
    assert short["resbench_pairs"] == long["resbench_pairs"] == PAIRS
    assert short["pyperf_processes"] >= 2


def test_tools_run_with_one_thread_and_without_the_settings_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-n 4")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    found = clean_environment(HOME="/home/else")
    assert found["OMP_NUM_THREADS"] == "1"
    assert found["HOME"] == "/home/else"
    assert not {"PYTEST_ADDOPTS", "PYTHONPATH"} & found.keys()


def test_a_tool_that_fails_says_why_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-S", "-c", "import sys; print('first'); sys.exit('no such thing')"]
    with pytest.raises(ToolFailed, match=r"^exit status 1: .*$"):
        run_tool(command, tmp_path)
    status, output = run_tool(command, tmp_path, fails=True)
    assert status == 1
    assert "no such thing" in output
    with pytest.raises(ToolFailed, match="nosuchtool"):
        run_tool(["./nosuchtool"], tmp_path)


# Verdicts

_ASV = """
All benchmarks:

| Change   | Before [6fbf4aa9] <main~1>   | After [a99dbbd0] <main>   |   Ratio | Benchmark (Parameter)       |
|----------|------------------------------|---------------------------|---------|-----------------------------|
| {mark:8} | 10.2±0.05ms                  | 12.4±0.1ms                |  {ratio:>6} | workload.Workload.time_step |
"""


@pytest.mark.parametrize(
    ("mark", "ratio", "expected"),
    [
        ("+", "1.22", Judged("worsened", True, 1.22)),
        ("-", "0.80", Judged("improved", False, 0.8)),
        ("", "1.08", Judged("unchanged", False, 1.08)),
        ("", "~1.22", Judged("unchanged", False, 1.22)),
    ],
)
def test_asv_alarms_where_it_lists_the_benchmark_as_worsened(mark: str, ratio: str, expected: Judged) -> None:
    assert asv_mark(_ASV.format(mark=mark, ratio=ratio)) == expected


@pytest.mark.parametrize("text", ["", "All benchmarks:", _ASV.format(mark="!", ratio="n/a")])
def test_no_verdict_of_asv_is_none(text: str) -> None:
    with pytest.raises(ToolFailed):
        asv_mark(text)


def test_pytest_benchmark_alarms_where_it_fails_for_that_reason() -> None:
    assert pytest_verdict(0, "1 passed", 1.01) == Judged("passed", False, 1.01)
    assert pytest_verdict(1, "ERROR: Performance has regressed:\n", 1.2) == Judged("regressed", True, 1.2)
    with pytest.raises(ToolFailed):
        pytest_verdict(1, "1 failed", 1.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mean +- std dev: [0] 10.4 ms +- 0.2 ms -> [1] 12.5 ms +- 0.3 ms: 1.20x slower\n", (True, 1.2)),
        ("Mean +- std dev: [0] 12.5 ms +- 0.2 ms -> [1] 10.0 ms +- 0.3 ms: 1.25x faster\n", (False, 0.8)),
        ("Benchmark hidden because not significant (1): step\n", (False, None)),
    ],
)
def test_pyperf_alarms_where_it_says_slower(text: str, expected: tuple[bool, float | None]) -> None:
    found = pyperf_verdict(text)
    assert (found.alarm, found.ratio) == expected


def test_no_verdict_of_pyperf_is_none() -> None:
    with pytest.raises(ToolFailed):
        pyperf_verdict("")


@pytest.mark.parametrize("change", [Change.SLOWER, Change.AMBIGUOUS, Change.SAME, Change.FASTER])
def test_resbench_alarms_where_it_says_slower(change: Change) -> None:
    case = Case("net:subject:build", "64x8x8")
    found = judged(AbRow(case, case, change, Ratio(1.2, 1.1, 1.3, 0.001)))
    assert found == Judged(change.value, change is Change.SLOWER, 1.2)


def test_resbench_without_samples_has_no_verdict() -> None:
    case = Case("net:subject:build", "64x8x8")
    with pytest.raises(ToolFailed, match="out of memory"):
        judged(AbRow(case, case, missing=("", "out of memory")))


# Turns


class _Peer:
    """Runs take 10, 11, 12, ... seconds and judgements one; fails at the runs of ``bad``."""

    def __init__(self, *bad: int) -> None:
        self.bad, self.clock = bad, 0.0
        self.runs: list[tuple[int, int | None]] = []
        self.judged: list[tuple[int, int]] = []

    def measure(self, slowdown: int, against: int | None) -> int:
        number = len(self.runs)
        self.clock += 10 + number
        if number in self.bad:
            raise ToolFailed("it broke")
        self.runs.append((slowdown, against))
        return number

    def judge(self, first: int, second: int) -> Judged:
        self.clock += 1
        self.judged.append((first, second))
        return _WORSE if self.runs[second][0] else _SAME


def test_a_peers_turn_is_base_base_slow_and_each_adjacent_pair_is_compared() -> None:
    peer = _Peer()
    outcomes = peer_turn(peer, lambda: peer.clock)(10)
    assert peer.runs == [(0, None), (0, 0), (10, 1)]
    assert peer.judged == [(0, 1), (1, 2)]
    # Each comparison costs both of its runs and its own judgement.
    assert outcomes == [Outcome(0, 22.0, _SAME), Outcome(10, 24.0, _WORSE)]


@pytest.mark.parametrize(("bad", "known"), [(0, 0), (1, 0), (2, 1)])
def test_a_run_that_fails_spoils_only_what_depends_on_it(bad: int, known: int) -> None:
    peer = _Peer(bad)
    outcomes = peer_turn(peer, lambda: peer.clock)(20)
    assert [one.slowdown for one in outcomes] == [0, 20]
    assert [one.judged is not None for one in outcomes] == [index < known for index in range(2)]
    assert outcomes[-1].error == "it broke"


def test_own_turn_compares_identical_code_and_then_the_slowdown() -> None:
    def compare(slowdown: int) -> Judged:
        if slowdown:
            raise UserError("base: does not run")
        return _SAME

    same, slow = own_turn(compare)(5)
    assert (same.slowdown, same.judged) == (0, _SAME)
    assert (slow.slowdown, slow.judged, slow.error) == (5, None, "base: does not run")


# Trials and their file


def _turns(log: list[tuple[str, int]]) -> dict[str, Callable[[int], list[Outcome]]]:
    def turn(name: str) -> Callable[[int], list[Outcome]]:
        def take(slowdown: int) -> list[Outcome]:
            log.append((name, slowdown))
            return [Outcome(0, 1.0, _SAME), Outcome(slowdown, 1.0, _WORSE)]

        return take

    return {name: turn(name) for name in ("resbench", "asv", "pyperf")}


def test_tools_and_slowdowns_take_turns_and_all_is_kept(tmp_path: Path) -> None:
    log: list[tuple[str, int]] = []
    path = tmp_path / "out.json"
    done = run_trials(_turns(log), (5, 10), 3, lambda: True, _record(), path)
    assert [name[0] for name, _ in log] == [*"rap", *"apr", *"pra"]
    assert [slowdown for _, slowdown in log] == [5] * 3 + [10] * 3 + [5] * 3
    assert load(path) == done
    assert len(done.comparisons) == 18
    assert {one.trial for one in done.comparisons} == {0, 1, 2}


def test_no_trial_begins_after_the_time(tmp_path: Path) -> None:
    answers = iter([True, True, False])
    log: list[tuple[str, int]] = []
    run_trials(_turns(log), (5,), 9, lambda: next(answers), _record(), tmp_path / "out.json")
    assert len(log) == 6


def test_an_interrupted_run_keeps_every_finished_turn_and_the_next_adds_to_it(tmp_path: Path) -> None:
    log: list[tuple[str, int]] = []
    path = tmp_path / "out.json"

    def interrupted(_: int) -> list[Outcome]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trials(_turns(log) | {"pyperf": interrupted}, (5,), 1, lambda: True, _record(), path)
    kept = opened(path, 25.0, "cpu-test-torch2.15")
    assert [one.tool for one in kept.comparisons] == ["resbench"] * 2 + ["asv"] * 2
    more = run_trials(_turns(log), (5,), 1, lambda: True, kept, path)
    assert more.comparisons[:4] == kept.comparisons
    assert len(load(path).comparisons) == 10


def test_a_tool_that_never_works_ends_the_run_and_one_that_fails_later_does_not(tmp_path: Path) -> None:
    broken = [Outcome(0, 0.0, None, "asv is broken"), Outcome(5, 0.0, None, "asv is broken")]
    with pytest.raises(UserError, match="asv: asv is broken"):
        run_trials({"asv": lambda _: broken}, (5,), 2, lambda: True, _record(), tmp_path / "a.json")
    answers = iter([[Outcome(0, 1.0, _SAME), Outcome(5, 1.0, _WORSE)], broken])
    done = run_trials({"asv": lambda _: next(answers)}, (5,), 2, lambda: True, _record(), tmp_path / "b.json")
    (asv,) = summaries(done.comparisons)
    assert (asv.counts[0], asv.counts[5], asv.failed) == (Count(0, 1), Count(1, 1), 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "no record"),
        ('{"schema": "resbench.timing/1"}', "no record"),
        (json.dumps({"schema": "x", "workload": "", "budget": 1, "fingerprint": ""}), "schema 'x'"),
    ],
)
def test_another_file_is_not_added_to(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        opened(path, 25.0, "cpu-test-torch2.15")
    assert path.read_text() == content


@pytest.mark.parametrize(
    ("budget", "fingerprint", "message"),
    [(30.0, "cpu-test-torch2.15", "budget in seconds was 25"), (25.0, "cpu-else", "cpu-test")],
)
def test_what_was_measured_otherwise_is_not_counted_together(
    budget: float, fingerprint: str, message: str, tmp_path: Path
) -> None:
    save(_record(), tmp_path / "out.json")
    with pytest.raises(UserError, match=message):
        opened(tmp_path / "out.json", budget, fingerprint)


def test_another_workload_is_not_counted_together(tmp_path: Path) -> None:
    save(_record(), tmp_path / "out.json")
    with pytest.raises(UserError, match="workload"):
        opened(tmp_path / "out.json", 25.0, "cpu-test-torch2.15", "something else")


# The table


def _many() -> Record:
    own = [_comparison("resbench", 0, False, "AMBIGUOUS" if i < 3 else "SAME", 1 + i / 1e4) for i in range(100)]
    own += [_comparison("resbench", 10, i < 96, "SLOWER" if i < 96 else "AMBIGUOUS", 1.1) for i in range(100)]
    peers = [_comparison("pytest-benchmark", 0, i < 40, ratio=1.0) for i in range(100)]
    peers += [_comparison("pyperf", 0, i < 60, ratio=None if i < 40 else 1.1) for i in range(100)]
    return _record(*peers, *own)


def test_counts_and_exact_intervals() -> None:
    found = {one.tool: one for one in summaries(_many().comparisons)}
    assert list(found) == ["resbench", "pytest-benchmark", "pyperf"]
    assert found["resbench"].counts[0] == Count(0, 100, 3)
    assert found["resbench"].counts[10] == Count(96, 100, 4)
    assert found["resbench"].counts[20].n == 0
    assert found["pyperf"].counts[0] == Count(60, 100)
    low, high = found["resbench"].counts[0].interval
    assert (low, high) == (0.0, pytest.approx(1 - 0.025 ** (1 / 100)))  # by hand: none of n


def test_the_spread_is_told_only_where_all_ratios_are() -> None:
    found = {one.tool: one for one in summaries(_many().comparisons)}
    assert found["resbench"].spread is not None
    assert found["resbench"].spread > 0
    assert found["pyperf"].spread is None


def test_the_table_fits_eighty_columns_also_when_all_is_told() -> None:
    all_of_it = [_comparison(t, s, True, "AMBIGUOUS", 1.0) for t in RULES for s in (0, 5, 10, 20) for _ in range(250)]
    assert max(map(len, as_table(_record(*all_of_it)).splitlines())) <= 80


def test_the_table_by_hand() -> None:
    text = as_table(_many())
    assert re.search(r"^resbench +0 of 100 +0\.0-3\.6 % +- +96 of 100 ", text, re.MULTILINE)
    assert "AMBIGUOUS (no alarm): +0 %: 3 of 100, +10 %: 4 of 100" in text


def test_json_holds_the_same_numbers() -> None:
    found = json.loads(json.dumps(as_json(_many())))
    resbench = found["tools"][0]
    assert resbench["slowdowns"]["10"]["alarms"] == 96
    assert resbench["slowdowns"]["20"]["interval"] is None
    assert found["versions"] == {"asv": "0.6.6"}


# The command


def test_what_a_file_holds_is_shown_without_measuring(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(_many(), tmp_path / "out.json")
    assert detection.main(["--trials", "0", "--out", str(tmp_path / "out.json")]) == 0
    assert "0 of 100" in capsys.readouterr().out
    assert detection.main(["--trials", "0", "--out", str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--tools", "airspeed"], ["--slowdowns", "7"], ["--trials", "-1"], ["--budget", "0"]]
)
def test_bad_usage_is_status_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        detection.main(arguments)
    assert ended.value.code == 2
    assert "error: argument" in capsys.readouterr().err


def test_a_tool_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(detection, "version", lambda name: None)
    assert detection.main(["--tools", "pyperf", "--out", str(tmp_path / "out.json")]) == 2
    assert "pip install pyperf" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(*_: object) -> float:
        raise AssertionError("measured")

    monkeypatch.setattr(detection, "starting_seconds", never)
    (tmp_path / "file").touch()
    assert detection.main(["--tools", "resbench", "--out", str(tmp_path / "file" / "out.json")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_importing_is_cheap_and_asv_finds_no_suite_in_it() -> None:
    pytest.importorskip("asv_runner")
    program = """
import sys
import benchmarks.detection, benchmarks.against_peers
from asv_runner.benchmarks import benchmark_types
assert "torch" not in sys.modules, "torch"
for name, module in list(sys.modules.items()):
    if name.startswith(("benchmarks.detection", "benchmarks.against")):
        for each in vars(module):
            assert not any(kind.name_regex.match(each) for kind in benchmark_types), (name, each)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_neighbours_compute_until_they_are_no_longer_wanted() -> None:
    with neighbours(2) as numbers:
        assert len(numbers) == 2
        for number in numbers:
            os.kill(number, 0)
    for number in numbers:
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)


def test_a_record_says_what_ran_beside_and_is_not_mixed_with_another(tmp_path: Path) -> None:
    workload = detection_record.WORKLOAD + words(2)
    assert "beside 2 programs" in workload
    path = tmp_path / "a.json"
    detection_record.save(detection_record.opened(path, 25.0, "a machine", workload), path)
    with pytest.raises(UserError, match="the workload was"):
        detection_record.opened(path, 25.0, "a machine")
