"""How much is said, and in which colours: one place for ``--quiet``, ``--verbose``, ``--no-color`` and terminals.

The choice is kept in environment variables, so that processes which a command starts talk likewise: ``RESBENCH_QUIET``,
``RESBENCH_VERBOSE`` and ``NO_COLOR`` (https://no-color.org), which users may set themselves as well.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

__all__ = ["coloured", "note", "quiet", "restored", "say", "shows_progress", "verbose"]

_KEPT = ("RESBENCH_QUIET", "RESBENCH_VERBOSE", "NO_COLOR")


@contextmanager
def restored() -> Iterator[None]:
    """What :func:`say` changes holds until this ends: two command lines in one process do not hear each other."""
    before = {name: os.environ.get(name) for name in _KEPT}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def say(*, quiet: bool = False, verbose: bool = False, colours: bool = True) -> None:
    """Choose how much is said from here on; what is not mentioned stays as it is."""
    for name, chosen in zip(_KEPT, (quiet, verbose, not colours), strict=True):
        if chosen:
            os.environ[name] = "1"


def quiet() -> bool:
    """Whether only results and errors are wanted."""
    return bool(os.environ.get("RESBENCH_QUIET"))


def verbose() -> bool:
    """Whether details are wanted."""
    return bool(os.environ.get("RESBENCH_VERBOSE"))


def note(text: str, *, prefix: str = "resbench: ") -> None:
    """A line on standard error about the way to a result, unless quiet.  Errors are no notes: they are always said."""
    if not quiet():
        print(f"{prefix}{text}", file=sys.stderr, flush=True)


def shows_progress() -> bool:
    """Whether a bar is wanted: not when quiet, and nowhere but in a terminal that can move its cursor."""
    return not quiet() and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def coloured(stream: TextIO) -> bool:
    """Whether text on ``stream`` has colours: as rich decides, ``NO_COLOR`` before ``FORCE_COLOR`` before the terminal.

    A variable that is set but empty says nothing.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"
