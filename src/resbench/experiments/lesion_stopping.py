"""When a sweep over single deletions may stop: each lesion and each statement as soon as it is decided.

A statement is an expectation of a claim.  After every batch its reading (:mod:`resbench.experiments.lesion_bounds`) is
judged by the ordinary rules on the limits of a confidence sequence: it is decided when these say HOLDS or VIOLATED,
never on an observed value alone.  A lesion goes on while an undecided statement still depends on it.

``alpha``, the probability of a false verdict on one statement, is split: a fifth is spent on stopping early, four
fifths are kept for the last look.  A statement that is undecided when the images end is judged by the ordinary
quantity on all images, at confidence ``1 - 0.8 alpha`` (96 % where ``alpha`` is 0.05).  So a statement that needs all
images is judged nearly as it would have been without stopping, and both together err with probability ``alpha`` at
most, as far as the ordinary interval keeps its own level (the sequence keeps its own exactly).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resbench.claims.model import Expectation
from resbench.confidence_sequences import METHOD, SOURCE
from resbench.experiments.lesion_bounds import READINGS, Reading, Seen
from resbench.judging.compare import Status, compare
from resbench.judging.statistic import regions
from resbench.records.measurement import Measurement

__all__ = ["EARLY", "Statement", "Stopping", "last_confidence"]

EARLY = 0.2
"""The part of alpha that is spent on stopping early."""

_DECIDED = (Status.HOLDS, Status.VIOLATED)


def last_confidence(alpha: float) -> float:
    """Of the interval at the last look."""
    return 1.0 - (1.0 - EARLY) * alpha


@dataclass
class Statement:
    """One expectation, the networks whose single deletions it reads, and how it stands; ``name`` is the claim's.

    ``outcome``: its measurement as soon as it is decided, or what its reading raised; None while it is open.
    ``images``: how many each lesion that it reads had seen by then, by network and in the order of the steps.
    """

    name: str
    expectation: Expectation
    networks: tuple[str, ...]
    outcome: Measurement | Exception | None = None
    images: dict[str, list[int]] = field(default_factory=dict)
    _low: Any = None
    _high: Any = None

    @property
    def decided(self) -> bool:
        return self.outcome is not None

    def look(self, seen: Sequence[Seen], alpha: float) -> tuple[NDArray[np.bool_], ...]:
        """Judge what was seen; which lesions of each network could still change the outcome (none once decided)."""
        read = READINGS[self.expectation.quantity]
        try:
            reading = read(seen, EARLY * alpha, _bounds(self.expectation), **self.expectation.params)
        except Exception as error:  # of a network that does not fit: the statement's own outcome, as without stopping
            self.outcome = error
            return tuple(np.zeros(one.lesions, dtype=bool) for one in seen)
        # The sequence at every look holds with one probability: so does what all looks have in common.
        self._low = reading.low if self._low is None else _merged(max, self._low, reading.low)
        self._high = reading.high if self._high is None else _merged(min, self._high, reading.high)
        images = max(one.wrong.shape[1] for one in seen)
        measurement = self._measurement(reading, images, alpha)
        if images and compare(self.expectation.compare, measurement).status in _DECIDED:
            self.outcome = measurement
            self.images = {name: one.used.tolist() for name, one in zip(self.networks, seen, strict=True)}
            return tuple(np.zeros(one.lesions, dtype=bool) for one in seen)
        return reading.open

    def _measurement(self, reading: Reading, images: int, alpha: float) -> Measurement:
        scalar = not isinstance(reading.value, list | dict)
        limits = _paired(self._low, self._high)
        return Measurement(
            reading.value,
            interval=limits if scalar else None,
            intervals=None if scalar else limits,
            confidence=1.0 - EARLY * alpha,
            method=f"{METHOD} ({SOURCE}), alpha {EARLY * alpha:.4g}",
            n=images,
            detail=f"decided after {images} images",
        )


def _bounds(expectation: Expectation) -> list[float]:
    """Where the comparator's regions end: what a single lesion of a median or a list is decided against."""
    ends = [end for region in regions(expectation.compare, 1) for end in (region.low, region.high)]
    return [float(end) for end in ends if end is not None]


def _merged(of: Any, first: Any, second: Any) -> Any:
    if isinstance(first, dict):
        return {name: of(first[name], second[name]) for name in first}
    return [of(*pair) for pair in zip(first, second, strict=True)] if isinstance(first, list) else of(first, second)


def _paired(low: Any, high: Any) -> Any:
    """Limits as intervals.  Should the looks have nothing in common (with probability alpha), the point between."""
    if isinstance(low, dict):
        return {name: _paired(low[name], high[name]) for name in low}
    if isinstance(low, list):
        return [_paired(*pair) for pair in zip(low, high, strict=True)]
    return (low, high) if low <= high else ((low + high) / 2.0, (low + high) / 2.0)


class Stopping:
    """Told of every batch; answers which lesions go on.

    The networks may be told of in any order and may stand at different images: a confidence sequence holds at any
    time.  Within a network the images must come in random order; where several members' images make up a batch, there
    are equally many of each.

    Args:
        statements: what is to be decided; each is updated in place.
        described: for each network what the experiment ``single_deletion`` says of its steps.
        alpha: the probability of a false verdict on one statement, early and last look together.
    """

    def __init__(self, statements: Sequence[Statement], described: Mapping[str, Mapping[str, Any]], alpha: float):
        if not 0.0 < alpha < 1.0:
            raise ValueError(f"alpha {alpha} is no probability between 0 and 1")
        self.alpha, self.statements = alpha, list(statements)
        self.seen = {name: Seen(description) for name, description in described.items()}
        self._going = {name: np.ones(one.lesions, dtype=bool) for name, one in self.seen.items()}
        self._open: list[tuple[NDArray[np.bool_], ...]] = [() for _ in self.statements]
        for index in range(len(self.statements)):
            self._look(index)
        self._narrow()

    def going(self, network: str) -> NDArray[np.bool_]:
        """Which lesions of a network go on, ``(lesions,)``; where none does, the network needs no more images."""
        return self._going[network]

    def after_batch(self, network: str, wrong: NDArray[np.bool_], whole_wrong: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Take a batch's results; which lesions go on, ``(lesions,)``.

        Args:
            wrong: whether each image is misclassified under each lesion, ``(lesions, images)``; rows of lesions that
                no longer go on are ignored.
            whole_wrong: the same without a lesion, ``(images,)``.
        """
        self.seen[network].add(np.concatenate([whole_wrong[None], wrong]), self._going[network])
        for index, statement in enumerate(self.statements):
            if network in statement.networks and not statement.decided:
                self._look(index)
        self._narrow()
        return self._going[network]

    def images_used(self, network: str) -> NDArray[np.int64]:
        """How many images each lesion has seen, ``(lesions,)``."""
        return self.seen[network].used

    def _look(self, index: int) -> None:
        statement = self.statements[index]
        self._open[index] = statement.look([self.seen[name] for name in statement.networks], self.alpha)

    def _narrow(self) -> None:
        """A lesion that has missed a batch never goes on again: what it has seen are the first images."""
        needed = {name: np.zeros(one.lesions, dtype=bool) for name, one in self.seen.items()}
        for statement, open in zip(self.statements, self._open, strict=True):
            for name, marks in zip(statement.networks, open, strict=True):
                needed[name] |= marks
        for name, going in self._going.items():
            self._going[name] = going & needed[name]
