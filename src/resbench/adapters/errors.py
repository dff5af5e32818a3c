"""What adapting a model can fail with."""

from __future__ import annotations

from resbench.errors import UserError

__all__ = ["CannotAdapt"]


class CannotAdapt(UserError):
    """The model has no residual units that can be made out; the message says why and what to do."""
