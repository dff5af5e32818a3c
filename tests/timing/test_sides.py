"""What the sides of a comparison are taken for, and which cases a change can touch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from resbench.errors import UserError
from resbench.timing.sides import changed_files, resolved
from resbench.timing.touched import reachable, touched
from resbench.timing.worker.case import Case

_REPOSITORY = Path(__file__).resolve().parents[2]


def _git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three commits: no package; the package; a change in it.  The working tree has one more change."""
    folder = tmp_path / "repository"
    package = folder / "src" / "resbench"
    (package / "networks").mkdir(parents=True)
    _git(folder, "init", "-q", "-b", "main")
    (folder / "README.md").write_text("first")
    _git(folder, "add", "-A")
    _git(folder, "commit", "-q", "-m", "one")
    for name in ("__init__.py", "networks/__init__.py", "networks/variants.py", "networks/zoo.py"):
        (package / name).write_text("")
    _git(folder, "add", "-A")
    _git(folder, "commit", "-q", "-m", "two")
    (package / "networks" / "variants.py").write_text("VERSION = 3\n")
    _git(folder, "commit", "-q", "-a", "-m", "three")
    (package / "networks" / "zoo.py").write_text("VERSION = 4\n")
    (package / "networks" / "added.py").write_text("")
    monkeypatch.chdir(folder)
    return folder


def test_a_revision_is_unpacked_and_goes_again(repository: Path) -> None:
    with resolved("HEAD~1", label="base") as side:
        assert side.kind == "revision"
        (source,) = side.side.paths
        assert (source / "resbench" / "networks" / "variants.py").read_text() == ""
        assert side.commit[:9] in side.description
    assert not source.exists()
    done = subprocess.run(["git", "worktree", "list"], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 1


def test_the_working_tree_is_taken_as_it_is(repository: Path) -> None:
    with resolved(".", label="head") as side:
        assert side.kind == "copy"
        assert (side.side.paths[0] / "resbench" / "networks" / "zoo.py").read_text() == "VERSION = 4\n"


def test_an_environment_runs_with_its_own_python(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    with resolved(str(tmp_path), label="head") as side:
        assert side.side.python == str(tmp_path / "bin" / "python")
        assert side.side.paths == ()


@pytest.mark.parametrize("name", ["resnet20", "torchvision:resnet18", "package.module:build"])
def test_models(name: str, repository: Path) -> None:
    with resolved(name, label="head") as side:
        assert (side.kind, side.model) == ("model", name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no-such-branch", "'no-such-branch' is no git revision here, no folder with resbench and no model"),
        ("--all", "is no git revision here"),
        ("HEAD~2", "there is no src/resbench in this revision"),
        ("src", "there is no resbench in it"),
    ],
)
def test_what_is_none_of_these_is_one_line(text: str, message: str, repository: Path) -> None:
    (repository / "src" / "resbench" / "__init__.py").unlink()
    with pytest.raises(UserError, match=message), resolved(text, label="base"):
        pass


def test_outside_of_a_repository_there_are_no_revisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="is no git revision here"), resolved("HEAD", label="base"):
        pass


def test_changed_files_of_revisions_and_of_the_working_tree(repository: Path) -> None:
    variants, zoo, added = (f"src/resbench/networks/{name}.py" for name in ("variants", "zoo", "added"))
    with resolved("HEAD~1", label="base") as base:
        with resolved("HEAD", label="head") as head:
            assert changed_files(base, head) == [variants]
        with resolved(".", label="head") as head:
            assert set(changed_files(base, head) or []) == {variants, zoo, added}
        with resolved("resnet20", label="head") as head:
            assert changed_files(base, head) is None


def test_what_a_module_can_import(tmp_path: Path) -> None:
    package = tmp_path / "resbench"
    (package / "networks").mkdir(parents=True)
    texts = {
        "__init__": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from resbench.unseen import x\n",
        "unseen": "",
        "errors": "",
        "inside": "import resbench.errors\n",
        "networks/__init__": "",
        "networks/units": "def f():\n    from resbench import inside\n",
        "networks/zoo": "from .units import f\n",
        "networks/other": "",
    }
    for name, text in texts.items():
        (package / f"{name}.py").write_text(text)
    found = reachable("resbench.networks.zoo", tmp_path)
    names = ["resbench", "resbench.networks", "resbench.networks.zoo", "resbench.networks.units"]
    assert found == {*names, "resbench.inside", "resbench.errors"}


_CASES = [
    Case("unit:preact", "64@8"),
    Case("peer:torchvision.BasicBlock", "64@8"),
    Case("net:resnet20", "3x32x32"),
    Case("engine:lesion-single", "-"),
]


@pytest.mark.parametrize(
    ("file", "reached"),
    [
        ("src/resbench/networks/units.py", [0, 2, 3]),
        ("src/resbench/networks/residual.py", [2, 3]),
        ("src/resbench/experiments/lesion.py", [3]),
        ("src/resbench/reports/board.py", []),
        ("README.md", []),
        ("pyproject.toml", [0, 1, 2, 3]),
    ],
)
def test_which_cases_a_change_can_touch(file: str, reached: list[int]) -> None:
    assert touched(_CASES, [file], [_REPOSITORY / "src"]) == [_CASES[index] for index in reached]
