"""The errors that a user can cause: one clear line, exit code 2."""

from __future__ import annotations

__all__ = ["NotMeasured", "Stale", "UserError"]


class UserError(Exception):
    """Bad usage or bad input; its message is one line that says what to do."""


class NotMeasured(Exception):
    """What a claim needs has not been measured in this setting; the message says what is missing.

    Not a failure and never green: the claim's verdict is NOT_MEASURED with this message as its reason.
    """


class Stale(Exception):
    """The evidence is intact, but of another recipe or data set than the present ones; the message says which."""
