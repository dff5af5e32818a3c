"""A repository set up with nothing said, and its claims judged: `resbench init`, `pytest -m claims`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from repositories import FILES, NET, files, table

from conftest import Run


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    monkeypatch.chdir(folder)
    return folder


def pytest_claims(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-m", "claims", "-q", "-p", "no:cacheprovider"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_repository_with_a_network(run: Run, repository: Path) -> None:
    """From a model file alone to claims that hold, with nothing said."""
    (repository / "model.py").write_text(NET)
    code, out, err = run("init")
    assert code == 0, err
    assert out.startswith("[tool.resbench]: model:Net: 2 units (2 identity), input 3x32x32")
    assert set(files(repository)) == FILES | {"model.py"}
    assert table(repository) == {"target": "model:Net", "input": "3x32x32"}
    done = pytest_claims(repository)
    assert done.returncode == 0, done.stdout
    assert "0 VIOLATED" in done.stdout
    assert "unit-identity-shortcut@target" in done.stdout
    before = files(repository)
    code, out, err = run("init", "--quiet")
    assert code == 0, err
    assert "created" not in out
    assert files(repository) == before


def test_an_empty_repository(run: Run, repository: Path) -> None:
    code, out, _ = run("init")
    assert code == 0
    assert table(repository) == {"kinds": ["exact"]}
    assert "No network of yours is judged yet" in out
    assert "# target =" in (repository / "pyproject.toml").read_text()
    done = pytest_claims(repository)
    assert done.returncode == 0, done.stdout
    assert "@any" in done.stdout
    assert "@target" not in done.stdout
