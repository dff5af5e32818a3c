"""The examples, run as a user would: in a copy of their folder, by the commands of their README."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture
def own_model(tmp_path: Path) -> Path:
    return shutil.copytree(
        EXAMPLES / "own_model", tmp_path / "own_model", ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache")
    )


def _pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "RESBENCH"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "claims", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={**environment, "OMP_NUM_THREADS": "1", "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_repository_that_watches_its_own_network(own_model: Path) -> None:
    done = _pytest(own_model)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "HOLDS   unit-identity-shortcut@target" in done.stdout
    assert "HOLDS   unit-gradient-reaches-all@target" in done.stdout
    assert " 0 VIOLATED" in done.stdout


def test_it_fails_and_names_the_units_when_the_shortcut_is_scaled(own_model: Path) -> None:
    model = own_model / "mymodel.py"
    whole = model.read_text()
    assert whole.count("self.shortcut(x) + branch") == 1
    model.write_text(whole.replace("self.shortcut(x) + branch", "0.9 * self.shortcut(x) + branch"))
    done = _pytest(own_model, "--pyargs", "resbench", "-k", "unit-identity-shortcut or unit-eval-deterministic")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed" in done.stdout
    assert "blocks.1: its output is 0.9 x its input" in " ".join(done.stdout.split())


def test_it_takes_fewer_than_ten_lines(own_model: Path) -> None:
    """Of what is there for resbench: the configuration and the test file, without documentation."""
    configuration = (own_model / "pyproject.toml").read_text()
    assert tomllib.loads(configuration)["tool"]["pytest"]["ini_options"]["resbench_target"] == "mymodel:build"
    code = [*configuration.splitlines(), *(own_model / "test_claims.py").read_text().splitlines()]
    assert len([line for line in code if line and not line.startswith('"""')]) < 10
    workflow = (own_model / ".github" / "workflows" / "test.yml").read_text()
    assert "run: pytest -m claims" in workflow
    assert "\npytest -m claims\n" in (own_model / "README.md").read_text()
