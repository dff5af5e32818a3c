"""Two or more timing runs beside each other: the union of their cases, ratios to the first run, verdicts.

Between runs of one machine a ratio speaks about the code, and gets a verdict.  Between machines it speaks about both,
so that there is none: the differences of the environments come first, and utilisation stands beside each time.

A time is the geometric mean over processes of the undisturbed time within, and a ratio is that of two such times
(:func:`resbench.timing.change.ratio_of_processes`).
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import msgspec

from resbench.errors import UserError
from resbench.timing.change import MARGIN, Change, Ratio, geometric_mean, holm, ratio_of_processes, verdict
from resbench.timing.record import TimingRecord, TimingRun
from resbench.timing.summary import TOOL, case_name, interval, mean_interval, process_times, seconds, utilisation
from resbench.timing.worker.case import Case

__all__ = ["Against", "Comparison", "Mean", "Row", "Side", "Title", "compare", "selected", "title"]

RED = (Change.SLOWER, Change.MISSING, Change.UNHEALTHY)
DECIDED = (Change.SAME, Change.FASTER)

ALONE = "a single process on one side: nothing is known about how processes differ"


@dataclass(frozen=True)
class Title:
    """Which run a column is.  ``name``: unique in its comparison."""

    name: str
    fingerprint: str
    created: str
    commit: str = ""
    dirty: bool = False


@dataclass(frozen=True)
class Side:
    """What one run says about a case.  ``seconds``: per step; None where ``missing`` says why there are no samples."""

    seconds: float | None
    interval: tuple[float, float] | None = None
    utilisation: float | None = None
    processes: int = 0
    missing: str = ""
    unhealthy: tuple[str, ...] = ()


@dataclass(frozen=True)
class Against:
    """A later run against the first.

    ``ratio``: of seconds, above 1 is slower; None without samples on both sides.  ``interval``: None for a single
    process.  ``p``: adjusted for all the ratios that are judged together; None for one that is not judged.
    ``change``: None between machines, unless MISSING or UNHEALTHY.  ``why``: what the verdict does not say.
    """

    ratio: float | None
    interval: tuple[float, float] | None
    p: float | None
    change: Change | None
    why: str = ""


@dataclass(frozen=True)
class Row:
    """A case: a side each run, and each run but the first against it."""

    key: str
    case: Case
    sides: tuple[Side, ...]
    against: tuple[Against, ...]


@dataclass(frozen=True)
class Mean:
    """The geometric mean of the ratios of ``cases`` cases; its interval is over cases, not over measurements."""

    ratio: float
    interval: tuple[float, float] | None
    cases: int


@dataclass(frozen=True)
class Comparison:
    """``across``: the runs are of different machines.  ``differences``: of each later run's environment from the
    first's, as (what, there, here)."""

    titles: tuple[Title, ...]
    rows: tuple[Row, ...]
    means: tuple[Mean | None, ...]
    differences: tuple[tuple[tuple[str, str, str], ...], ...]
    across: bool
    margin: float

    @property
    def changes(self) -> tuple[Change, ...]:
        return tuple(one.change for row in self.rows for one in row.against if one.change is not None)

    @property
    def passed(self) -> bool:
        """Nothing is SLOWER, MISSING or UNHEALTHY and, on one machine, at least one case was decided at all.

        A comparison that cannot tell anything is no pass: a gate of such would never close.
        """
        if any(change in RED for change in self.changes):
            return False
        return self.across or any(change in DECIDED for change in self.changes)

    @property
    def undecided(self) -> bool:
        """Something is AMBIGUOUS, or FASTER than a baseline that should be moved: fails where one is strict."""
        return any(change in (Change.AMBIGUOUS, Change.FASTER) for change in self.changes)


def compare(
    runs: Sequence[TimingRun],
    *,
    across_machines: bool = False,
    margin: float = MARGIN,
    select: Sequence[str] = (),
) -> Comparison:
    """Compare each run with the first, over the union of their cases in the order of their appearance.

    ``margin``: changes within it are SAME (0.05: 5 %).  ``select``: only cases whose name matches one of these globs.

    Raises:
        UserError: fewer than two runs; runs of different machines without ``across_machines``; a glob that no case
            matches; no case that is of the same version in two runs.
    """
    if len(runs) < 2:
        raise UserError("a comparison needs two runs at least")
    if not 0 < margin < 1:
        raise UserError(f"--margin {100 * margin:g}: choose one above 0 and below 100")
    runs = _named_apart(runs)
    across = _across(runs, across_machines)
    cases = {case_name(record.case): record.case for run in runs for record in run.records}
    keys = selected(tuple(cases), select)
    _comparable(runs, keys)
    columns = [_by_name(run) for run in runs]
    records = [[column.get(key) for column in columns] for key in keys]
    drafts = [
        _against((runs[0], line[0]), (run, record))
        for line in records
        for run, record in zip(runs[1:], line[1:], strict=True)
    ]
    judged = iter(drafts if across else _judged(drafts, margin))
    rows = tuple(
        Row(
            key,
            cases[key],
            tuple(_side(run, record) for run, record in zip(runs, line, strict=True)),
            tuple(next(judged) for _ in runs[1:]),
        )
        for key, line in zip(keys, records, strict=True)
    )
    return Comparison(
        titles=tuple(map(title, runs)),
        rows=rows,
        means=tuple(_mean(rows, index) for index in range(len(runs) - 1)),
        differences=tuple(_differences(runs[0], run) for run in runs[1:]),
        across=across,
        margin=margin,
    )


def selected(keys: Sequence[str], globs: Sequence[str]) -> tuple[str, ...]:
    """The keys that match one of the globs, in their own order; all of them without globs.

    Raises:
        UserError: a glob matches nothing.
    """
    for glob in globs:
        if not any(_matches(key, glob) for key in keys):
            close = difflib.get_close_matches(glob, keys, 1, 0.3)
            hint = f"; near to it is '{close[0]}'" if close else ""
            raise UserError(f"--select: no case matches '{glob}'{hint}")
    return tuple(key for key in keys if not globs or any(_matches(key, glob) for glob in globs))


def _matches(key: str, glob: str) -> bool:
    return key == glob or fnmatchcase(key, glob)  # Other tools' names may hold a glob's brackets.


def _by_name(run: TimingRun) -> dict[str, TimingRecord]:
    return {case_name(record.case): record for record in run.records}


def _across(runs: Sequence[TimingRun], allowed: bool) -> bool:
    from resbench.timing.fingerprint import same_machine

    for run in runs[1:]:
        if not same_machine(runs[0].environment, run.environment):
            if not allowed:
                raise UserError(
                    f"'{run.name}' is of another machine ({run.fingerprint}) than '{runs[0].name}' "
                    f"({runs[0].fingerprint}): --across-machines compares the machines"
                )
            return True
    return False


def _comparable(runs: Sequence[TimingRun], keys: Sequence[str]) -> None:
    """Refuse runs of which every common case has changed its version: nothing is left to compare."""
    first = _by_name(runs[0])
    later = [record for run in runs[1:] for key, record in _by_name(run).items() if key in first and key in set(keys)]
    common = [(first[case_name(record.case)], record) for record in later]
    if common and all(one.version != other.version for one, other in common):
        one, other = common[0]
        raise UserError(
            f"what a step does has changed since '{runs[0].name}' (case version {one.version}, now {other.version}), "
            f"in all {len(common)} common cases: measure '{runs[0].name}' again"
        )


def _side(run: TimingRun, record: TimingRecord | None) -> Side:
    if record is None or not record.rounds:
        return Side(None, missing=record.error if record else "not in this run")
    processes = len(record.rounds)
    return Side(seconds(record), interval(record), utilisation(run, record), processes, unhealthy=record.unhealthy)


_Recorded = tuple[TimingRun, TimingRecord | None]


def _against(before: _Recorded, after: _Recorded) -> Against:
    """Not judged yet: ``p`` is this case's own, and ``change`` is None unless no statistics could help."""
    (first, one), (other, two) = before, after
    missing = _missing(first, one) or _missing(other, two)
    if missing or one is None or two is None:
        return Against(None, None, None, Change.MISSING, missing)
    if one.version != two.version:
        why = f"case version {one.version} in '{first.name}', {two.version} in '{other.name}': another step"
        return Against(None, None, None, Change.MISSING, why)
    ratio = ratio_of_processes(process_times(one), process_times(two))
    reasons = [f"'{run.name}': {reason}" for run, record in ((first, one), (other, two)) for reason in record.unhealthy]
    change = Change.UNHEALTHY if reasons else None
    if ratio is None:
        alone = (seconds(two) or 0.0) / (seconds(one) or 1.0)
        return Against(alone, None, None, change, "; ".join(reasons) or ALONE)
    return Against(ratio.estimate, (ratio.low, ratio.high), None if change else ratio.p, change, "; ".join(reasons))


def _missing(run: TimingRun, record: TimingRecord | None) -> str:
    if record is None:
        return f"not in '{run.name}'"
    return "" if record.rounds else f"not measured in '{run.name}': {record.error}"


def _judged(drafts: Sequence[Against], margin: float) -> list[Against]:
    """The verdicts: p-values adjusted for all of the comparison, then significance and magnitude."""
    adjusted = iter(holm([draft.p for draft in drafts if draft.p is not None]))
    judged: list[Against] = []
    for draft in drafts:
        if draft.change is not None:
            judged.append(draft)
        elif draft.ratio is None or draft.interval is None or draft.p is None:
            judged.append(replace(draft, change=Change.AMBIGUOUS))
        else:
            p = next(adjusted)
            change = verdict(Ratio(draft.ratio, *draft.interval, draft.p), p, margin)
            judged.append(replace(draft, p=p, change=change))
    return judged


def _mean(rows: Sequence[Row], index: int) -> Mean | None:
    ratios = [row.against[index].ratio for row in rows]
    known = [ratio for ratio in ratios if ratio is not None]
    return Mean(geometric_mean(known), mean_interval(known), len(known)) if known else None


def title(run: TimingRun) -> Title:
    """Which run it is, for a heading."""
    git = run.environment.get("git") or {}
    return Title(run.name, run.fingerprint, run.created, str(git.get("commit") or ""), bool(git.get("dirty")))


def _named_apart(runs: Sequence[TimingRun]) -> list[TimingRun]:
    """Runs of different names: two files may hold runs of the same one."""
    taken: dict[str, int] = {}
    named: list[TimingRun] = []
    for run in runs:
        taken[run.name] = number = taken.get(run.name, 0) + 1
        named.append(msgspec.structs.replace(run, name=f"{run.name}#{number}") if number > 1 else run)
    return named


def _differences(first: TimingRun, other: TimingRun) -> tuple[tuple[str, str, str], ...]:
    from resbench.timing.fingerprint import differences

    found = differences(first.environment, other.environment)
    # Another tool's file says little: what it does not know is no difference.
    partial = TOOL in {**first.environment, **other.environment}
    return tuple(line for line in found if not (partial and "unknown" in line[1:]))
