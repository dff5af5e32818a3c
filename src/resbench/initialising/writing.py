"""The files that `resbench init` writes: planned first, so that all of them are written or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from resbench.configuration import TABLE
from resbench.errors import UserError
from resbench.initialising.repository import Repository
from resbench.records.places import write_atomically

__all__ = ["Change", "planned", "write"]

_STORE = ".resbench/"
"""Where `resbench bench --save` keeps runs."""


@dataclass(frozen=True)
class Change:
    """What becomes of a file.  ``action``: create, edit, replace, keep or skip.  ``why``: of keep and skip."""

    path: Path
    action: str
    content: str = ""
    why: str = ""

    @property
    def writes(self) -> bool:
        return self.action in ("create", "edit", "replace")


def planned(repository: Repository, table: Mapping[str, Any], remarks: Sequence[str], *, force: bool) -> list[Change]:
    """What is written, and what is kept: ``table`` into pyproject.toml under ``remarks``, a test, a workflow.

    Raises:
        UserError: a file is there that says something else, and ``force`` is not given.
    """
    return [
        _project(repository.folder / "pyproject.toml", table, remarks, force=force),
        _test(repository, force=force),
        *_for_git(repository, force=force),
    ]


def write(changes: Sequence[Change]) -> None:
    """Write them.

    Raises:
        UserError: a folder cannot be written.
    """
    for change in changes:
        if change.writes:
            write_atomically(change.path, change.content.encode())


def _project(path: Path, table: Mapping[str, Any], remarks: Sequence[str], *, force: bool) -> Change:
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    try:
        document: Any = tomlkit.parse(text)
    except TOMLKitError as error:
        raise UserError(f"{path}: not valid TOML: {error}; mend it first") from None
    tools = document.get("tool")
    present = None if tools is None else tools.get("resbench")
    if present is not None:
        other = [key for key, value in table.items() if present.get(key) != value]
        if not other:
            return Change(path, "keep", why=f"{TABLE} says so already")
        if not force:
            said = ", ".join(f"{key} = {present[key]!r}" if key in present else f"no {key}" for key in other)
            raise UserError(
                f"{path} has {TABLE} with {said}; change it there, or give --force to have it replaced here"
            )
        for key in other:
            present[key] = table[key]
        return Change(path, "edit", tomlkit.dumps(document))
    new = tomlkit.table()
    for remark in remarks:
        new.add(tomlkit.comment(remark))
    for key, value in table.items():
        new.add(key, value)
    if tools is None:
        parent = tomlkit.table(is_super_table=True)
        parent.add("resbench", new)
        if text and not text.endswith("\n\n"):
            document.add(tomlkit.nl())
        document.add("tool", parent)
    else:
        tools.add("resbench", new)
    return Change(path, "edit" if text else "create", tomlkit.dumps(document))


def _test(repository: Repository, *, force: bool) -> Change:
    there = repository.claims_test()
    if there is not None:
        return Change(there, "keep", why="it has the claims already")
    return _new(repository.tests / "test_claims.py", _template("test_claims.py.txt"), force=force)


def _for_git(repository: Repository, *, force: bool) -> list[Change]:
    """A workflow, and what git is to leave out."""
    path = (repository.git or repository.folder) / ".github" / "workflows" / "resbench.yml"
    if repository.git is None:
        return [Change(path, "skip", why="no git repository: `git init`, and start this again")]
    there = repository.workflow()
    if there is not None:
        return [Change(there, "keep", why="it runs resbench already"), *_ignored(repository)]
    below = repository.folder.relative_to(repository.git).as_posix()
    where = "" if below == "." else f"    defaults:\n      run:\n        working-directory: {below}\n"
    steps = [("pip install -r requirements.txt", repository.requirements), ("pip install -e .", repository.installable)]
    install = "".join(f"      - run: {step}\n" for step, wanted in steps if wanted)
    text = _template("workflow.yml.txt").replace("@WHERE@", where).replace("@INSTALL@", install)
    return [_new(path, text, force=force), *_ignored(repository)]


def _ignored(repository: Repository) -> list[Change]:
    path = repository.folder / ".gitignore"
    text = path.read_text(encoding="utf-8", errors="surrogateescape") if path.is_file() else ""
    if any(line.strip().strip("/") == _STORE.strip("/") for line in text.splitlines()):
        return [Change(path, "keep", why=f"it names {_STORE} already")]
    gap = "" if not text or text.endswith("\n") else "\n"
    return [Change(path, "edit" if text else "create", f"{text}{gap}{_STORE}\n")]


def _new(path: Path, text: str, *, force: bool) -> Change:
    if not path.exists():
        return Change(path, "create", text)
    if path.is_file() and path.read_bytes() == text.encode():
        return Change(path, "keep", why="it is as it should be")
    if not force:
        raise UserError(f"{path} is there and says something else; move it, or give --force to have it replaced")
    return Change(path, "replace", text)


def _template(name: str) -> str:
    return (files("resbench.initialising") / "templates" / name).read_text(encoding="utf-8")
