"""What ``resbench ab`` compares: a git revision, an installed copy, or a model, as the side of a pair of workers."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from resbench.errors import UserError
from resbench.timing.processes import Side, here

__all__ = ["Subject", "changed_files", "resolved", "root"]

Kind = Literal["revision", "copy", "model"]


@dataclass(frozen=True)
class Subject:
    """One side as it was named, what it was taken for, and how its code is run.

    ``description``: for people, with the commit of a revision.  ``model``: the model's name, else empty.
    """

    named: str
    kind: Kind
    description: str
    side: Side
    model: str = ""
    commit: str = ""


@contextmanager
def resolved(text: str, *, label: str) -> Iterator[Subject]:
    """``text`` as a side: a folder (a checkout, or a virtual environment), a git revision, or a model.

    In this order; a revision is checked out into a folder of its own, which goes again afterwards.  ``.`` is the
    working tree as it is, uncommitted changes included.

    Raises:
        UserError: it is none of these, or holds no resbench.
    """
    folder = Path(text)
    if folder.is_dir():
        yield _copy(folder, text, label)
        return
    commit = _commit(text)
    if commit is not None:
        with _worktree(commit) as tree:
            side = Side(label, paths=(_source(tree, text),))
            yield Subject(text, "revision", f"{text} ({commit[:9]})", side, commit=commit)
        return
    if ":" in text or _in_zoo(text):
        yield Subject(text, "model", text, here(label), model=text)
        return
    raise UserError(
        f"'{text}' is no git revision here, no folder with resbench and no model; a checkout that CI made may lack "
        f"it: git fetch --unshallow"
    )


def root() -> Path | None:
    """The top of the git checkout that the current folder lies in; None outside of one."""
    found = _git("rev-parse", "--show-toplevel")
    return Path(found) if found else None


def changed_files(base: Subject, head: Subject) -> list[str] | None:
    """The files that differ between two sides of one repository, from its top; None where that cannot be told."""
    if not base.commit:
        return None
    if head.commit:
        listed = _git("diff", "--name-only", base.commit, head.commit)
    elif head.kind == "copy" and root() is not None and Path(head.named).resolve() == root():
        tracked = _git("diff", "--name-only", base.commit)
        untracked = _git("ls-files", "--others", "--exclude-standard", "--full-name")
        listed = None if tracked is None or untracked is None else f"{tracked}\n{untracked}"
    else:
        return None
    return None if listed is None else [line for line in listed.splitlines() if line]


def _copy(folder: Path, text: str, label: str) -> Subject:
    for python in (folder / "bin" / "python", folder / "Scripts" / "python.exe"):
        if python.is_file():
            return Subject(
                text, "copy", f"{text} (an environment)", Side(label, python=str(python.absolute()), inherit=False)
            )
    return Subject(text, "copy", f"{text} (a folder)", Side(label, paths=(_source(folder.resolve(), text),)))


def _source(folder: Path, text: str) -> Path:
    for candidate in (folder / "src", folder):
        if (candidate / "resbench" / "__init__.py").is_file():
            return candidate
    raise UserError(f"{text}: there is no resbench in it (neither src/resbench nor resbench nor bin/python)")


def _in_zoo(name: str) -> bool:
    from resbench.networks import zoo

    return name in zoo.names()


def _commit(text: str) -> str | None:
    if text.startswith("-"):
        return None
    return _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{text}^{{commit}}")


@contextmanager
def _worktree(commit: str) -> Iterator[Path]:
    """The files of ``commit`` in a folder of their own.

    By ``git archive``, which unlike ``git worktree`` leaves no trace in the repository if this process is killed.
    """
    folder = Path(tempfile.mkdtemp(prefix="resbench-ab-"))
    try:
        _unpack(commit, folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpack(commit: str, folder: Path) -> None:
    packed = subprocess.run(
        ["git", "-C", str(root()), "archive", commit, "--", "src/resbench"], capture_output=True, check=False
    )
    if packed.returncode:
        raise UserError(f"{commit[:9]}: there is no src/resbench in this revision")
    try:
        subprocess.run(["tar", "-x", "-C", str(folder)], input=packed.stdout, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(f"cannot unpack {commit[:9]} into {folder}: is the disk full?") from error


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
