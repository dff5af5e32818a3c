"""The lines of a repository that a verdict is about: where an annotation goes.

A verdict on resbench's own networks is about the line of its claim, where resbench is what is checked out.  One on a
user's network is about the line that names this network, in the configuration or in a test; one that is waived, or a
waiver that fails a run, about the waiver's entry.  Where none of these is found there is no line: the annotation is
then the job's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from resbench.claims.lines import claim_lines

__all__ = ["Line", "claims_in", "repository", "target_line", "waiver_lines_in"]

_CONFIGURATION = ("pyproject.toml", "pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg")
_FOLDERS = ("", "tests", "test")
_MOST_FILES = 500
_SUITE = re.compile(r"^\s*(?:from|import)\s+resbench\.suite\b")
_MARKS = (".git", ".hg", ".jj")


@dataclass(frozen=True)
class Line:
    """``file``: from the top of the repository, with slashes; ``number`` from 1."""

    file: str
    number: int


def repository(start: Path) -> Path | None:
    """The top folder of the repository that ``start`` lies in; None outside of one."""
    folders = [start.resolve(), *start.resolve().parents]
    return next((folder for folder in folders if any((folder / mark).exists() for mark in _MARKS)), None)


def claims_in(root: Path) -> Mapping[str, Line]:
    """The line of every claim whose file belongs to the repository at ``root``; an installed copy does not."""
    found = {}
    for id, (file, number) in claim_lines().items():
        line = _line(root, file, number)
        if line is not None and not {"site-packages", "dist-packages"} & set(file.parts):
            found[id] = line
    return found


def target_line(root: Path, start: Path, target: str) -> Line | None:
    """Where the repository says that ``target`` is judged: its configuration, else a test that names it, or the suite.

    Looked for in ``start`` and at the top, and in their folders of tests.
    """
    tops = list(dict.fromkeys((start.resolve(), root.resolve())))
    named = re.compile(rf"(?<![\w.:]){re.escape(target)}(?![\w.:])")
    places = (
        (named, (top / name for top in tops for name in _CONFIGURATION)),
        (named, _tests(tops)),
        (_SUITE, _tests(tops)),
    )
    for pattern, files in places:
        for file in files:
            number = next((number for number, line in _numbered(file) if pattern.search(line)), None)
            if number is not None:
                return _line(root, file, number)
    return None


def waiver_lines_in(root: Path, file: Path, names: Iterable[str]) -> Mapping[str, Line]:
    """The line ``claim = "..."`` of each entry of a file of waivers, by the entry's name, ``id`` or ``id@setting``."""
    found: dict[str, Line] = {}
    wanted = set(names)
    entries: list[tuple[int, str, str]] = []
    for number, text in _numbered(file):
        match = re.match(r"""\s*(claim|setting)\s*=\s*["']([^"']*)["']""", text)
        if re.match(r"\s*\[\[waiver\]\]", text):
            entries.append((0, "", ""))
        elif match and entries:
            line, claim, setting = entries[-1]
            entries[-1] = (number, match[2], setting) if match[1] == "claim" else (line, claim, match[2])
    for number, claim, setting in entries:
        name = f"{claim}@{setting}" if setting else claim
        line_of = _line(root, file, number)
        if name in wanted and line_of is not None:
            found[name] = line_of
    return found


def _tests(tops: Iterable[Path]) -> Iterator[Path]:
    seen = 0
    for top in tops:
        for folder in _FOLDERS:
            pattern = "**/test_*.py" if folder else "test_*.py"
            for file in sorted((top / folder).glob(pattern)):
                seen += 1
                if seen > _MOST_FILES:
                    return
                yield file


def _numbered(file: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file; none where it cannot be read."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return iter(())
    return enumerate(lines, start=1)


def _line(root: Path, file: Path, number: int) -> Line | None:
    real, top = file.resolve(), root.resolve()
    return Line(real.relative_to(top).as_posix(), number) if real.is_relative_to(top) else None
