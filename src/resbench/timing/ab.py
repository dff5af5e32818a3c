"""``resbench ab``: is head slower than base?  Pairs of fresh processes in lock step, one verdict a case."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import msgspec

from resbench.errors import UserError
from resbench.timing.change import ALPHA, MARGIN, Change, Ratio, holm, ratio_of_pairs, verdict
from resbench.timing.lockstep import CannotRun, PairSamples, log_ratio, run_pair
from resbench.timing.processes import Side, Worker, WorkerDied
from resbench.timing.rounds import Listener
from resbench.timing.worker.case import Case, CaseError
from resbench.timing.worker.seen import Counts, Rates

__all__ = ["LOOKS", "PAIRS", "SECONDS", "AbOptions", "AbResult", "AbRow", "judge_rows", "run_ab"]

PAIRS = 5
SECONDS = 2.0
LOOKS = 2
"""Cases that are still AMBIGUOUS get as many pairs again; each look has its share of the level (Bonferroni)."""


@dataclass(frozen=True)
class AbOptions:
    """``pairs``: pairs of processes a look.  ``seconds``: of each side, a case and pair.  ``margin``: 0.05 is 5 %."""

    pairs: int = PAIRS
    seconds: float = SECONDS
    margin: float = MARGIN


@dataclass(frozen=True)
class AbRow:
    """One case: ``base`` and ``head`` are the same but where two models are compared.

    ``ratio``: head's time over base's.  ``p``: Holm-adjusted.  ``pairs``: the raw samples.  ``missing``: why a side has
    none.  ``counts``: what a step does on either side, counted without noise; None where it could not be counted.
    """

    base: Case
    head: Case
    change: Change = Change.MISSING
    ratio: Ratio | None = None
    p: float = math.nan
    pairs: tuple[PairSamples, ...] = ()
    missing: tuple[str, str] = ("", "")
    counts: tuple[Counts | None, Counts | None] = (None, None)

    @property
    def seconds(self) -> tuple[float, float]:
        """Seconds per step of either side: the mean over pairs of the undisturbed time; NaN of none."""
        if not self.pairs:
            return math.nan, math.nan
        base, head = zip(*(pair.times for pair in self.pairs), strict=True)
        return fmean(base), fmean(head)


@dataclass(frozen=True)
class AbResult:
    """``facts``: of the hardware.  ``rates``: what it was measured to reach, for the cases' devices and formats."""

    rows: tuple[AbRow, ...]
    facts: dict[str, Any]
    rates: tuple[Rates, ...]


@dataclass
class _State:
    rows: list[AbRow]
    taken: dict[int, list[PairSamples]] = field(default_factory=dict)


def run_ab(
    base: Side, head: Side, cases: Sequence[tuple[Case, Case]], options: AbOptions, listener: Listener | None = None
) -> AbResult:
    """Measure and judge ``cases``, each a case for base and one for head.

    Raises:
        UserError: a side does not run at all, or not a single case runs on both.
    """
    state = _State([AbRow(first, second) for first, second in cases])
    for look in range(LOOKS):
        open_rows = [i for i, row in enumerate(state.rows) if _open(row, look)]
        for index in range(options.pairs if open_rows else 0):
            _pair(base, head, state, open_rows, options, index, listener)
        if not state.taken:
            reason = next((text for row in state.rows for text in row.missing if text), "no case was chosen")
            raise UserError(f"nothing could be compared: {reason}")
        state.rows = judge_rows(
            [replace(row, pairs=tuple(state.taken.get(i, ()))) for i, row in enumerate(state.rows)], options.margin
        )
    return _counted(base, head, state.rows)


def _open(row: AbRow, look: int) -> bool:
    return not any(row.missing) and (look == 0 or row.change is Change.AMBIGUOUS)


def judge_rows(rows: Sequence[AbRow], margin: float = MARGIN) -> list[AbRow]:
    """The rows with ratios and verdicts; a verdict other than AMBIGUOUS and MISSING stands from an earlier look."""
    alpha = ALPHA / LOOKS
    ratios = [ratio_of_pairs([log_ratio(pair) for pair in row.pairs], alpha) for row in rows]
    known = [i for i, ratio in enumerate(ratios) if ratio is not None]
    adjusted = dict(zip(known, holm([ratio.p for ratio in ratios if ratio is not None]), strict=True))
    judged = []
    for i, (row, ratio) in enumerate(zip(rows, ratios, strict=True)):
        if any(row.missing):
            judged.append(replace(row, change=Change.MISSING))
        elif ratio is None:
            # One pair cannot tell how much pairs differ.
            judged.append(replace(row, change=Change.AMBIGUOUS if row.pairs else Change.MISSING))
        elif row.change in (Change.AMBIGUOUS, Change.MISSING):
            change = verdict(ratio, adjusted[i], margin, alpha)
            judged.append(replace(row, ratio=ratio, p=adjusted[i], change=change))
        else:
            judged.append(row)
    return judged


def _pair(
    base: Side,
    head: Side,
    state: _State,
    chosen: Sequence[int],
    options: AbOptions,
    index: int,
    listener: Listener | None,
) -> None:
    """One pair of fresh processes over the chosen cases, the order of sides and cases alternating over pairs."""
    remaining = list(chosen if index % 2 == 0 else reversed(chosen))
    while remaining:
        with ExitStack() as stack:
            workers = _started(stack, base, head, swap=index % 2 == 1)
            while remaining:
                i = remaining.pop(0)
                row = state.rows[i]
                if any(row.missing):
                    continue
                if listener is not None:
                    listener.doing(row.head.key)
                try:
                    samples = run_pair(*workers, (row.base, row.head), options.seconds)
                    state.taken.setdefault(i, []).append(samples)
                except CannotRun as error:
                    state.rows[i] = replace(row, missing=(error.base, error.head))
                except (CaseError, WorkerDied) as error:
                    # Which side it was is not known from here; neither is measured.  Others go on in a new pair.
                    state.rows[i] = replace(row, missing=(str(error), str(error)))
                    break
                finally:
                    if listener is not None:
                        listener.doing(row.head.key, finished=1)


def _started(stack: ExitStack, base: Side, head: Side, *, swap: bool) -> tuple[Worker, Worker]:
    """Both processes, started at the same time; ``swap``: head's first."""
    first, second = (head, base) if swap else (base, head)
    a, b = stack.enter_context(Worker(first)), stack.enter_context(Worker(second))
    for worker in (a, b):
        worker.greet()
    return (b, a) if swap else (a, b)


def _counted(base: Side, head: Side, rows: Sequence[AbRow]) -> AbResult:
    """The rows with what each side's step does, counted in processes of their own; and what the machine can do."""
    counted: list[list[Counts | None]] = []
    facts: dict[str, Any] = {}
    rates: list[Rates] = []
    for side, cases in ((base, [row.base for row in rows]), (head, [row.head for row in rows])):
        with Worker(side) as worker:
            counted.append([_count(worker, case) if row.pairs else None for case, row in zip(cases, rows, strict=True)])
            if side is head:
                for device, dtype in dict.fromkeys((case.device, case.dtype) for case in cases):
                    answer = worker.ask("rates", device=device, dtype=dtype)
                    rates.append(msgspec.convert(answer["rates"], Rates, str_keys=True, strict=False))
                    facts = answer["facts"]
    judged = [replace(row, counts=(first, second)) for row, first, second in zip(rows, *counted, strict=True)]
    return AbResult(tuple(judged), facts, tuple(rates))


def _count(worker: Worker, case: Case) -> Counts | None:
    try:
        return msgspec.convert(worker.ask("count", case=msgspec.to_builtins(case))["counts"], Counts)
    except (CaseError, WorkerDied):
        return None  # A witness more or less: the times stand.
