"""Damaged files of a store that is written to: renamed, told in a line, and never a success.

A record that cannot be read must neither stop a run of hours nor vanish.  It is renamed beside its place,
``single_deletion.json.damaged-1``, and what it held is made anew; the command that did so ends with exit code 1.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resbench.errors import Damaged, UserError

__all__ = ["notice", "noticing", "set_aside"]

_open: list[list[str]] = []


@contextmanager
def noticing() -> Iterator[list[str]]:
    """What is set aside while this is open, in this process; of nested ones the innermost is told."""
    found: list[str] = []
    _open.append(found)
    try:
        yield found
    finally:
        _open.remove(found)


def notice(what: str) -> None:
    """Something was set aside; for what another process did and said."""
    if _open:
        _open[-1].append(what)


def set_aside(damage: Damaged, then: str) -> Path:
    """Rename the damaged file to the first free ``*.damaged-N`` beside it; returns where it is.

    ``then``: what becomes of its place, ``measured again``.  The folder's other files are left as they are.

    Raises:
        UserError: it cannot be renamed; it is still where it was.
    """
    path = damage.path
    try:
        target = _reserved(path)
        try:
            os.replace(path, target)
        except OSError:
            target.unlink()
            raise
    except FileNotFoundError:  # another process of this run was faster, and said so
        return path
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path}: {damage.what}, and cannot be set aside: {reason}; {damage.way_out}") from error
    print(f"resbench: {path}: {damage.what}; set aside as {target.name}, {then}", file=sys.stderr, flush=True)
    notice(str(target))
    return target


def _reserved(path: Path) -> Path:
    """A name that nobody has, made here: two processes never rename onto one another's."""
    for number in itertools.count(1):
        target = path.with_name(f"{path.name}.damaged-{number}")
        try:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            continue
        return target
    raise AssertionError  # the count has no end
