"""Every command of the command line, whatever there is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from resbench.cli import app


def root() -> Any:
    return get_command(app)


def commands(command: Any = None, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands and groups with the words that lead to them; ``resbench`` itself has none."""
    command = command or root()
    yield words, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*words, name))


NAMED = {" ".join(words) or "resbench": (words, command) for words, command in commands()}
