"""Lock step and its verdicts, on workers that are told how fast they are."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest
from fake_worker import FakeMachine

from resbench.errors import UserError
from resbench.reports.ab import ab_annotations, ab_json, ab_markdown, ab_table, witness
from resbench.timing import ab as ab_module
from resbench.timing.ab import LOOKS, AbOptions, AbResult, AbRow, run_ab
from resbench.timing.change import Change
from resbench.timing.lockstep import BLOCK_SECONDS, CannotRun, PairSamples, log_ratio, run_pair
from resbench.timing.new_baseline import new_baseline
from resbench.timing.processes import Side
from resbench.timing.worker.case import Case
from resbench.timing.worker.seen import Counts
from resbench.timing.worker.undisturbed import groups, undisturbed

_BASE, _HEAD = Side("base"), Side("head")
_CASES = [Case("unit:preact", "64@8"), Case("unit:original", "64@8")]
_FAST = AbOptions(pairs=5, seconds=0.1)


def _run(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, options: AbOptions = _FAST) -> AbResult:
    monkeypatch.setattr(ab_module, "Worker", machine.worker)
    return run_ab(_BASE, _HEAD, [(case, case) for case in _CASES], options)


def _noisy(factor: float, *, only: str = "", spread: float = 0.01) -> FakeMachine:
    """Head takes ``factor`` times as long (in cases whose name contains ``only``); the machine drifts by a half."""
    dice = random.Random(1)

    def time(side: str, key: str, call: int, process: int) -> float:
        drift = 1.25 + 0.25 * math.sin(call / 40)
        slower = factor if side == "head" and only in key else 1.0
        return 0.01 * drift * slower * math.exp(spread * dice.gauss(0, 1))

    return FakeMachine(time)


def test_calls_alternate_a_b_b_a_then_b_a_a_b() -> None:
    machine = FakeMachine(lambda *_: 0.01)
    base, head = machine.worker(_BASE), machine.worker(_HEAD)
    samples = run_pair(base, head, (_CASES[0], _CASES[0]), 0.4)  # ten rounds of two calls of two steps of 10 ms
    called = [name[0] for name in machine.calls[2:]]  # two calls find out how long a step takes
    assert "".join(called[:8]) == "bhhbhbbh"
    assert len(samples.base) == len(samples.head) == len(called) / 2 == 20


def test_short_steps_are_bundled_into_calls_that_are_long_enough() -> None:
    machine = FakeMachine(lambda *_: 0.0001)
    samples = run_pair(machine.worker(_BASE), machine.worker(_HEAD), (_CASES[0], _CASES[0]), 0.05)
    assert samples.steps * 0.0001 >= BLOCK_SECONDS
    assert samples.steps % 2 == 0  # of a warm-up block of two: a multiple of the draws' cycle stays one


def test_slow_steps_are_called_twelve_times_a_side() -> None:
    machine = FakeMachine(lambda *_: 3.0)
    samples = run_pair(machine.worker(_BASE), machine.worker(_HEAD), (_CASES[0], _CASES[0]), 2.0)
    assert len(samples.base) == 12


def test_the_fastest_tenth_by_hand() -> None:
    assert undisturbed([5.0, 1.0, 3.0] + [9.0] * 17) == 2.0
    assert undisturbed([5.0, 4.0]) == 4.0


def test_groups_for_other_tools_by_hand() -> None:
    assert groups([3.0, 1.0, 2.0]) == [3.0, 1.0, 2.0]
    assert groups([float(value) for value in range(20)]) == [float(value) for value in range(0, 20, 2)]


def test_others_work_on_the_machine_does_not_change_the_ratio() -> None:
    """Nine calls of ten take up to ten times as long, on either side at random: the rest tells the ratio."""
    dice = random.Random(2)
    base, head = ([0.010 * f * (1 if i % 8 == 0 else dice.uniform(1.2, 10)) for i in range(200)] for f in (1.0, 1.1))
    assert math.exp(log_ratio(PairSamples(tuple(base), tuple(head), 1, 1, True))) == pytest.approx(1.1)


def _interrupted(waited: bool = False, devices: tuple[str, str] = ("cpu1", "cpu1")) -> PairSamples:
    """Every call is interrupted for a time at random; processor time says 10 and 11 ms."""
    dice = random.Random(3)
    machine = FakeMachine(lambda side, *_: dice.uniform(0.02, 0.05))
    machine.processor = lambda side, call: {"cpu": 0.011 if side == "head" else 0.01, "waited": waited}
    cases = tuple(Case("unit:preact", "64@8", device=device) for device in devices)  # type: ignore[arg-type]
    return run_pair(machine.worker(_BASE), machine.worker(_HEAD), cases, 1.0)  # type: ignore[arg-type]


def test_interruptions_do_not_count_where_a_step_never_waits() -> None:
    pair = _interrupted()
    assert pair.times == (pytest.approx(0.01), pytest.approx(0.011))
    assert math.exp(log_ratio(pair)) == pytest.approx(1.1)
    assert min(pair.base) >= 0.02  # the clock's times are kept as well


@pytest.mark.parametrize("settings", [{"waited": True}, {"devices": ("cpu1", "cpu2")}, {"devices": ("cuda", "cuda")}])
def test_the_clock_counts_where_a_step_waits_or_is_not_one_thread(settings: dict[str, Any]) -> None:
    pair = _interrupted(**settings)
    assert (pair.base_cpu, pair.head_cpu) == ((), ())
    assert pair.times[0] >= 0.02


@pytest.mark.parametrize(("factor", "change"), [(1.0, Change.SAME), (1.1, Change.SLOWER), (1 / 1.1, Change.FASTER)])
def test_verdicts_despite_a_drifting_machine(factor: float, change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = _run(_noisy(factor), monkeypatch).rows
    assert [row.change for row in rows] == [change, change]
    for row in rows:
        assert row.ratio.low < row.ratio.estimate < row.ratio.high
        assert row.ratio.estimate == pytest.approx(factor, rel=0.01)


def test_only_the_case_that_changed_is_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = _run(_noisy(1.2, only="original"), monkeypatch).rows
    assert [row.change for row in rows] == [Change.SAME, Change.SLOWER]


def test_a_significant_change_within_the_margin_is_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = _run(_noisy(1.03, spread=0.001), monkeypatch).rows
    assert all(row.p < 0.001 for row in rows)
    assert [row.change for row in rows] == [Change.SAME, Change.SAME]


def _processes_differ(spread: float, factor: float = 1.0) -> FakeMachine:
    dice = random.Random(4)
    levels: dict[int, float] = {}

    def time(side: str, key: str, call: int, process: int) -> float:
        level = levels.setdefault(process, math.exp(spread * dice.gauss(0, 1)))
        return 0.01 * level * (factor if side == "head" else 1.0)

    return FakeMachine(time)


def test_processes_that_differ_are_ambiguous_and_looked_at_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a pair the difference is exact to the last digit: only pairs tell that it is of the process."""
    machine = _processes_differ(0.10)
    rows = _run(machine, monkeypatch).rows
    assert [row.change for row in rows] == [Change.AMBIGUOUS, Change.AMBIGUOUS]
    assert [len(row.pairs) for row in rows] == [LOOKS * 5] * 2
    assert machine.started == 2 * LOOKS * 5 + 2  # and two that count


def test_what_is_decided_is_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = _noisy(1.2)
    assert [len(row.pairs) for row in _run(machine, monkeypatch).rows] == [5, 5]
    assert machine.started == 2 * 5 + 2


def test_false_alarms_are_rarer_than_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 comparisons of two cases of identical code, processes differing by 4 %: SLOWER or FASTER in at most 3.

    At the level of 1 % for a comparison more than 3 have a probability of 2 %; the margin makes them rarer still.
    """
    alarms = 0
    for seed in range(100):
        dice = random.Random(seed)
        rows = []
        for case in _CASES:
            pairs = []
            for _ in range(5):
                factor = math.exp(0.04 * dice.gauss(0, 1))
                pairs.append(PairSamples((0.01,) * 12, (0.01 * factor,) * 12, 1, 1, True))
            rows.append(AbRow(case, case, pairs=tuple(pairs)))
        judged = ab_module.judge_rows(rows)
        alarms += any(row.change in (Change.SLOWER, Change.FASTER) for row in judged)
    assert alarms <= 3


def test_the_order_of_starts_and_cases_alternates_over_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = _noisy(1.0)
    _run(machine, monkeypatch)
    starts = [name for name, what in machine.log if what == "start"]
    assert starts[:4] == ["base", "head", "head", "base"]


def test_a_case_that_head_cannot_run_is_missing_there(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = _noisy(1.0)
    machine.fails["head", _CASES[0].key] = "not in this revision"
    rows = _run(machine, monkeypatch).rows
    assert [row.change for row in rows] == [Change.MISSING, Change.SAME]
    assert rows[0].missing == ("", "not in this revision")
    assert math.isnan(rows[0].seconds[0])


def test_a_process_that_dies_takes_only_its_case_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = _noisy(1.0)
    machine.dies.add(("head", _CASES[0].key))
    rows = _run(machine, monkeypatch).rows
    assert [row.change for row in rows] == [Change.MISSING, Change.SAME]
    assert "killed by signal 9" in rows[0].missing[1]
    assert len(rows[1].pairs) == 5
    assert machine.log.count(("head", "end")) == machine.log.count(("head", "start"))


def test_nothing_that_runs_on_both_sides_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = _noisy(1.0)
    for case in _CASES:
        machine.fails["base", case.key] = "no module named 'mine'"
    with pytest.raises(UserError, match="nothing could be compared: no module named 'mine'"):
        _run(machine, monkeypatch)


def test_a_side_that_cannot_prepare_is_named() -> None:
    machine = FakeMachine(lambda *_: 0.01)
    machine.fails["base", _CASES[0].key] = "no such unit"
    with pytest.raises(CannotRun) as caught:
        run_pair(machine.worker(_BASE), machine.worker(_HEAD), (_CASES[0], _CASES[0]), 0.2)
    assert (caught.value.base, caught.value.head) == ("no such unit", "")


def _rows() -> list[AbRow]:
    counts = Counts(10, 1000, 4096, 512), Counts(12, 1000, 8192, 512)
    pairs = tuple(PairSamples((0.01,) * 12, (0.01 * (1.2 + index / 1000),) * 12, 1, 1, True) for index in range(5))
    slower = AbRow(_CASES[0], _CASES[0], pairs=pairs, counts=counts)
    lost = AbRow(_CASES[1], _CASES[1], missing=("", "removed | here"))
    return ab_module.judge_rows([slower, lost])


def test_the_witness_names_what_is_counted_differently() -> None:
    assert witness(_rows()[0]) == "operators 10 -> 12, bytes allocated 4,096 -> 8,192"


def test_reports_say_the_same() -> None:
    rows = _rows()
    table = ab_table(rows, "main (abc)", "HEAD (def)", margin=0.05)
    assert max(map(len, table.splitlines())) <= 80
    assert "SLOWER" in table
    assert "operators 10 -> 12" in table
    assert "1 SLOWER, 1 MISSING" in table
    markdown = ab_markdown(rows, "main", "HEAD", margin=0.05)
    assert markdown.index("SLOWER") < markdown.index("MISSING")
    assert "removed \\| here" in markdown
    annotations = list(ab_annotations(rows))
    assert [line.partition(" ")[0] for line in annotations] == ["::error", "::error"]
    document = json.loads(ab_json(rows, "main", "HEAD", margin=0.05, environment={}))
    assert document["schema"] == "resbench.ab/1"
    assert [case["verdict"] for case in document["cases"]] == ["SLOWER", "MISSING"]
    assert document["cases"][0]["pairs"][4]["head"] == [pytest.approx(0.01204)] * 12
    assert document["cases"][1]["ratio"] is None


def test_a_win_makes_a_new_baseline_of_the_cases_that_won(monkeypatch: pytest.MonkeyPatch) -> None:
    result = _run(_noisy(0.8, only="original"), monkeypatch)
    old = new_baseline(AbResult(result.rows, {"cpu": "a fake"}, ()))
    assert [record.key for record in old.records] == [case.key for case in _CASES]
    monkeypatch.setattr("resbench.timing.new_baseline._committed", lambda name: old)
    later = _run(_noisy(0.5, only="original"), monkeypatch)
    moved = new_baseline(later, "abc").by_key()
    assert moved[_CASES[0].key] == old.by_key()[_CASES[0].key]
    assert moved[_CASES[1].key].rounds[0].seconds == later.rows[1].pairs[0].head
