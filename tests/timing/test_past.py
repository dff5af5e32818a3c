"""Past commits in turn, with workers that measure nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
import typer
from asv_samples import ORIGINAL, PREACT, git, repository
from typer.testing import CliRunner

from resbench.commands.export import export_app
from resbench.errors import UserError
from resbench.timing.asv_export import export
from resbench.timing.history_run import HISTORY, chosen, not_everywhere
from resbench.timing.past import PastOptions, run_past
from resbench.timing.processes import Side, WorkerDied
from resbench.timing.sides import Subject
from resbench.timing.worker.case import Case, CaseError
from resbench.timing.worker.grid import select

Answer = Callable[["FakeWorker", str, dict[str, Any]], float]


class Log(list[tuple[str, str]]):
    """Who was asked what, in order; and who was started and ended how often."""

    def __init__(self) -> None:
        super().__init__()
        self.started, self.ended = Counter[str](), Counter[str]()


class FakeWorker:
    """Answers at once; ``seconds`` says what a step takes, or raises."""

    def __init__(self, name: str, log: Log, seconds: Answer):
        self.name, self.log, self.seconds = name, log, seconds
        self.case = ""
        log.started[name] += 1

    def __enter__(self) -> FakeWorker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.log.ended[self.name] += 1

    def greet(self) -> dict[str, Any]:
        return {"pid": 1}

    def ask(self, action: str, **arguments: Any) -> dict[str, Any]:
        self.log.append((self.name, action))
        if action == "prepare":
            self.case = arguments["case"]["subject"]
        seconds = self.seconds(self, action, arguments)
        if action == "warm":
            return {"steps": 1, "warmup": 3, "steady": True}
        return {"seconds": seconds} if action == "time" else {}


def subjects(*names: str) -> list[Subject]:
    return [Subject(name, "revision", name, Side(name), commit=name) for name in names]


def times(names: str, wanted: Answer, timed: tuple[Case, ...] = (PREACT,), **options: Any) -> tuple[Log, list[Any]]:
    log = Log()
    chosen_options = PastOptions(**{"rounds": 1, "seconds": 0.0, **options})
    runs = run_past(
        subjects(*names),
        timed,
        chosen_options,
        start=lambda one: FakeWorker(one.commit, log, wanted),  # type: ignore[arg-type, return-value]
    )
    return log, runs


def steady(worker: FakeWorker, action: str, arguments: dict[str, Any]) -> float:
    return {"A": 0.01, "B": 0.02}.get(worker.name, 0.03)


def test_commits_take_turns_block_by_block() -> None:
    log, _ = times("ABC", steady)
    blocks = [name for name, action in log[log.index(("C", "warm")) + 2 :] if action == "time"]
    assert "".join(blocks) == "AABBCCBBCCAACCAABB" * 2


def test_blocks_are_the_same_work_everywhere() -> None:
    """Of the fastest commit's steps, each at least the length of a block."""
    _, runs = times("AB", lambda worker, action, _: 0.0001 if worker.name == "A" else 0.0002)
    assert {record.rounds[0].steps for run in runs for record in run.records} == {40}


def test_samples_last_as_long_as_asked() -> None:
    _, runs = times("AB", steady, seconds=0.5)
    fewest = [len(run.records[0].rounds[0].seconds) for run in runs]
    assert fewest == [50, 50]


def test_a_run_is_of_its_commit_and_names_the_ruler() -> None:
    log, runs = times("AB", steady, rounds=2, timed=(PREACT, ORIGINAL))
    assert [run.environment["git"] for run in runs] == [{"commit": name, "dirty": False} for name in "AB"]
    assert all("ruler" in run.environment for run in runs)
    assert [[len(record.rounds) for record in run.records] for run in runs] == [[2, 2], [2, 2]]
    assert log.started == log.ended == {"A": 2, "B": 2}
    assert runs[1].records[0].rounds[0].seconds == (0.02,) * 6


def test_a_commit_without_the_case_is_missing_and_the_others_are_not() -> None:
    def lacking(worker: FakeWorker, action: str, arguments: dict[str, Any]) -> float:
        if action == "prepare" and worker.name == "A" and worker.case == PREACT.subject:
            raise CaseError("unit:preact: not in this revision")
        return 0.01

    log, runs = times("AB", lacking, rounds=3, timed=(PREACT, ORIGINAL))
    first, second = runs
    assert [record.error for record in first.records] == ["unit:preact: not in this revision", ""]
    assert [len(record.rounds) for record in second.records] == [3, 3]
    assert list(not_everywhere(runs)) == [
        f"{PREACT.key} was not measured at 1 of 2 commits (A: unit:preact: not in this revision)"
    ]
    # It is not asked again in the rounds that follow.
    assert log.count(("A", "prepare")) == 1 + 3


def test_a_process_that_dies_is_replaced_and_its_case_is_missing() -> None:
    def dying(worker: FakeWorker, action: str, arguments: dict[str, Any]) -> float:
        if action == "time" and worker.name == "B" and worker.case == PREACT.subject and worker.log.started["B"] == 1:
            raise WorkerDied("killed by signal 9")
        return 0.01

    log, runs = times("AB", dying, timed=(PREACT, ORIGINAL))
    assert [record.error for record in runs[1].records] == ["its process ended: killed by signal 9", ""]
    assert [record.error for record in runs[0].records] == ["", ""]
    assert log.started["B"] == log.ended["B"] == 2


def test_all_processes_end_when_one_does_not_start() -> None:
    log = Log()

    def start(one: Subject) -> FakeWorker:
        if one.commit == "B":
            raise UserError("B: does not run")
        return FakeWorker(one.commit, log, steady)

    with pytest.raises(UserError, match="does not run"):
        run_past(subjects("A", "B"), [PREACT], PastOptions(1, 0.0), start=start)  # type: ignore[arg-type]
    assert log.ended["A"] == 1


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ten commits, every other one of which changes src/; those, oldest first."""
    folder = tmp_path / "repository"
    repository(folder, 1)
    changing = []
    for index in range(10):
        part = "src" if index % 2 == 0 else "docs"
        (folder / part).mkdir(exist_ok=True)
        (folder / part / "file").write_text(str(index))
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "--message", str(index))
        if part == "src":
            changing.append(git(folder, "rev-parse", "HEAD"))
    monkeypatch.chdir(folder)
    return changing


def test_a_range_means_its_commits_that_changed_the_code(checkout: list[str]) -> None:
    assert chosen(["HEAD~10..main"], 8) == checkout
    assert chosen(["HEAD~10..main"], 3) == [checkout[0], checkout[2], checkout[4]]
    assert chosen(["HEAD~10..main"], 1) == [checkout[-1]]
    assert chosen([checkout[2], checkout[0], f"{checkout[3]}..main"], 9) == [checkout[0], checkout[2], checkout[4]]


@pytest.mark.parametrize("revision", ["nowhere", "nowhere..main", "--all", "main..main", "HEAD~1..main"])
def test_a_revision_that_is_none_is_one_line(checkout: list[str], revision: str) -> None:
    git(Path.cwd(), "commit", "--quiet", "--allow-empty", "--message", "nothing")
    with pytest.raises(UserError, match=r"^[^\n]+$"):
        chosen([revision], 3)


def test_every_pattern_of_the_history_means_a_default_case() -> None:
    """So that the results of `asv run` and of the history stand in one graph."""
    for pattern in HISTORY:
        assert select([pattern], "default")


def test_command_plans_and_writes(checkout: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()
    app.add_typer(export_app, name="export")
    planned = CliRunner().invoke(app, ["export", "history", "HEAD~9..main", "--count", "2", "--plan"])
    assert planned.exit_code == 0
    assert checkout[-1][:9] in planned.output
    assert PREACT.key in planned.output
    assert f"2 commits, {len(select(HISTORY, 'default'))} cases, 5 rounds: about" in planned.output

    monkeypatch.setattr(
        "resbench.timing.history_run.measured",
        lambda commits, timed, options: [
            run for commit in commits for run in times([commit], steady, tuple(timed), rounds=options.rounds)[1]
        ],
    )
    written = CliRunner().invoke(app, ["export", "history", "main", "--rounds", "2", "--machine", "here"])
    assert written.exit_code == 0, written.output
    assert f"here/{checkout[-1][:8]}-resbench-torch" not in written.output  # the last commit changed docs/
    assert len(list(Path("baselines/asv/here").glob("*-resbench-torch*.json"))) == 1


def test_runs_of_the_history_are_exported(checkout: list[str], tmp_path: Path) -> None:
    runs = times([checkout[0], checkout[1]], steady)[1]  # type: ignore[arg-type]
    done = export(runs, tmp_path / "results", repository=Path.cwd())
    assert len(done.files) == 4
    assert not done.missing
