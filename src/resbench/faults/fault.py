"""What a seeded fault is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, get_args

__all__ = ["WHERE", "Fault", "Where"]

Where = Literal["network", "training", "experiment", "judge", "records"]
"""What a fault breaks."""

WHERE: tuple[Where, ...] = get_args(Where)


@dataclass(frozen=True)
class Fault:
    """A small named edit that leaves resbench running and its answers wrong.

    ``name`` is in kebab-case, ``what`` one sentence: what is wrong.  While the context that ``inject`` makes is open,
    this process's resbench has the fault.  ``claims``: the ids, with ``*`` and ``?`` and ``@setting`` where needed, of
    the claims that could notice; a run judges these unless told otherwise.  ``tests``: pytest node ids, relative to the
    repository, that see the fault where no claim can.
    """

    name: str
    where: Where
    what: str
    inject: Callable[[], AbstractContextManager[None]]
    claims: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.claims and not self.tests:
            raise ValueError(f"the fault {self.name} names neither a claim nor a test that could see it")
