"""How a gradient by path length is measured; imports no torch: a wrong option fails at once."""

from __future__ import annotations

from dataclasses import dataclass

from resbench.errors import UserError

__all__ = ["PathOptions"]


@dataclass(frozen=True)
class PathOptions:
    """``longest``: lengths up to this one are told apart; None for all.  ``mass``: what the effective range holds.

    ``sampled``: the paper's procedure, to ``precision`` (standard error of a length's share) with at most ``most``
    paths a length.  ``memory``: bytes for gradients on their way (exact).  ``forward``: also the linearised signal.
    """

    sampled: bool = False
    longest: int | None = None
    mass: float = 0.95
    participation: bool = True
    precision: float = 0.01
    most: int = 1000
    memory: int = 2**30
    forward: bool = False

    def check(self) -> None:
        """Reject what no network could make good.

        Raises:
            UserError: a value out of range, or options that exclude each other.
        """
        if not 0 < self.mass < 1:
            raise UserError(f"--mass {self.mass:g}: a share between 0 and 1, such as 0.95")
        if not (0 < self.precision < 1):
            raise UserError(f"--precision {self.precision:g}: a share between 0 and 1, such as 0.01")
        if self.longest is not None and self.longest < 0:
            raise UserError(f"--max-length {self.longest}: a path has a length of 0 or more")
        if self.memory <= 0:
            raise UserError("--memory: more than 0 GiB")
        if self.most < 2:
            raise UserError(f"--max-paths {self.most}: at least 2")
        if self.sampled and self.longest is not None:
            raise UserError("--max-length shortens the exact computation: leave out --sampled")
        if self.sampled and self.forward:
            raise UserError("--forward is computed exactly: leave out --sampled")
