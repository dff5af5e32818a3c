"""What a job on GitHub tells its server: annotations, by workflow commands on its output, and the job's summary.

Escaped as GitHub's own toolkit does (``actions/toolkit``, ``packages/core/src/command.ts``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

from resbench.errors import UserError
from resbench.reports.words import clean, cut

__all__ = [
    "MOST",
    "SUMMARY_LIMIT",
    "Annotation",
    "Level",
    "append_summary",
    "check_summary",
    "command",
    "fitted",
    "limited",
]

Level = Literal["error", "warning", "notice"]

MOST = 10
"""As many annotations of a level are shown of one step; GitHub drops the rest."""

SUMMARY_LIMIT = 1024 * 1024
"""The bytes of one step's summary; GitHub shows nothing of a longer one."""

_TITLE, _MESSAGE = 250, 4000


@dataclass(frozen=True)
class Annotation:
    """``lines``: the message.  ``file``: from the top of the repository; empty where it is of no file."""

    level: Level
    title: str
    lines: Sequence[str]
    file: str = ""
    line: int = 0


def command(annotation: Annotation) -> str:
    """The workflow command, one line whatever the texts hold; a file whose name cannot be printed is left out."""
    named = annotation.file and annotation.file.isprintable()
    where = {"file": annotation.file, "line": str(annotation.line or "")} if named else {}
    fields = {**where, "title": cut(clean(annotation.title), _TITLE)}
    properties = ",".join(f"{key}={_property(value)}" for key, value in fields.items() if value)
    message = cut("\n".join(map(clean, annotation.lines)), _MESSAGE)
    return f"::{annotation.level}{' ' if properties else ''}{properties}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def limited(annotations: Sequence[Annotation], rest: str) -> list[Annotation]:
    """As many of each level as GitHub shows, in their order; the last of a level then counts the others.

    ``rest``: where these can be read.
    """
    kept: list[Annotation] = []
    levels: tuple[Level, ...] = ("error", "warning", "notice")
    for level in levels:
        mine = [one for one in annotations if one.level == level]
        if len(mine) > MOST:
            left = len(mine) - MOST + 1
            mine = [*mine[: MOST - 1], Annotation(level, f"resbench: {left} more", [f"{left} more {level}s: {rest}"])]
        kept += mine
    return kept


def fitted(parts: Sequence[str], limit: int, left_out: str) -> str:
    """Paragraphs of Markdown as far as ``limit`` bytes hold them, and then how many are missing.

    ``left_out``: where these can be read.
    """
    whole = "\n\n".join(parts) + "\n"
    if len(whole.encode()) <= limit:
        return whole
    kept: list[str] = []
    room = limit - len(f"**{len(parts)} of {len(parts)} sections are left out** {left_out}\n".encode())
    for part in parts:
        room -= len(part.encode()) + 2
        if room < 0:
            break
        kept.append(part)
    note = f"**{len(parts) - len(kept)} of {len(parts)} sections are left out** {left_out}"
    text = "\n\n".join([*kept, note]) + "\n"
    return text if len(text.encode()) <= limit else ""


def append_summary(path: str, parts: Sequence[str], left_out: str) -> None:
    """Append Markdown to the file of a step's summary, no more than GitHub shows.

    Raises:
        UserError: the file cannot be written.
    """
    there = Path(path).stat().st_size if Path(path).exists() else 0
    with _appending(path) as file:
        file.write(fitted(parts, max(SUMMARY_LIMIT - there, 0), left_out))


def check_summary(path: str) -> None:
    """Fail before measuring, not after.

    Raises:
        UserError: the file cannot be written.
    """
    with _appending(path):
        pass


@contextmanager
def _appending(path: str) -> Iterator[TextIO]:
    try:
        with open(path, "a", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise UserError(f"cannot write GITHUB_STEP_SUMMARY {path}: {error.strerror or error}") from error
