"""The workflows of examples/ci: valid, careful, and their commands are ones that there are."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from ruamel.yaml import YAML

from resbench.cli import app

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "ci"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
OFFICIAL = re.compile(r"actions/[a-z-]+@v\d+")
COMMAND = typer.main.get_command(app)


def ids(path: Path) -> str:
    return path.name


each = pytest.mark.parametrize("path", WORKFLOWS, ids=ids)


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(path.read_text())
    return found


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in read(path)["jobs"].values():
        yield from job["steps"]


def test_they_are_there() -> None:
    assert [path.name for path in WORKFLOWS] == ["claims.yml", "pages.yml", "throughput.yml"]


def test_they_follow_githubs_schema() -> None:
    """Which check-jsonschema brings along: no network."""
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, WORKFLOWS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="actionlint is not installed: it is a Go program")
def test_actionlint_finds_nothing() -> None:
    done = subprocess.run(["actionlint", *map(str, WORKFLOWS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@each
def test_actions_are_githubs_own_by_major_version(path: Path) -> None:
    used = [step["uses"] for step in steps(path) if "uses" in step]
    assert used
    assert all(OFFICIAL.fullmatch(name) for name in used), used


@each
def test_shell_gets_values_by_environment_only(path: Path) -> None:
    """An expression in a script is replaced before the shell reads it: whoever names a branch could write commands."""
    for step in steps(path):
        assert "${{" not in step.get("run", ""), step
        for value in step.get("env", {}).values():
            assert not re.search(r"head_ref|\.title|\.body|head\.ref|\.message|\.label", str(value)), value


@each
def test_permissions_are_few(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {}, "nothing that a job does not ask for"
    for name, job in workflow["jobs"].items():
        writes = {key for key, value in job["permissions"].items() if value == "write"}
        assert writes == ({"pages", "id-token"} if name == "deploy" else set())
        assert job["timeout-minutes"] <= 30
    for step in steps(path):
        if step.get("uses", "").startswith("actions/checkout"):
            assert step["with"]["persist-credentials"] is False
    assert "pull_request_target" not in path.read_text()
    assert workflow["concurrency"]["group"]


@each
def test_downloads_are_cached(path: Path) -> None:
    (python,) = [step for step in steps(path) if step.get("uses", "").startswith("actions/setup-python")]
    assert python["with"]["cache"] == "pip"
    assert path.name in python["with"]["cache-dependency-path"]


def commands(text: str) -> list[list[str]]:
    """The arguments of every line that calls resbench."""
    joined = re.sub(r"\\\n\s*", " ", text)
    return [shlex.split(line)[1:] for line in joined.splitlines() if line.strip().startswith("resbench ")]


ALL = [
    pytest.param(arguments, id=f"{path.stem}: {' '.join(arguments)[:40]}")
    for path in WORKFLOWS
    for step in steps(path)
    for arguments in commands(step.get("run", ""))
]


def parsed(arguments: list[str]) -> None:
    """Raises: KeyError for a command that there is not; typer's UsageError for an option, a value or a choice."""
    command: Any = COMMAND
    while hasattr(command, "commands"):
        command, arguments = command.commands[arguments[0]], arguments[1:]
    command.make_context("resbench", [one for one in arguments if one != "${since[@]}"])


@pytest.mark.parametrize("arguments", ALL)
def test_every_command_and_option_is_one_that_there_is(arguments: list[str]) -> None:
    parsed(arguments)


@pytest.mark.parametrize(
    "line",
    [
        "chekc",
        "check --formatt github",
        "check --format githubb",
        "check --out",
        "export sites",
        "diff a",
        "diff a b c",
    ],
)
def test_what_is_not_there_would_be_found(line: str) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 (typer's copy of click is its own affair)
        parsed(line.split())
    kinds = {kind.__name__ for kind in type(caught.value).__mro__}
    assert kinds & {"UsageError", "KeyError"}, caught.value


def test_the_shell_knows_its_own_language() -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    for path in WORKFLOWS:
        for step in steps(path):
            done = subprocess.run([bash, "-n"], input=step.get("run", ""), text=True, capture_output=True, check=False)
            assert done.returncode == 0, (path.name, done.stderr)


def test_the_options_of_the_array_are_options_too() -> None:
    """``since=(--since last)``: what the line for `check` gets where there is an earlier run."""
    (judge,) = [step["run"] for step in steps(FOLDER / "claims.yml") if step.get("name") == "Judge"]
    extra = re.search(r"since=\((--[^)]+)\)", judge)
    assert extra
    (arguments,) = commands(judge)
    parsed([*arguments, *shlex.split(extra[1])])


def test_the_readme_names_each() -> None:
    text = (FOLDER / "README.md").read_text()
    assert all(f"`{path.name}`" in text for path in WORKFLOWS)
