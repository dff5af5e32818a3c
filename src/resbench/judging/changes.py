"""What changed between two runs of the claims: verdicts, versions, margins, waivers and environments.

*Worse* is, in the judge's order (ERROR, VIOLATED, STALE, INCONCLUSIVE, NOT_MEASURED, WAIVED, HOLDS), every step up; and
whatever is not measured any more, or gone: evidence that is missing is never an improvement.  A claim that is new in
the later run is compared with NOT_MEASURED: it is worse only where it fails.  So is a waiver that fails the later run
and did not fail the earlier one.

A *margin* (:mod:`resbench.judging.margins`) or a single value moved where it differs by more than the root of the sum
of the squares of the two half widths: for two independent 95 % intervals that is itself about 95 %.  Half widths are
those of the intervals that stand beside what is compared.  What has no interval in either run was measured without
noise: there any change counts.  Only expectations that ask the same are compared, of verdicts that did not flip; where
the claim has another version, or its expectations are others, that is said instead.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from resbench.judge import WORST_FIRST
from resbench.judging.compare import Status
from resbench.judging.recorded import RecordedCheck, RecordedRun, RecordedVerdict, RecordedWaiver

__all__ = ["Changes", "Flip", "Moved", "changes_of"]

_FAILING = frozenset(WORST_FIRST[: WORST_FIRST.index(Status.NOT_MEASURED)])


@dataclass(frozen=True)
class Flip:
    """One claim and setting with another status; ``before`` is None where it is new, ``after`` where it is gone."""

    before: RecordedVerdict | None
    after: RecordedVerdict | None

    @property
    def name(self) -> str:
        return self._one.name

    @property
    def message(self) -> str:
        """What the judge says now; empty where the claim is gone."""
        return self.after.message if self.after else ""

    @property
    def worse(self) -> bool:
        if self.after is None:
            return True
        if self.before is None:
            return self.after.status in _FAILING
        if self.after.status is Status.NOT_MEASURED:
            return True
        return WORST_FIRST.index(self.after.status) < WORST_FIRST.index(self.before.status)

    @property
    def severity(self) -> tuple[int, int]:
        """Smaller is worse: by what it is now (gone as NOT_MEASURED), then by how far it fell."""
        before, after = (Status.NOT_MEASURED if one is None else one.status for one in (self.before, self.after))
        return WORST_FIRST.index(after), -WORST_FIRST.index(before)

    @property
    def _one(self) -> RecordedVerdict:
        one = self.after or self.before
        assert one is not None
        return one


@dataclass(frozen=True)
class Moved:
    """One expectation whose margin or value moved; ``room`` is how far the margin did, None where there is none.

    ``noise``: what it had to exceed, in its unit; None where nothing is noisy.
    """

    name: str
    before: RecordedCheck
    after: RecordedCheck
    room: float | None
    noise: float | None

    @property
    def size(self) -> float:
        """The move in units of its noise, else of the tolerance; 0 where neither tells how much it is."""
        tolerance = self.after.margin.tolerance if self.after.margin else None
        unit = self.noise or tolerance
        return self.room / unit if self.room is not None and unit else 0.0


@dataclass(frozen=True)
class Changes:
    """``flips`` and ``moved``: the worst first.  ``restated``: the claims whose version or expectations are others.

    ``environment``: name, value before, value after; None where there was or is none.  ``waivers``: those that fail the
    later run and did not fail the earlier one.  ``same``: how many verdicts are in both, with the same status.
    """

    flips: tuple[Flip, ...]
    restated: tuple[tuple[RecordedVerdict, RecordedVerdict], ...]
    moved: tuple[Moved, ...]
    waivers: tuple[RecordedWaiver, ...]
    environment: tuple[tuple[str, Any, Any], ...]
    same: int

    @property
    def worse(self) -> tuple[Flip, ...]:
        return tuple(flip for flip in self.flips if flip.worse)

    @property
    def better(self) -> tuple[Flip, ...]:
        """Of claims that both runs have."""
        return tuple(flip for flip in self.flips if not flip.worse and flip.before is not None)

    @property
    def new(self) -> tuple[Flip, ...]:
        """Claims of the later run only, that do not fail."""
        return tuple(flip for flip in self.flips if not flip.worse and flip.before is None)

    @property
    def bad(self) -> bool:
        """Whether anything became worse."""
        return bool(self.worse or self.waivers)


def changes_of(before: RecordedRun, after: RecordedRun) -> Changes:
    """Compare two runs; the order of the arguments is that of time."""
    old, new = before.named(), after.named()
    flips = [Flip(old.get(name), new.get(name)) for name in dict.fromkeys((*old, *new))]
    both = [(old[name], new[name]) for name in old if name in new]
    changed = [flip for flip in flips if flip.before is None or flip.after is None or _differ(flip.before, flip.after)]
    red = {waiver.name for waiver in before.waivers if waiver.red}
    return Changes(
        flips=tuple(sorted(changed, key=lambda flip: flip.severity)),
        restated=tuple(pair for pair in both if _restated(*pair)),
        moved=tuple(sorted((moved for pair in both for moved in _moved(*pair)), key=lambda moved: moved.size)),
        waivers=tuple(waiver for waiver in after.waivers if waiver.red and waiver.name not in red),
        environment=tuple(_environment(before.environment, after.environment)),
        same=sum(not _differ(*pair) for pair in both),
    )


def _differ(before: RecordedVerdict, after: RecordedVerdict) -> bool:
    return before.status is not after.status


def _restated(before: RecordedVerdict, after: RecordedVerdict) -> bool:
    asked = [sorted(check.asked for check in one.checks) for one in (before, after)]
    return before.version != after.version or (bool(asked[0] and asked[1]) and asked[0] != asked[1])


def _moved(before: RecordedVerdict, after: RecordedVerdict) -> Iterator[Moved]:
    """The expectations in both that moved; those that ask the same stand for each other in their order.

    None of a verdict that flipped: that says more.
    """
    if before.version != after.version or _differ(before, after):
        return
    earlier: dict[str, list[RecordedCheck]] = defaultdict(list)
    for check in before.checks:
        earlier[check.asked].append(check)
    for check in after.checks:
        if earlier[check.asked]:
            found = _move(after.name, earlier[check.asked].pop(0), check)
            if found is not None:
                yield found


def _move(name: str, before: RecordedCheck, after: RecordedCheck) -> Moved | None:
    if before.measured is None or after.measured is None:
        return None  # no result in one of them: the verdicts say so
    logs = [check.margin is not None and check.margin.log for check in (before, after)]
    if logs[0] != logs[1]:
        return None  # a ratio that was positive in one run only: no common scale
    room = after.margin.room - before.margin.room if before.margin and after.margin else None
    widths = [_half_width(check) for check in (before, after)]
    noise = None if widths == [None, None] else math.hypot(*(width or 0.0 for width in widths))
    if noise is None:
        moved = before.measured != after.measured
    else:
        moved = any(abs(change) > noise for change in (room, _change(before, after)) if change)
    return Moved(name, before, after, room, noise) if moved else None


def _half_width(check: RecordedCheck) -> float | None:
    if check.margin is not None:
        return check.margin.half_width
    if check.interval is None or any(isinstance(end, str) for end in check.interval):
        return None
    low, high = map(float, check.interval)
    return (high - low) / 2 if high > low else None


def _change(before: RecordedCheck, after: RecordedCheck) -> float | None:
    """Of single numbers, on the margins' scale; the interval beside a list is that of one of its entries."""
    values = []
    for check in (before, after):
        value = check.measured
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        try:
            values.append(math.log(value) if check.margin is not None and check.margin.log else float(value))
        except (OverflowError, ValueError):
            return None
    return values[1] - values[0]


def _environment(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    old, new = dict(_flat(before)), dict(_flat(after))
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            yield name, old.get(name), new.get(name)


def _flat(environment: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """``torch 2.9``, ``git commit ...``: packages go by their own names."""
    for key, value in environment.items():
        if isinstance(value, Mapping):
            yield from _flat(value, "" if key == "packages" else f"{prefix}{key} ")
        else:
            yield f"{prefix}{key}", value
