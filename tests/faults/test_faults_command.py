"""`resbench faults`: its exit codes, and what it says of a slip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import resbench.faults.run as faults_run

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--fault", "shortcut-scald"], "--fault: no fault matches 'shortcut-scald'; nearest: shortcut-scaled"),
        (
            ["--fault", "paths-*", "--claims", "veit-23"],
            "--claims: no claim matches 'veit-23'; nearest: veit-23-modules",
        ),
    ],
)
def test_a_slip_is_one_line(run: Run, options: list[str], said: str) -> None:
    code, out, err = run("faults", *options)
    assert (code, out) == (2, "")
    assert err.startswith(f"resbench: {said}")
    assert len(err.splitlines()) == 1


def test_the_list_runs_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults_run, "run_each", None)
    code, out, _ = run("faults", "--list", "--fault", "drop-*")
    assert code == 0
    assert "drop-per-image (network)" in out
    assert "shortcut-scaled" not in out


def test_a_survivor_fails_and_ctrl_c_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from resbench.faults.child import Finding

    def nothing_is_seen(work: Any, jobs: Any, **_: Any) -> Any:
        return [(number, Finding(dict.fromkeys(job.items, ("HOLDS", "")))) for number, job in enumerate(jobs)]

    monkeypatch.setattr(faults_run, "run_each", nothing_is_seen)
    code, out, _ = run("faults", "--fault", "paths-one-unit-more")
    assert code == 1
    assert "survivors: paths-one-unit-more" in out

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(faults_run, "run_each", interrupted)
    code, out, err = run("faults", "--fault", "paths-one-unit-more")
    assert (code, out, err) == (130, "", "resbench: interrupted; nothing is kept\n")
