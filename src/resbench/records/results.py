"""What is asked of an experiment, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["MemberResult", "Request", "Result"]

MemberResult = Mapping[str, Any]
"""Raw arrays of one member of a target (one half of the data)."""

Result = tuple[MemberResult, ...]
"""An experiment's result: one :data:`MemberResult` a member."""


@dataclass(frozen=True)
class Request:
    """One experiment on one network; measured once a run, however many claims read it."""

    experiment: str
    network: str
