"""What a folder is: a git repository or not, its layout, its tests, its workflows; nothing of it is run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resbench.errors import UserError
from resbench.toml_files import read_toml

__all__ = ["Repository", "inspected", "python_files"]

_SKIPPED = frozenset({"build", "dist", "docs", "node_modules", "site-packages", "test", "tests", "venv", "__pycache__"})
_NOT_MODULES = frozenset({"setup.py", "conftest.py", "noxfile.py"})
_MOST_FILES = 2000
_LARGEST = 1_000_000


@dataclass(frozen=True)
class Repository:
    """``folder``: what is set up.  ``git``: the folder of the git repository that it is in, None outside.

    ``source``: where its modules are imported from, ``src`` or the folder itself.  ``tests``: where tests are, or will
    be.  ``requirements``: whether there is a requirements.txt; ``installable``: whether pip can install it.
    """

    folder: Path
    git: Path | None
    source: Path
    tests: Path
    requirements: bool
    installable: bool

    def claims_test(self) -> Path | None:
        """A test file that has the claims already."""
        return next((path for path in sorted(self._tests()) if "resbench.suite" in _text(path)), None)

    def _tests(self) -> Iterator[Path]:
        for folder in {self.tests, self.folder}:
            yield from folder.glob("test_*.py")
            yield from folder.glob("*_test.py")

    def workflow(self) -> Path | None:
        """A workflow that runs the claims already."""
        if self.git is None:
            return None
        found = sorted((self.git / ".github" / "workflows").glob("*.y*ml"))
        return next((path for path in found if "-m claims" in _text(path) or "resbench" in _text(path)), None)


def inspected(folder: Path) -> Repository:
    """Look at ``folder``.

    Raises:
        UserError: there is none, or its pyproject.toml is not valid.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; make it first, or give another DIR")
    project = _project(folder / "pyproject.toml")
    source = folder / "src" if any((folder / "src").rglob("*.py")) else folder
    return Repository(
        folder=folder,
        git=next((each for each in (folder, *folder.parents) if (each / ".git").exists()), None),
        source=source,
        tests=_tests_of(folder, project),
        requirements=(folder / "requirements.txt").is_file(),
        installable=(folder / "setup.py").is_file() or "build-system" in project or "project" in project,
    )


def _project(path: Path) -> dict[str, Any]:
    return read_toml(path, str(path)) if path.exists() else {}


def _tests_of(folder: Path, project: dict[str, Any]) -> Path:
    """The first of pytest's ``testpaths``, else the folder of that name which is there, else ``tests``."""
    tools = project.get("tool", {})
    options = tools.get("pytest", {}).get("ini_options", {}) if isinstance(tools, dict) else {}
    paths = options.get("testpaths", []) if isinstance(options, dict) else []
    paths = paths.split() if isinstance(paths, str) else paths
    named = [folder / str(path) for path in paths]
    return next((path for path in (*named, folder / "tests", folder / "test") if path.is_dir()), folder / "tests")


def python_files(repository: Repository) -> Iterator[tuple[str, Path]]:
    """Modules that a target may be in, as they are imported, each with its file; tests and environments left out."""
    found = 0
    for place, folders, files in os.walk(repository.source):
        here = Path(place)
        folders[:] = sorted(name for name in folders if name.isidentifier() and not _skipped(here / name))
        for name in sorted(files):
            path = here / name
            if not name.endswith(".py") or name in _NOT_MODULES or name.startswith("test_") or path.is_symlink():
                continue
            parts = path.relative_to(repository.source).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            if parts and all(part.isidentifier() for part in parts) and path.stat().st_size < _LARGEST:
                found += 1
                yield ".".join(parts), path
            if found >= _MOST_FILES:
                return


def _skipped(folder: Path) -> bool:
    return folder.name in _SKIPPED or folder.name.startswith(".") or (folder / "pyvenv.cfg").exists()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
