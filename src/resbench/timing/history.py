"""Stored runs in the order of their commits: where each case changed, and how far it has drifted from a release.

A series is one case of one version on one machine with one torch.  Its points are commits; several runs of a commit are
one point of all their processes.  Steps of less than the margin are found by nobody (asv #932), however many there are:
the comparison with a pinned run finds what they add up to.
"""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from resbench.errors import UserError
from resbench.timing.change import MARGIN, Change
from resbench.timing.changepoints import Level, levels
from resbench.timing.compare import Comparison, compare, selected
from resbench.timing.readers import read
from resbench.timing.record import SCHEMA, TimingRecord, TimingRun
from resbench.timing.store import store
from resbench.timing.summary import case_name, process_times
from resbench.timing.worker.case import Case

__all__ = ["History", "Point", "Series", "Step", "history", "runs_in"]

_NOT_RUNS = ("machine.json", "benchmarks.json")


@dataclass(frozen=True)
class Point:
    """One commit, or one run that has none.  ``seconds``: per step, median over ``processes`` processes."""

    commit: str
    date: str
    name: str
    seconds: float
    processes: int


@dataclass(frozen=True)
class Step:
    """A change of level between two points that follow each other.

    ``seconds``: the levels before and after.  ``commits``: how many there are after ``before`` up to ``after``; None
    where this repository does not know them.
    """

    before: Point
    after: Point
    seconds: tuple[float, float]
    change: Change
    commits: int | None = None

    @property
    def ratio(self) -> float:
        return self.seconds[1] / self.seconds[0]


@dataclass(frozen=True)
class Series:
    case: Case
    version: str
    machine: str
    points: tuple[Point, ...]
    levels: tuple[Level, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class History:
    """``left_out``: runs that are not part of it, with the reason.  ``drift``: the pinned run and each case's newest
    record beside each other; None without a pin."""

    series: tuple[Series, ...]
    left_out: tuple[tuple[str, str], ...]
    drift: Comparison | None = None


def runs_in(folder: Path | None = None) -> list[TimingRun]:
    """All runs of a folder and the folders in it (asv keeps one a machine); of the store if none is given.

    Raises:
        UserError: there is no such folder, nothing in it, or a file in it cannot be read: a damaged file is not passed
            over, because a history with a hole looks like any other.
    """
    root = store() if folder is None else folder
    if not root.is_dir():
        hint = "save runs with `resbench bench --save NAME`, or name a folder" if folder is None else "name a folder"
        raise UserError(f"no folder {root}: {hint} of runs or of asv results")
    paths = [path for path in sorted({*root.glob("*.json"), *root.glob("*/*.json")}) if path.name not in _NOT_RUNS]
    if not paths:
        raise UserError(f"no runs in {root}: save some with `resbench bench --save NAME`")
    return [read(str(path)) for path in paths]


def history(
    runs: Sequence[TimingRun],
    *,
    select: Sequence[str] = (),
    pin: TimingRun | None = None,
    margin: float = MARGIN,
) -> History:
    """The series of ``runs``, in the order of their first appearance.

    Raises:
        UserError: no run is of a commit without changes; a glob matches nothing; no run is of the pin's machine.
    """
    left_out = tuple((run.name, "made with uncommitted changes: of no commit") for run in runs if _dirty(run))
    ordered = sorted((run for run in runs if not _dirty(run)), key=_order)
    if not ordered:
        raise UserError("every run was made with uncommitted changes: commit them and measure again")
    names = selected(tuple({case_name(record.case): None for run in ordered for record in run.records}), select)
    return History(
        tuple(_series(found, margin) for found in _grouped(ordered, set(names))),
        left_out,
        None if pin is None else _drift(ordered, pin, select, margin),
    )


def _dirty(run: TimingRun) -> bool:
    return bool((run.environment.get("git") or {}).get("dirty"))


def _commit(run: TimingRun) -> str:
    return str((run.environment.get("git") or {}).get("commit") or "")


def _date(run: TimingRun) -> str:
    """Of the commit: as the run says, as the repository says, or when the run was made."""
    known = str((run.environment.get("git") or {}).get("date") or "")
    return known or _log().get(_commit(run), (0, ""))[1] or run.created


def _order(run: TimingRun) -> tuple[float, int, str]:
    """By the commit's date; commits of the same second in the repository's order; runs of one commit by their own."""
    try:
        moment = datetime.fromisoformat(_date(run)).timestamp()
    except ValueError:
        moment = 0.0
    return moment, _log().get(_commit(run), (0, ""))[0], run.created


@lru_cache(maxsize=4)
def _log_of(folder: Path) -> dict[str, tuple[int, str]]:
    text = _git(folder, "log", "--all", "--reverse", "--topo-order", "--format=%H %cI")
    lines = [line.split(" ", 1) for line in text.splitlines()]
    return {commit: (position, date) for position, (commit, date) in enumerate(lines)}


def _log() -> dict[str, tuple[int, str]]:
    """The commits of the repository of the current folder: position and date; empty outside of one."""
    return _log_of(Path.cwd())


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


_Found = tuple[TimingRun, TimingRecord]


def _grouped(runs: Sequence[TimingRun], names: set[str]) -> Iterator[list[_Found]]:
    groups: dict[tuple[str, str, str], list[_Found]] = {}
    for run in runs:
        for record in run.records:
            if record.rounds and case_name(record.case) in names:
                key = (case_name(record.case), record.version, _machine(run))
                groups.setdefault(key, []).append((run, record))
    yield from groups.values()


def _machine(run: TimingRun) -> str:
    host = run.environment.get("host")
    return f"{run.fingerprint} ({host})" if host else run.fingerprint


def _series(found: Sequence[_Found], margin: float) -> Series:
    points = tuple(_points(found))
    segments = tuple(levels([point.seconds for point in points], margin))
    steps = tuple(_step(points, a, b) for a, b in pairwise(segments))
    run, record = found[0]
    return Series(record.case, record.version, _machine(run), points, segments, steps)


def _points(found: Sequence[_Found]) -> Iterator[Point]:
    """A commit's runs are one point; runs of no commit are one each."""
    pooled: dict[str, list[_Found]] = {}
    for index, (run, record) in enumerate(found):
        pooled.setdefault(_commit(run) or f"run {index}", []).append((run, record))
    for members in pooled.values():
        times = [time for _, record in members for time in process_times(record)]
        first = members[0][0]
        yield Point(_commit(first), _date(first), first.name, statistics.median(times), len(times))


def _step(points: Sequence[Point], before: Level, after: Level) -> Step:
    one, other = points[before.end - 1], points[after.start]
    change = Change.SLOWER if after.seconds > before.seconds else Change.FASTER
    return Step(one, other, (before.seconds, after.seconds), change, _count(one.commit, other.commit))


def _count(before: str, after: str) -> int | None:
    if before not in _log() or after not in _log():
        return None
    text = _git(Path.cwd(), "rev-list", "--count", f"{before}..{after}")
    return int(text) if text.isdigit() else None


def _drift(ordered: Sequence[TimingRun], pin: TimingRun, select: Sequence[str], margin: float) -> Comparison:
    from resbench.timing.fingerprint import same_machine

    here = [run for run in ordered if same_machine(pin.environment, run.environment)]
    if not here:
        raise UserError(f"--pin {pin.name}: no run is of its machine ({pin.fingerprint}); choose one of this machine")
    newest: dict[str, TimingRecord] = {}
    for run in here:
        newest |= {case_name(record.case): record for record in run.records}
    last = here[-1]
    together = TimingRun(
        SCHEMA,
        f"newest ({last.name})",
        last.created,
        last.fingerprint,
        last.environment,
        tuple(newest.values()),
        last.rates,
    )
    return compare([pin, together], select=select, margin=margin)
