"""Past commits timed by today's ruler: a history to look at from the first day.

The commits take turns (A B C D, B C D A, ...), each in a process of its own, all alive at the same time.
Measured one after the other, half an hour of a shared machine's moods would look like the project's history.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import msgspec

from resbench.timing.lockstep import BLOCK_SECONDS
from resbench.timing.processes import Worker, WorkerDied
from resbench.timing.record import TimingRun
from resbench.timing.rounds import BenchOptions, Collected, Listener
from resbench.timing.sides import Subject
from resbench.timing.worker.case import Case, CaseError
from resbench.timing.worker.machine import facts, state
from resbench.timing.worker.seen import Round

__all__ = ["PastOptions", "run_past"]

_FEWEST = 6
"""Blocks of each commit, however slow a step is."""

_WARM_SECONDS = 2.0

Start = Callable[[Subject], Worker]


@dataclass(frozen=True)
class PastOptions:
    """``rounds``: fresh processes a commit.  ``seconds``: of samples, a case and process."""

    rounds: int = 5
    seconds: float = 0.5

    def about(self, cases: int, commits: int) -> float:
        """Seconds that it takes, roughly: beside the samples a case is prepared and warmed up, about 1.5 s on a CPU."""
        return self.rounds * commits * (cases * (2 * self.seconds + 1.5) + 4)


def run_past(
    subjects: Sequence[Subject],
    cases: Sequence[Case],
    options: PastOptions,
    listener: Listener | None = None,
    *,
    start: Start = lambda subject: Worker(subject.side),
) -> list[TimingRun]:
    """A run for each of ``subjects``, which are git revisions.

    Raises:
        UserError: one of them does not run at all.
    """
    # What several commits have in common as packages is that of this environment; the code is the commit's.
    collected = {
        one.commit: Collected(cases, BenchOptions(options.rounds, options.seconds, one.side)) for one in subjects
    }
    for index in range(options.rounds):
        with _Crew(subjects, start) as crew:
            for case in cases if index % 2 == 0 else cases[::-1]:
                if listener is not None:
                    listener.doing(case.key)
                _in_turn(crew, case, options, collected)
                if listener is not None:
                    listener.doing(case.key, finished=1)
    return [_run(commit, one) for commit, one in collected.items()]


def _run(commit: str, collected: Collected) -> TimingRun:
    collected.facts = facts()
    run = collected.run(commit[:9])
    ruler = run.environment.get("git")
    return msgspec.structs.replace(
        run, environment=run.environment | {"git": {"commit": commit, "dirty": False}, "ruler": ruler}
    )


class _Crew:
    """A worker for every commit; one that dies is replaced before the next case."""

    def __init__(self, subjects: Sequence[Subject], start: Start):
        self._subjects, self._start = {one.commit: one for one in subjects}, start
        self._held, self._workers, self._pids = ExitStack(), dict[str, Worker](), dict[str, int]()

    def __enter__(self) -> _Crew:
        try:
            for commit in self._subjects:
                self.replace(commit)
        except BaseException:
            self._held.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def replace(self, commit: str) -> None:
        worker = self._held.enter_context(self._start(self._subjects[commit]))
        self._pids[commit] = int(worker.greet()["pid"])
        self._workers[commit] = worker

    @property
    def workers(self) -> Mapping[str, Worker]:
        return self._workers

    @property
    def pids(self) -> list[int]:
        return list(self._pids.values())


@dataclass(frozen=True)
class _Warm:
    """``seconds``: per step, of a block of ``steps`` steps."""

    steps: int
    warmup: int
    steady: bool
    seconds: float


def _in_turn(crew: _Crew, case: Case, options: PastOptions, collected: Mapping[str, Collected]) -> None:
    """One round of ``case`` at every commit that can run it."""
    warm: dict[str, _Warm] = {}
    died: list[str] = []

    def failed(commit: str, error: CaseError | WorkerDied) -> None:
        collected[commit].errors[case] = str(error) if isinstance(error, CaseError) else f"its process ended: {error}"
        warm.pop(commit, None)
        if isinstance(error, WorkerDied):
            died.append(commit)

    for commit, worker in crew.workers.items():
        if case not in collected[commit].errors:
            try:
                warm[commit] = _warmed(worker, case)
            except (CaseError, WorkerDied) as error:
                failed(commit, error)
    taken: dict[str, list[float]] = {commit: [] for commit in warm}
    steps = _steps(list(warm.values()))
    before, passes = state(crew.pids), 0
    while warm and (passes < _FEWEST or min(sum(taken[commit]) for commit in warm) * steps < options.seconds):
        # Turned by one every time: back and forth, those at the ends would follow themselves.
        turn = passes % len(warm)
        for commit in [*list(warm)[turn:], *list(warm)[:turn]]:
            try:
                # Twice, and the second counts: after another process's turn the caches are its own, which made a step
                # of 9 ms 8 % slower.
                crew.workers[commit].ask("time", steps=steps)
                taken[commit].append(float(crew.workers[commit].ask("time", steps=steps)["seconds"]))
            except (CaseError, WorkerDied) as error:
                failed(commit, error)
        passes += 1
    after = state(crew.pids)
    for commit, one in warm.items():
        crew.workers[commit].ask("close")
        collected[commit].rounds[case].append(Round(tuple(taken[commit]), steps, one.warmup, one.steady, before, after))
    for commit in died:
        crew.replace(commit)


def _warmed(worker: Worker, case: Case) -> _Warm:
    worker.ask("prepare", case=msgspec.to_builtins(case))
    done = worker.ask("warm", limit=_WARM_SECONDS)
    seconds = float(worker.ask("time", steps=done["steps"])["seconds"])
    return _Warm(done["steps"], done["warmup"], done["steady"], seconds)


def _steps(warm: Sequence[_Warm]) -> int:
    """Steps in a block, the same for all: a block must mean the same work, and outlast the waking of a process."""
    steps = max((one.steps for one in warm), default=1)
    fastest = min((one.seconds for one in warm), default=BLOCK_SECONDS)
    return steps * max(1, math.ceil(BLOCK_SECONDS / (fastest * steps)))
