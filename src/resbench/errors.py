"""The errors that a user can cause: one clear line, exit code 2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Damaged", "NotMeasured", "Stale", "UserError", "of_option"]


class UserError(Exception):
    """Bad usage or bad input; its message is one line that says what to do."""


@contextmanager
def of_option(name: str) -> Iterator[None]:
    """Bad input found inside is that of an option: its message begins with the option's ``name``."""
    try:
        yield
    except UserError as error:
        if type(error) is not UserError or str(error).startswith(name):
            raise
        raise UserError(f"{name}: {error}") from error


class Damaged(UserError):
    """A file of resbench's own is not what was once written.

    Who only reads ends with it as with any bad input; who writes to the store sets the file aside
    (:func:`resbench.records.aside.set_aside`) and makes it anew.  A file that cannot be *opened*, or that a newer
    resbench wrote, is not damaged.
    """

    def __init__(self, path: Path, what: str, way_out: str):
        super().__init__(f"{path}: {what}; {way_out}")
        self.path, self.what, self.way_out = path, what, way_out

    def __reduce__(self) -> tuple[type[Damaged], tuple[Path, str, str]]:
        return Damaged, (self.path, self.what, self.way_out)


class NotMeasured(Exception):
    """What a claim needs has not been measured in this setting; the message says what is missing.

    Not a failure and never green: the claim's verdict is NOT_MEASURED with this message as its reason.
    """


class Stale(Exception):
    """The evidence is intact, but of another recipe or data set than the present ones; the message says which."""
