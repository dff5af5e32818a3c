"""The wall clock jumps, backwards too: what is measured, how long it took and when to stop do not depend on it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from abuse_samples import tiny_measuring
from tests.measuring.own_samples import SETTING

from conftest import Run
from resbench.measuring.course import Course
from resbench.records.evidence import read_evidence
from resbench.records.results import Request

JUMPS = {
    "backwards": lambda count: 1.8e9 - 3600.0 * count,
    "far ahead": lambda count: 1.8e9 + 1e7 * count,
    "to the beginning": lambda count: 1.8e9 if count == 0 else 0.0,
    "stands still": lambda count: 1.8e9,
}


@pytest.fixture(params=JUMPS)
def jumping(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """``time.time`` jumps at every call; what it said."""
    said: list[float] = []

    def jumped() -> float:
        said.append(JUMPS[request.param](len(said)))
        return said[-1]

    monkeypatch.setattr(time, "time", jumped)
    return said


def test_a_check(jumping: list[float], run: Run) -> None:
    arguments = ("check", "--select", "veit-paths-*", "--setting", "any", "--format")
    code, out, err = run(*arguments, "junit")
    assert code == 0, err
    root = ElementTree.fromstring(out)
    assert 0.0 <= float(root.attrib["time"]) < 1000.0
    for suite in root:
        assert suite.attrib["timestamp"][:2] in ("19", "20")
    code, out, _ = run(*arguments, "json")
    assert code == 0
    assert json.loads(out)["summary"]["HOLDS"] > 0


def test_a_measurement_ends_when_its_minutes_are_over(
    jumping: list[float], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_measuring(tmp_path, monkeypatch)

    def measure(minutes: str) -> tuple[int, str, str]:
        select = ("--select", "vgg15/evaluation", "--out", str(tmp_path / "out"))
        return run("measure", "--setting", SETTING, "--data", "npz:x", *select, "--max-minutes", minutes)

    code, out, _ = measure("0")
    assert code == 0
    assert "stopped by --max-minutes" in out
    code, out, err = measure("30")
    assert code == 0, err
    assert out.startswith("1 recorded")
    found = read_evidence(tmp_path / "out", SETTING, Request("evaluation", "vgg15"))
    assert found is not None
    assert 0.0 <= found.made.seconds < 600.0
    assert found.made.training is not None
    assert found.made.training["seconds_per_step"] > 0.0


def test_the_course_goes_by_the_time_that_passes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Half of the minutes are over when half of them have passed."""
    from resbench.measuring.course import Stopped

    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    course = Course("cifar10", tmp_path, 3, 1.0, "cpu", started=now)
    now = 130.0
    course.check(29.0)
    with pytest.raises(Stopped):
        course.check(31.0)
    course.account(10.0, 20.0)  # twice as slow as estimated
    with pytest.raises(Stopped):
        course.check(16.0)
    course.check(14.0)


def test_seeds_and_paces_of_a_jumping_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The moments in records are for people: one from before the last changes nothing but its own text."""
    import datetime

    import resbench.measuring.pace as pace_module

    moments = iter(("2026-01-02", "1970-01-01", "2200-12-31"))

    class Jumping(datetime.datetime):
        @classmethod
        def now(cls, zone: Any = None) -> datetime.datetime:
            return datetime.datetime.fromisoformat(next(moments)).replace(tzinfo=zone)

    with monkeypatch.context() as patch:
        patch.setattr(pace_module.datetime, "datetime", Jumping)
        pace = pace_module.Pace()
        for seconds, network in ((0.5, "a"), (0.25, "b"), (0.125, "c")):
            pace = pace.noted("a processor", network, seconds, 1e9)
    pace.write(tmp_path / "pace.json")
    again = pace_module.read_pace(tmp_path / "pace.json")
    assert [again.step_seconds("a processor", name, 1e9) for name in "abc"] == [0.5, 0.25, 0.125]
    assert again.last == "a processor"


def test_a_file_from_the_future_is_read_and_replaced(tmp_path: Path) -> None:
    """Nothing goes by the time of a file."""
    import os

    import numpy as np

    from resbench.records.partial import PartialResults

    kept, request = PartialResults(tmp_path, "key"), Request("evaluation", "n")
    for moment in (0.0, 4e9):
        kept.put(request, [{"wrong": np.full(3, moment)}])
        for path in tmp_path.rglob("*"):
            os.utime(path, (moment, moment))
        found = kept.get(request)
        assert found is not None
        assert found[0]["wrong"].tolist() == [moment] * 3
