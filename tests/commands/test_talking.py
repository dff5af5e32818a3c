"""How much is said: --quiet, --verbose, --no-color, before and after the command; terminals and pipes."""

from __future__ import annotations

import io
import os
import sys

import pytest

from conftest import Run
from resbench import talking
from resbench.progress import CountProgress, MeasurementProgress, training_progress

TARGET = ("check", "--target", "resnet20", "--input", "3x8x8", "--select", "unit-test-*")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "RESBENCH_QUIET", "RESBENCH_VERBOSE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_notes_are_left_out_when_quiet(run: Run) -> None:
    assert "resbench: resnet20: " in run(*TARGET)[2]
    for arguments in (("--quiet", *TARGET), (*TARGET, "--quiet"), (*TARGET, "-q")):
        code, out, err = run(*arguments)
        assert (code, err) == (0, "")
        assert out.splitlines()[-2].endswith("1 not measured")


def test_errors_are_said_all_the_same(run: Run) -> None:
    code, _, err = run("check", "--select", "nothing-*", "--quiet")
    assert code == 2
    assert err.startswith("resbench: --select: no claim matches")


def test_one_run_does_not_change_the_next(run: Run) -> None:
    before = dict(os.environ)
    run("check", "--select", "veit-paths-2n", "--quiet", "--no-color")
    run("-v", "check", "--select", "veit-paths-2n")
    assert {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")} == {
        name: value for name, value in before.items() if not name.startswith("PYTEST")
    }


@pytest.mark.parametrize("arguments", [("-v", "check"), ("check", "-v"), ("check", "--verbose")])
def test_verbose_shows_every_claim(run: Run, arguments: tuple[str, ...]) -> None:
    chosen = ("--select", "veit-paths-2n", "--select", "veit-unravel-n3", "--setting", "any")
    assert "HOLDS   veit-paths-2n@any" in run(*arguments, *chosen)[1]
    brief = run("check", *chosen)[1]
    assert "veit-paths-2n" not in brief
    assert brief.splitlines()[0].startswith("2 of 2 measured claims hold")


@pytest.mark.parametrize(
    ("variables", "terminal", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": ""}, False, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
    ],
)
def test_colours(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], terminal: bool, expected: bool) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert talking.coloured(Terminal() if terminal else io.StringIO()) is expected


def test_no_color_option(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    chosen = ("check", "--select", "veit-paths-2n", "--setting", "any")
    assert "\x1b[" in run(*chosen)[1]
    for arguments in ((*chosen, "--no-color"), ("--no-color", *chosen)):
        assert "\x1b" not in run(*arguments)[1]


@pytest.mark.parametrize(
    ("stream", "variables", "shown"),
    [
        (Terminal, {}, True),
        (io.StringIO, {}, False),
        (io.StringIO, {"FORCE_COLOR": "1"}, False),
        (Terminal, {"TERM": "dumb"}, False),
        (Terminal, {"RESBENCH_QUIET": "1"}, False),
    ],
)
def test_bars_are_shown_in_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO], variables: dict[str, str], shown: bool
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    errors = stream()
    monkeypatch.setattr(sys, "stderr", errors)
    with CountProgress(3) as bar:
        bar.doing("counting", finished=1)
    with training_progress({"net": 1.0}) as training:
        training.report("net", 1, 2)
    with MeasurementProgress():
        pass
    assert ("counting" in errors.getvalue()) is shown
    assert shown or errors.getvalue() == ""
