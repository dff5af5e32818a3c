"""Numbers of one record, computed from its raw samples every time: nothing here is stored.

A round is a process.  A process is described by its undisturbed time
(:func:`resbench.timing.worker.undisturbed.undisturbed`), a record by the geometric mean over its processes, as the
interval and a comparison's ratio are.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np

from resbench.timing.change import ALPHA
from resbench.timing.record import TimingRecord, TimingRun
from resbench.timing.worker.case import Case
from resbench.timing.worker.seen import Rates
from resbench.timing.worker.undisturbed import undisturbed

__all__ = [
    "FOREIGN",
    "TOOL",
    "bandwidth",
    "case_name",
    "images_per_second",
    "interval",
    "mean_interval",
    "process_times",
    "rates_of",
    "seconds",
    "utilisation",
]


FOREIGN = ("pytest", "asv")
"""Kinds of subjects of other people's benchmarks: only the name of such a case says anything."""


TOOL = "tool"
"""In an environment: whose file it was read from, where that is not resbench's own."""


def case_name(case: Case) -> str:
    """The case's key, or the name of another tool's benchmark."""
    return case.name if case.kind in FOREIGN else case.key


def process_times(record: TimingRecord) -> tuple[float, ...]:
    """Seconds per step, one number a process: independent of each other, unlike the samples within a process."""
    return tuple(undisturbed(one.seconds) for one in record.rounds)


def seconds(record: TimingRecord) -> float | None:
    """Seconds per step; None without samples."""
    return statistics.geometric_mean(process_times(record)) if record.rounds else None


def interval(record: TimingRecord) -> tuple[float, float] | None:
    """Where the seconds per step of such processes lie on average, with coverage 1 - ALPHA; None for one process."""
    return mean_interval(process_times(record))


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Student's interval of the geometric mean of positive values; None for fewer than two."""
    from scipy.stats import t as student

    if len(values) < 2:
        return None
    logs = np.log(np.asarray(values, float))
    half = float(student.ppf(1 - ALPHA / 2, len(logs) - 1) * logs.std(ddof=1) / math.sqrt(len(logs)))
    return math.exp(float(logs.mean()) - half), math.exp(float(logs.mean()) + half)


def images_per_second(record: TimingRecord) -> float | None:
    """For display only: a rate that falls looks like an improvement to tools that know one direction."""
    time = seconds(record)
    return record.case.batch / time if time and record.case.kind not in ("engine", *FOREIGN) else None


def bandwidth(record: TimingRecord) -> float | None:
    """Bytes a second that the least traffic of the step amounts to: what is achieved, not what the memory carried."""
    time = seconds(record)
    return record.counts.least_bytes / time if time and record.counts and record.counts.least_bytes else None


def rates_of(run: TimingRun, record: TimingRecord) -> Rates | None:
    """What the machine was measured to reach in the run, on the record's device and in its number format."""
    wanted = (record.case.device, record.case.dtype)
    return next((rates for rates in run.rates if (rates.device, rates.dtype) == wanted), None)


def utilisation(run: TimingRun, record: TimingRecord) -> float | None:
    """The least time that the machine needs for the step over the time that it took; None if either is unknown."""
    from resbench.timing.roofline import utilisation

    time, rates = seconds(record), rates_of(run, record)
    if time is None or record.counts is None or rates is None:
        return None
    return utilisation(time, record.counts, rates)
