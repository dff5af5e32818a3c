"""Worker processes: a job that hangs, dies or takes too much memory costs its own result and nothing else."""

from __future__ import annotations

import multiprocessing
import sys

import pytest
from fakes import misbehave

from resbench.survey.workers import Failed, run_each


def test_a_job_that_hangs_or_dies_is_reported_and_the_others_are_done() -> None:
    jobs = ["a", "sleep", "exit", "b", "kill", "c"]
    results = dict(run_each(misbehave, jobs, processes=2, timeout=3))
    assert results[1] == Failed("no result within 3 s")
    assert results[2] == Failed("its process died: exit code 3")
    assert results[4] == Failed("its process died: signal SIGKILL")
    assert all(results[number].isdigit() for number in (0, 3, 5))
    assert not multiprocessing.active_children()


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")
def test_memory_is_limited_and_a_worker_takes_many_jobs() -> None:
    results = dict(run_each(misbehave, ["a", "allocate", "b"], processes=1, timeout=30, memory=4 << 30))
    assert results[1] == "refused"
    assert results[0] == results[2]


def test_the_processes_end_when_nobody_reads_on() -> None:
    results = run_each(misbehave, ["a", "sleep", "sleep"], processes=1, timeout=60)
    assert next(results)[0] == 0
    results.close()
    assert not multiprocessing.active_children()
