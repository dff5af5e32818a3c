"""Change points and drift over stored runs."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from timing_samples import NETWORK, PREACT, around, make_record, make_run
from typer.testing import CliRunner, Result

from resbench.commands.history import history as command
from resbench.errors import UserError
from resbench.reports.history import chart, history_json, history_table
from resbench.timing.change import Change
from resbench.timing.changepoints import LEAST_NOISE, levels, noise
from resbench.timing.history import history, runs_in
from resbench.timing.record import TimingRun
from resbench.timing.store import save


def noisy(values: Sequence[float], share: float = 0.01, seed: int = 3) -> list[float]:
    draw = random.Random(seed)
    return [value * (1 + draw.gauss(0, share)) for value in values]


def run_at(index: int, seconds: float, **git: Any) -> TimingRun:
    """The run of the ``index``-th commit, one a day."""
    day = f"2026-01-{index + 1:02d}T12:00:00+00:00"
    return make_run(f"r{index}", {PREACT: around(seconds)}, git={"commit": f"{index:040x}", "date": day, **git})


def steps_of(values: Sequence[float]) -> list[tuple[int, Change]]:
    (series,) = history([run_at(index, value) for index, value in enumerate(values)]).series
    return [(series.points.index(step.after), step.change) for step in series.steps]


def test_a_step_up_and_a_step_down() -> None:
    assert steps_of(noisy([0.010] * 8 + [0.012] * 8)) == [(8, Change.SLOWER)]
    assert steps_of(noisy([0.012] * 8 + [0.010] * 8)) == [(8, Change.FASTER)]
    assert steps_of(noisy([0.010] * 7 + [0.012] * 7 + [0.009] * 7)) == [(7, Change.SLOWER), (14, Change.FASTER)]


def test_noise_and_one_bad_moment_are_no_change() -> None:
    assert steps_of(noisy([0.010] * 20, 0.03)) == []
    assert steps_of(noisy([0.010] * 10 + [0.015] + [0.010] * 10)) == []


def test_a_step_within_the_margin_is_none() -> None:
    values = noisy([0.0100] * 15 + [0.0103] * 15, 0.001)
    assert [level.start for level in levels(values, 0.01)] == [0, 15]
    assert len(levels(values, 0.05)) == 1


def test_few_points_are_one_level() -> None:
    assert levels([]) == []
    assert [(level.start, level.end, level.seconds) for level in levels([1.0, 2.0, 9.0])] == [(0, 3, 2.0)]


def test_constant_series_have_some_noise() -> None:
    assert noise([1.0] * 9) == LEAST_NOISE
    assert noise(noisy([1.0] * 4000, 0.04)) == pytest.approx(0.04, rel=0.1)


def test_ruptures_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ruptures", None)
    with pytest.raises(UserError, match=r"resbench\[bench\]"):
        levels([1.0] * 9)


def test_commits_are_ordered_by_their_date_and_pooled() -> None:
    runs = [run_at(2, 0.03), run_at(0, 0.01), run_at(1, 0.02), run_at(0, 0.012)]
    (series,) = history(runs).series
    assert [point.commit[-1] for point in series.points] == ["0", "1", "2"]
    assert [point.processes for point in series.points] == [8, 4, 4]
    assert series.points[0].seconds == pytest.approx(0.011, rel=0.02)


def test_dates_of_other_zones_are_compared_as_moments() -> None:
    early = run_at(0, 0.01, date="2026-01-01T23:00:00+09:00")
    late = run_at(1, 0.02, date="2026-01-01T16:00:00+00:00")
    (series,) = history([late, early]).series
    assert [point.commit[-1] for point in series.points] == ["0", "1"]


def test_a_run_with_changes_is_left_out_and_named() -> None:
    found = history([run_at(0, 0.01), run_at(1, 0.02, dirty=True)])
    assert len(found.series[0].points) == 1
    assert found.left_out == (("r1", "made with uncommitted changes: of no commit"),)
    assert "left out: r1" in history_table(found)
    with pytest.raises(UserError, match="uncommitted"):
        history([run_at(1, 0.02, dirty=True)])


def test_another_version_or_machine_is_another_series() -> None:
    first, second = run_at(0, 0.01), run_at(1, 0.01)
    other = make_run("v", [make_record(PREACT, around(0.02), version="2")], git={"commit": "f" * 40})
    elsewhere = make_run("x", {PREACT: around(0.02)}, git={"commit": "e" * 40}, host="box")
    found = history([first, second, other, elsewhere])
    assert sorted(len(series.points) for series in found.series) == [1, 1, 2]


def test_a_commit_where_a_case_failed_is_no_point_but_its_drift_is_missing() -> None:
    failed = make_run("r9", [make_record(PREACT, (), error="crashed")], git={"commit": "9" * 40})
    found = history([run_at(0, 0.01), run_at(1, 0.01), failed], pin=run_at(0, 0.01))
    assert [len(series.points) for series in found.series] == [2]
    assert found.drift is not None
    assert found.drift.rows[0].against[0].change is Change.MISSING
    assert "crashed" in found.drift.rows[0].against[0].why


def drifting() -> list[TimingRun]:
    """3 % a commit: no step beyond the margin between neighbours."""
    return [run_at(index, 0.01 * 1.03**index) for index in range(6)]


def test_slow_drift_is_found_against_a_pinned_run() -> None:
    runs = drifting()
    found = history(runs, pin=runs[0])
    assert found.drift is not None
    (row,) = found.drift.rows
    assert row.against[0].change is Change.SLOWER
    assert row.against[0].ratio == pytest.approx(1.03**5)


def test_a_pinned_case_that_is_no_longer_measured_is_missing() -> None:
    pin = make_run("release", {PREACT: around(0.01), NETWORK: around(0.1)})
    found = history(drifting()[:2], pin=pin).drift
    assert found is not None
    assert [row.against[0].change for row in found.rows] == [Change.SAME, Change.MISSING]


def test_a_pin_of_another_machine() -> None:
    with pytest.raises(UserError, match="--pin release: no run is of its machine"):
        history(drifting(), pin=make_run("release", {PREACT: around(0.01)}, cpu="Intel Xeon"))


def git(folder: Path, *arguments: str, date: str = "") -> str:
    names = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    environment = {**names, "PATH": "/usr/bin:/bin:/usr/local/bin", "GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date}
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_the_range_of_commits_comes_from_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every second commit measured, no dates in the runs: order and range are the repository's."""
    git(tmp_path, "init", "-q", date="2026-01-01T00:00:00Z")
    commits = []
    for index in range(24):
        date = f"2026-02-{index + 1:02d}T00:00:00Z"
        git(tmp_path, "commit", "-q", "--allow-empty", "-m", str(index), date=date)
        commits.append(git(tmp_path, "rev-parse", "HEAD", date=date))
    monkeypatch.chdir(tmp_path)
    values = noisy([0.01] * 6 + [0.013] * 6)
    runs = [
        make_run(str(index), {PREACT: around(value)}, git={"commit": commits[2 * index]})
        for index, value in reversed(list(enumerate(values)))
    ]
    (step,) = history(runs).series[0].steps
    assert (step.before.commit, step.after.commit, step.commits) == (commits[10], commits[12], 2)
    assert f"{commits[10][:8]}..{commits[12][:8]} (2026-02-13, 2 commits)" in history_table(history(runs))


def test_the_chart_shows_levels_and_hides_noise() -> None:
    assert chart([1.0, 1.0, 2.0, 2.0]) == "▁▁██"
    assert chart(noisy([1.0] * 10, 0.01)).strip("▁▂") == ""
    assert len(chart([1.0] * 1000)) == 24
    assert chart([]) == ""


def test_the_table_fits_and_names_the_change() -> None:
    values = noisy([0.010] * 8 + [0.012] * 8)
    runs = [run_at(index, value) for index, value in enumerate(values)]
    text = history_table(history(runs, pin=runs[0]))
    assert all(len(line) <= 80 for line in text.splitlines())
    assert f"SLOWER +20 % in {'0' * 8}..{'0' * 8} (2026-01-09): preact 64@8" in text
    assert "Drift since 'r0'" in text


def test_json() -> None:
    runs = [run_at(index, value) for index, value in enumerate(noisy([0.010] * 8 + [0.012] * 8))]
    content = json.loads(history_json(history(runs, pin=runs[0])))
    assert content["schema"] == "resbench.history/1"
    (step,) = content["series"][0]["steps"]
    assert step["change"] == "SLOWER"
    assert content["drift"][PREACT]["change"] == "SLOWER"


def call(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "80"})


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESBENCH_STORE", str(tmp_path / "runs"))
    for run in drifting():
        save(run, run.name)
    return tmp_path / "runs"


def test_the_command(saved: Path) -> None:
    assert call().exit_code == 0
    assert call(str(saved), "--pin", "r4").exit_code == 0
    slower = call("--pin", "r0")
    assert slower.exit_code == 1
    assert "SLOWER" in slower.stdout
    assert json.loads(call("--format", "json").stdout)["series"][0]["case"] == PREACT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "no folder nowhere"),
        (("--select", "uint:*"), "no case matches"),
        (("--pin", "nothing"), "no run 'nothing'"),
        (("--margin", "0"), "margin"),
    ],
)
def test_bad_input(saved: Path, arguments: tuple[str, ...], message: str) -> None:
    result = call(*arguments)
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)


def test_a_damaged_file_is_not_passed_over(saved: Path) -> None:
    (saved / "torn.json").write_text('{"schema"')
    with pytest.raises(UserError, match=r"torn\.json"):
        runs_in(saved)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no runs in"):
        runs_in(tmp_path)
