"""Everything that asv passes over in silence is found, and nothing else."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from asv_samples import PREACT, ROOT, git, history, repository, slowed, timing_run
from typer.testing import CliRunner

from resbench.commands.export import export_app
from resbench.errors import UserError
from resbench.timing.asv_check import check, read_config
from resbench.timing.asv_export import export

pytest.importorskip("asv")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("check") / "repository"
    hashes = repository(folder, 2)
    export(history(hashes, slowed), folder / "baselines" / "asv", repository=folder)
    return folder


@pytest.fixture
def checkout(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "repository"))


def problems(checkout: Path) -> list[str]:
    return check(read_config(checkout / "asv.conf.json"))


def results(checkout: Path) -> list[Path]:
    return sorted((checkout / "baselines/asv/cpu-epyc-7xx3").glob("*-resbench-*.json"))


def rewrite(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_whole_repository_has_no_problems(checkout: Path) -> None:
    assert problems(checkout) == []


def test_own_settings_are_known_to_asv() -> None:
    assert not [line for line in check(read_config(ROOT / "asv.conf.json")) if line.startswith("asv.conf.json")]


def test_committed_results_are_whole() -> None:
    """Files only: a clone in CI may be shallow, or without main."""
    config = read_config(ROOT / "asv.conf.json")
    if not config.results.is_dir():
        pytest.skip("no results are committed yet")
    assert not [line for line in check(config) if line.startswith(str(config.results))]


def misspell(checkout: Path) -> None:
    path = checkout / "asv.conf.json"
    path.write_text(path.read_text().replace('"regressions_thresholds"', '"regression_thresholds"'))


def detach(checkout: Path) -> None:
    """As CI checks out a pull request."""
    git(checkout, "checkout", "--quiet", "--detach")
    git(checkout, "branch", "--delete", "--force", "main")


def elsewhere(checkout: Path) -> None:
    """Results of a commit that a squash left behind."""
    git(checkout, "checkout", "--quiet", "-b", "other")
    git(checkout, "commit", "--quiet", "--allow-empty", "--message", "not on main")
    commit = git(checkout, "rev-parse", "HEAD")
    export([timing_run(commit, {PREACT: 0.004})], checkout / "baselines" / "asv", repository=checkout)
    git(checkout, "checkout", "--quiet", "main")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "unknown key": (misspell, "'regression_thresholds'.*mean 'regressions_thresholds'"),
    "no branch": (detach, "no branch 'main'.*git fetch origin main:main"),
    "other branch": (elsewhere, "neither on main nor a tag"),
    "no repository": (lambda checkout: shutil.rmtree(checkout / ".git"), "is no git repository"),
    "no machine": (lambda checkout: next(checkout.rglob("machine.json")).unlink(), "machine.json is missing"),
    "other machine": (
        lambda checkout: rewrite(next(checkout.rglob("machine.json")), lambda found: found.update(machine="x")),
        "is of machine 'x'",
    ),
    "machine's file cut": (lambda checkout: next(checkout.rglob("machine.json")).write_text("{"), "is not JSON"),
    "cut off": (lambda checkout: results(checkout)[0].write_bytes(results(checkout)[0].read_bytes()[:99]), "not JSON"),
    "no version": (
        lambda checkout: rewrite(results(checkout)[0], lambda found: found.pop("version")),
        'has no "version"',
    ),
    "old version": (
        lambda checkout: rewrite(results(checkout)[0], lambda found: found.update(version=1)),
        "is of format 1",
    ),
    "no results in it": (
        lambda checkout: rewrite(results(checkout)[0], lambda found: found.pop("results")),
        "has no 'results'",
    ),
    "renamed": (
        lambda checkout: results(checkout)[0].rename(results(checkout)[0].parent / "a.json"),
        "should be named",
    ),
    "in another folder": (
        lambda checkout: rewrite(results(checkout)[0], lambda found: found["params"].update(machine="x")),
        "is of machine 'x', not of",
    ),
    "no benchmarks": (
        lambda checkout: (checkout / "baselines/asv/benchmarks.json").unlink(),
        "benchmarks.json cannot be read",
    ),
    "benchmark unknown": (
        lambda checkout: rewrite(
            checkout / "baselines/asv/benchmarks.json", lambda found: found.pop("units.Step.track_cpu")
        ),
        "does not know all of units.Step.track_cpu",
    ),
    "parameter unknown": (
        lambda checkout: rewrite(
            checkout / "baselines/asv/benchmarks.json", lambda found: found["units.Step.track_cpu"]["params"][0].pop()
        ),
        "does not know all of units.Step.track_cpu",
    ),
    "empty": (lambda checkout: shutil.rmtree(checkout / "baselines"), "holds no results"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_is_found_in_one_line(checkout: Path, damage: str) -> None:
    change, message = DAMAGE[damage]
    change(checkout)
    found = problems(checkout)
    assert any(re.search(message, line) for line in found), found
    assert all("\n" not in line for line in found)


def test_shallow_clone_is_found(checkout: Path, tmp_path: Path) -> None:
    """asv publishes it with exit status 0 and no graph."""
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{checkout}", str(tmp_path / "clone"))
    shutil.copytree(checkout / "baselines", tmp_path / "clone" / "baselines")
    assert "git fetch --unshallow" in problems(tmp_path / "clone")[0]


def test_tagged_commits_are_shown(checkout: Path) -> None:
    elsewhere(checkout)
    git(checkout, "tag", "--annotate", "--message", "annotated", "v1", "other")
    assert problems(checkout) == []


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 1}', '{"version": 1, "repo": ".", "branches": []}', None])
def test_unusable_settings_are_one_line(checkout: Path, content: str | None) -> None:
    path = checkout / "asv.conf.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"^[^\n]*asv.conf.json[^\n]*$"):
        problems(checkout)


def test_without_asv_it_says_what_to_install(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asv.config", None)
    with pytest.raises(UserError, match=r"pip install 'resbench\[bench\]'"):
        problems(checkout)


def call(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.add_typer(export_app, name="export")
    done = CliRunner().invoke(app, ["export", *arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def test_command_says_and_fails(checkout: Path) -> None:
    config = str(checkout / "asv.conf.json")
    assert call("check", "--config", config) == (0, "asv will show all results\n")
    misspell(checkout)
    code, out = call("check", "--config", config)
    assert code == 2
    assert "regression_thresholds" in out


def test_command_exports_saved_runs(checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from resbench.timing.store import save

    monkeypatch.setenv("RESBENCH_STORE", str(tmp_path / "store"))
    config = str(checkout / "asv.conf.json")
    with pytest.raises(UserError, match="no run is saved"):
        call("asv", "--config", config)
    commit = git(checkout, "rev-parse", "HEAD")
    save(timing_run(commit, {PREACT: 0.004}), "tuesday")
    code, out = call("asv", "--config", config, "--machine", "mine")
    assert code == 0
    assert f"mine/{commit[:8]}-resbench-torch2.15-cpu.json" in out
    with pytest.raises(UserError, match="wednesday"):
        call("asv", "wednesday", "--config", config)


def test_site_is_not_published_over_a_problem(checkout: Path) -> None:
    misspell(checkout)
    with pytest.raises(UserError, match="regression_thresholds"):
        call("site", "--config", str(checkout / "asv.conf.json"))
    assert not (checkout / ".asv").exists()
