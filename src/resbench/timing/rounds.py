"""``resbench bench``: every case in several fresh processes, one after another, interleaved over the cases.

Runs differ more than the samples within one do (address space layout, memory, the machine's mood), so a case is not
measured long but often: once a process, the processes minutes apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from resbench.records.environment import environment
from resbench.timing.fingerprint import fingerprint
from resbench.timing.health import unhealthy
from resbench.timing.processes import Side, Worker, WorkerDied, here
from resbench.timing.record import SCHEMA, TimingRecord, TimingRun
from resbench.timing.worker.case import Case, CaseError
from resbench.timing.worker.seen import Counts, Rates, Round

__all__ = ["GPU_PROCESSES", "GPU_SECONDS", "PROCESSES", "SECONDS", "BenchOptions", "Collected", "Listener", "run_bench"]

PROCESSES, SECONDS = 5, 0.3
"""Fresh processes, and seconds of samples of one case in one of them."""

GPU_PROCESSES, GPU_SECONDS = 2, 0.05
"""On a GPU, which is quieter, has shorter steps and a larger grid."""


class Listener(Protocol):
    """Told of what is done: ``doing`` as :class:`resbench.progress.CountProgress` has it."""

    def doing(self, what: str, *, finished: int = 0) -> None: ...


@dataclass(frozen=True)
class BenchOptions:
    """``processes``: fresh processes, each measuring every case once for about ``seconds``."""

    processes: int = PROCESSES
    seconds: float = SECONDS
    side: Side = field(default_factory=lambda: here("this resbench"))


class Collected:
    """What has been measured so far; :meth:`run` makes a record of it at any moment, also after an interruption."""

    def __init__(self, cases: Sequence[Case], options: BenchOptions):
        self.cases, self.options = tuple(cases), options
        self.rounds: dict[Case, list[Round]] = {case: [] for case in cases}
        self.errors: dict[Case, str] = {}
        self.counts: dict[Case, Counts] = {}
        self.rates: dict[tuple[str, str], Rates] = {}
        self.facts: dict[str, Any] = {}

    def run(self, name: str) -> TimingRun:
        """The run as far as it has come; a case without samples has the reason."""
        # What the workers saw of the hardware stands above what this process, which may have no torch, can see.
        found = {**environment(), **self.facts}
        return TimingRun(
            schema=SCHEMA,
            name=name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            fingerprint=fingerprint(found),
            environment=found,
            records=tuple(self._record(case) for case in self.cases),
            rates=tuple(self.rates.values()),
        )

    def _record(self, case: Case) -> TimingRecord:
        rounds = tuple(self.rounds[case])
        error = self.errors.get(case, "") or ("" if rounds else "not measured before the run was interrupted")
        # A case that failed in one process and not in another is not a case that was measured.
        kept = rounds if not error else ()
        reasons = unhealthy(kept, self.facts, case.threads) if kept else ()
        return TimingRecord(case, case.version, kept, self.counts.get(case), error, reasons)


def run_bench(collected: Collected, listener: Listener | None = None) -> None:
    """Measure the cases of ``collected``, into it.

    A case that fails does not stop the others; a process that dies is replaced and the case it died of has no record.

    Raises:
        UserError: the code under test does not run at all.
    """
    options = collected.options
    for index in range(options.processes):
        # Forwards and backwards in turn: a machine that warms up does not favour the first cases.
        order = collected.cases if index % 2 == 0 else collected.cases[::-1]
        last = index == options.processes - 1
        worker = _start(options.side)
        try:
            for case in order:
                if case in collected.errors:
                    continue
                if listener is not None:
                    listener.doing(case.key)
                try:
                    _measure(worker, case, collected, count=last)
                except CaseError as error:
                    collected.errors[case] = str(error)
                except WorkerDied as error:
                    collected.errors[case] = f"its process ended: {error}"
                    worker.end()
                    worker = _start(options.side)
                if listener is not None:
                    listener.doing(case.key, finished=1)
        finally:
            worker.end()


def _start(side: Side) -> Worker:
    worker = Worker(side)
    try:
        worker.greet()
    except BaseException:
        worker.end()
        raise
    return worker


def _measure(worker: Worker, case: Case, collected: Collected, *, count: bool) -> None:
    asked = msgspec.to_builtins(case)
    answer = worker.ask("measure", case=asked, seconds=collected.options.seconds)
    collected.rounds[case].append(msgspec.convert(answer["round"], Round))
    if not count:
        return
    collected.counts[case] = msgspec.convert(worker.ask("count", case=asked)["counts"], Counts)
    place = (case.device, case.dtype)
    if place not in collected.rates:
        answer = worker.ask("rates", device=case.device, dtype=case.dtype)
        collected.rates[place] = msgspec.convert(answer["rates"], Rates, str_keys=True, strict=False)
        collected.facts |= answer["facts"]
