"""The run: one process a fault, several at a time, and one for each setting without any fault to compare with."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from resbench.claims import load_claims
from resbench.faults.child import IMPORTED, Answer, Finding, Job, work
from resbench.faults.fault import Fault
from resbench.faults.matrix import Matrix, Row
from resbench.faults.selection import all_items, matching, measures_time, select_items
from resbench.plan import Item
from resbench.records.environment import environment
from resbench.survey.workers import Failed, run_each

__all__ = ["Told", "run_faults"]

Told = Callable[[str, int], None]
"""Called with what has ended and of how many jobs, for a progress bar."""

_EVERYTHING = "*"


@dataclass
class _Found:
    """What has come of a fault (or of none) so far, over its jobs."""

    claims: dict[str, Answer] = field(default_factory=dict)
    tests: dict[str, Answer] = field(default_factory=dict)
    error: str = ""
    seconds: float = 0.0

    def add(self, finding: Finding | Failed) -> None:
        if isinstance(finding, Failed):
            self.error = self.error or finding.reason
            return
        self.claims.update(finding.claims)
        self.tests.update(finding.tests)
        self.error = self.error or finding.error
        self.seconds += finding.seconds


def run_faults(
    faults: Sequence[Fault],
    claims: Sequence[str] = (),
    *,
    processes: int,
    timeout: float,
    told: Told | None = None,
    catalogue: str = "resbench.faults",
) -> Matrix:
    """Judge claims under each of ``faults``, and without any.

    Args:
        claims: globs of claim ids or of ``claim@setting``; each fault's own, and its tests, where not given.
        processes: how many faults at a time.  Claims that measure time are judged when all others have been.
        timeout: seconds for one fault, and for the claims of one setting without fault.
        told: hears of every job that has ended, with the number of all.
        catalogue: the module whose ``ALL`` holds the faults, which their processes import.

    Raises:
        UserError: a glob that no claim matches.
    """
    started = time.perf_counter()
    items = all_items(load_claims())
    if claims:
        select_items(items, claims)
    everything = _EVERYTHING in claims
    wanted = {fault.name: _items_for(fault, items, claims) for fault in faults}
    tests = {fault.name: fault.tests if everything or not claims else () for fault in faults}
    slow = {item.id for item in items if measures_time(item)}
    together, alone = [
        _jobs(
            {name: [id for id in ids if (id in slow) == timed] for name, ids in wanted.items()},
            {} if timed else tests,
            items,
            catalogue,
        )
        for timed in (False, True)
    ]
    found: dict[str | None, _Found] = {None: _Found()} | {fault.name: _Found() for fault in faults}
    for jobs, at_a_time in ((together, processes), (alone, 1)):
        for number, finding in run_each(work, jobs, processes=at_a_time, timeout=timeout, imported=IMPORTED):
            found[jobs[number].fault].add(finding)
            if told is not None:
                told(jobs[number].fault or "no fault", len(together) + len(alone))
    judged = [item for item in items if any(item.id in ids for ids in wanted.values())]
    rows = [_row(fault, found[fault.name], found[None], wanted[fault.name], tests[fault.name]) for fault in faults]
    baseline = {item.id: found[None].claims.get(item.id, _unknown(found[None])) for item in judged}
    whole = len(faults) == len(importlib.import_module(catalogue).ALL)
    spent = sum(each.seconds for each in found.values())
    return Matrix(rows, judged, baseline, whole, time.perf_counter() - started, spent, environment())


def _items_for(fault: Fault, items: Sequence[Item], patterns: Sequence[str]) -> list[str]:
    """Time is measured for the faults only that name such a claim: it costs a machine of its own."""
    chosen = matching(items, patterns or fault.claims)
    return [item.id for item in chosen if not measures_time(item) or _named(item, (*patterns, *fault.claims))]


def _named(item: Item, patterns: Sequence[str]) -> bool:
    return item.id in patterns or item.claim.id in patterns


def _jobs(
    wanted: Mapping[str, Sequence[str]], tests: Mapping[str, Sequence[str]], items: Sequence[Item], catalogue: str
) -> list[Job]:
    """Without a fault first: one job for each setting, and one for the tests."""
    settings: dict[str, list[str]] = {}
    for item in items:
        if any(item.id in ids for ids in wanted.values()):
            settings.setdefault(item.setting, []).append(item.id)
    every = dict.fromkeys(test for each in tests.values() for test in each)
    jobs = [Job(None, tuple(ids)) for ids in settings.values()]
    jobs += [Job(None, tests=tuple(every))] if every else []
    jobs += [
        Job(name, tuple(ids), tuple(tests.get(name, ())), catalogue)
        for name, ids in wanted.items()
        if ids or tests.get(name)
    ]
    return jobs


def _row(fault: Fault, found: _Found, without: _Found, ids: Sequence[str], tests: Sequence[str]) -> Row:
    unknown = _unknown(without)
    return Row(
        fault,
        found.claims,
        found.tests,
        {id: without.claims.get(id, unknown) for id in ids},
        {test: without.tests.get(test, unknown) for test in tests},
        found.error,
        found.seconds,
    )


def _unknown(without: _Found) -> Answer:
    """Of what was not judged without fault, its process having died or run out of time."""
    return "NOT_MEASURED", without.error or "not judged"
