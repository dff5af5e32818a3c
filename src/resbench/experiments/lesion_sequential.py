"""Single deletions judged while they are measured: images are spent until every statement is decided.

:func:`sweep` is the only place where networks run: batch outer, the networks in turn, lesion inner.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resbench.experiments.lesion import deletion_plans, prepared
from resbench.experiments.lesion_stopping import Stopping
from resbench.records.partial import PartialResults
from resbench.records.results import Result
from resbench.targets.target import UserMember
from resbench.training.target import Member

__all__ = ["LOOK", "Kept", "Part", "parts_of", "sweep"]

LOOK = 128
"""Images of a network between two looks."""

_COMPLETED_AT_ONCE = 8 * LOOK
"""Images, where there is nothing to look at: how much work an interruption may cost."""

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Kept:
    """Blocks of an interrupted run: who runs the same again finds them.  ``name``: of the member, and of the order."""

    results: PartialResults
    name: str

    def block(self, rows: Bools, first: int, last: int, run: Callable[[], Bools]) -> tuple[Bools, bool]:
        """What ``run`` returns of these plans and images, and whether it did so before the interruption."""
        name = f"{self.name}-{first}-{last}-{hashlib.sha256(rows.tobytes()).hexdigest()[:12]}"
        found = self.results.get_piece(name)
        if found is not None:
            return found, True
        found = run()
        self.results.put_piece(name, found)
        return found, False


class Part:
    """One member of a network under single deletions, its images in an order shuffled by ``seed``.

    ``reused``: images of the ``passes`` that were run before an interruption.

    Raises:
        NotMeasured: as the experiment ``single_deletion``.
    """

    def __init__(self, member: Member | UserMember, seed: int, index: int = 0, kept: Kept | None = None):
        self._body, self._data = prepared(member)
        self._kept, self.reused = kept, 0
        self._plans = deletion_plans(self._body)
        self._order = np.random.default_rng((seed, index)).permutation(len(self._data))
        self._wrong: Bools = np.zeros((len(self._plans), len(self._order)), dtype=bool)
        self._used = np.zeros(len(self._plans), dtype=np.int64)

    def __len__(self) -> int:
        return len(self._order)

    @property
    def plans(self) -> int:
        """The whole network and every lesion."""
        return len(self._plans)

    @property
    def passes(self) -> int:
        """Images that were run, summed over the plans."""
        return int(self._used.sum())

    def describe(self) -> dict[str, NDArray[Any]]:
        return self._body.describe()

    def advance(self, rows: Bools, first: int, last: int) -> Bools:
        """Whether the images from ``first`` to ``last`` in the order are misclassified, ``(1 + lesions, images)``.

        Only under the plans of ``rows``, of which row 0 is the whole network; the others' rows are False.
        """
        positions = self._order[first:last]
        chosen = [plan for plan, row in zip(self._plans, rows, strict=True) if row]
        block = np.zeros((len(rows), len(positions)), dtype=bool)

        def run() -> Bools:
            return self._body.wrong(chosen, self._data.subset(positions.tolist()))

        block[rows], reused = (run(), False) if self._kept is None else self._kept.block(rows, first, last, run)
        self.reused += reused * len(chosen) * len(positions)
        self._wrong[:, positions] |= block
        self._used[rows] = last
        return block

    def complete(self) -> Bools:
        """Every plan on every image, ``(1 + lesions, images)`` in the member's own order: what is missing is run."""
        while (first := int(self._used.min())) < len(self):
            # Those that were stopped first catch up with others, and go on together.
            others = min(int(used) for used in (*self._used, len(self)) if used > first)
            self.advance(self._used == first, first, min(others, first + _COMPLETED_AT_ONCE))
        return self._wrong


def parts_of(
    members: Sequence[Member | UserMember], seed: int, kept: PartialResults | None = None, network: str = ""
) -> list[Part]:
    """The members of a network, prepared as for the experiment ``single_deletion``.

    ``kept``: where blocks wait should the run be interrupted, under the name of the network.

    Raises:
        NotMeasured: as the experiment.
    """
    return [
        Part(member, seed, index, None if kept is None else Kept(kept, f"looks--{network}-{index}-{seed}"))
        for index, member in enumerate(members)
    ]


def sweep(stopping: Stopping, networks: Mapping[str, Sequence[Part]], look: int = LOOK) -> dict[str, Result]:
    """Delete each step in turn, on as many images as the statements need.

    Returns:
        For each network what the experiment ``single_deletion`` returns; ``wrong`` is left out where every statement
        was decided early.  Statements that were undecided when the images ended are open: judge them on these results.
    """
    at = dict.fromkeys(networks, 0)
    while running := [n for n in networks if stopping.going(n).any() and at[n] < _common(networks[n])]:
        for name in running:
            first, parts = at[name], networks[name]
            at[name] = min(first + max(look // len(parts), 1), _common(parts))
            rows = np.concatenate([[True], stopping.going(name)])
            block = np.concatenate([part.advance(rows, first, at[name]) for part in parts], axis=1)
            stopping.after_batch(name, block[1:], block[0])
    open = {name for one in stopping.statements if not one.decided for name in one.networks}
    return {
        name: tuple({**({"wrong": part.complete()} if name in open else {}), **part.describe()} for part in parts)
        for name, parts in networks.items()
    }


def _common(parts: Sequence[Part]) -> int:
    """Images that every member has: the confidence sequence needs equally many of each."""
    return min(map(len, parts))
