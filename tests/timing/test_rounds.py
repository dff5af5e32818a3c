"""``resbench bench``: rounds over fresh processes, on workers without processes."""

from __future__ import annotations

import pytest
from fake_worker import FakeMachine

from resbench.timing import rounds as rounds_module
from resbench.timing.record import SCHEMA
from resbench.timing.rounds import BenchOptions, Collected, run_bench
from resbench.timing.worker.case import Case

_CASES = [Case("unit:preact", "64@8"), Case("unit:original", "64@8"), Case("unit:single", "64@8")]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    made = FakeMachine(lambda side, key, call, process: 0.01 * process + 0.0001 * call)
    monkeypatch.setattr(rounds_module, "Worker", made.worker)
    return made


def _collected(processes: int = 3) -> Collected:
    return Collected(_CASES, BenchOptions(processes=processes, seconds=0.1))


def test_every_case_has_a_round_in_every_process(machine: FakeMachine) -> None:
    collected = _collected()
    run_bench(collected)
    run = collected.run("tuesday")
    assert (run.schema, run.name, machine.started) == (SCHEMA, "tuesday", 3)
    for record in run.records:
        assert [one.seconds[0] for one in record.rounds] == pytest.approx([0.01, 0.02, 0.03])
        assert record.counts.macs == 1000
        assert (record.error, record.version) == ("", "1")
    assert [(one.device, one.dtype) for one in run.rates] == [("cpu1", "float32")]
    assert run.environment["cpu"] == "a fake"


def test_the_order_of_the_cases_alternates(machine: FakeMachine) -> None:
    run_bench(_collected(2))
    measured = [what for _, what in machine.log if "/" in what]
    assert measured == [case.key for case in (*_CASES, *_CASES[::-1])]


def test_a_case_that_fails_has_a_reason_and_does_not_stop_the_others(machine: FakeMachine) -> None:
    machine.fails["this resbench", _CASES[1].key] = "not in this revision"
    collected = _collected()
    run_bench(collected)
    found = collected.run("x").by_key()
    assert found[_CASES[1].key].error == "not in this revision"
    assert found[_CASES[1].key].rounds == ()
    assert [len(found[case.key].rounds) for case in (_CASES[0], _CASES[2])] == [3, 3]


def test_a_process_that_dies_is_replaced(machine: FakeMachine) -> None:
    machine.dies.add(("this resbench", _CASES[1].key))
    collected = _collected()
    run_bench(collected)
    found = collected.run("x").by_key()
    assert found[_CASES[1].key].error == "its process ended: killed by signal 9"
    assert [len(found[case.key].rounds) for case in (_CASES[0], _CASES[2])] == [3, 3]
    assert machine.started == 4


def test_a_case_that_failed_later_is_not_a_case_that_was_measured(machine: FakeMachine) -> None:
    collected = _collected()
    run_bench(collected)
    collected.errors[_CASES[0]] = "its process ended: killed"
    assert collected.run("x").by_key()[_CASES[0].key].rounds == ()


def test_an_interrupted_run_keeps_what_was_measured(machine: FakeMachine) -> None:
    class Impatient:
        def doing(self, what: str, *, finished: int = 0) -> None:
            if what == _CASES[1].key and not finished:
                raise KeyboardInterrupt

    collected = _collected()
    with pytest.raises(KeyboardInterrupt):
        run_bench(collected, Impatient())
    first, second, third = collected.run("x").records
    assert len(first.rounds) == 1
    assert second.error == third.error == "not measured before the run was interrupted"
    assert [what for _, what in machine.log].count("end") == 1
