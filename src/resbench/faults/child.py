"""What the process of one fault does: it injects the fault, judges claims, runs tests, and says what came of it."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resbench.faults.fault import Fault
from resbench.faults.patching import replaced, together

if TYPE_CHECKING:
    from resbench.faults.subjects import Subject
    from resbench.plan import Item, Run

__all__ = ["IMPORTED", "Finding", "Job", "repository", "work"]

IMPORTED = (
    "torch",
    "resbench.checking",
    "resbench.faults.child",
    "resbench.experiments.structure_draws",
    "resbench.experiments.structure_he_activation",
    "resbench.experiments.structure_veit",
    "resbench.targets.load",
)
"""What every fault's process needs, imported once."""

_PASSES = 400
"""Training passes of a network with stochastic depth: a fixed number, so that all machines see the same draws."""

Answer = tuple[str, str]
"""A status, and the words that go with it."""


@dataclass(frozen=True)
class Job:
    """``fault``: a name in ``catalogue`` (a module with ``ALL``), None for none; ``items``: ids to judge."""

    fault: str | None
    items: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    catalogue: str = "resbench.faults"


@dataclass(frozen=True)
class Finding:
    """``claims``: item id -> status and message; ``tests``: node id -> ``passed``, ``failed`` or ``not run``, and why.

    ``error``: why the fault could not be there at all.  ``seconds``: of one core.
    """

    claims: dict[str, Answer] = field(default_factory=dict)
    tests: dict[str, Answer] = field(default_factory=dict)
    error: str = ""
    seconds: float = 0.0


def work(job: Job) -> Finding:
    """Do a job in this process, which is then good for nothing else."""
    stack = ExitStack()
    try:
        if job.fault is not None:
            stack.enter_context(_fault(job.catalogue, job.fault).inject())
    except Exception as error:
        return Finding(error=f"its injection raised {_said(error)}")
    with stack:
        claims, tests = _judged(job.items), _tested(job.tests)
    return Finding(claims, tests, seconds=time.process_time())


def _fault(catalogue: str, name: str) -> Fault:
    faults: Sequence[Fault] = importlib.import_module(catalogue).ALL
    return next(fault for fault in faults if fault.name == name)


def _said(error: BaseException) -> str:
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


# --- claims ---------------------------------------------------------------------------------------------------------


def _judged(ids: Sequence[str]) -> dict[str, Answer]:
    """The verdicts as `resbench check` would reach them in this process; whatever it raises is an ERROR."""
    if not ids:
        return {}
    from resbench.claims import load_claims
    from resbench.faults.selection import all_items
    from resbench.plan import TARGET, Run

    answers: dict[str, Answer] = dict.fromkeys(ids, ("ABSENT", "there is no such claim under this fault"))
    with _alone():
        try:
            items = [item for item in all_items(load_claims()) if item.id in answers]
        except Exception as error:
            return dict.fromkeys(ids, ("ERROR", _said(error)))
        own = [item for item in items if item.setting != TARGET]
        for id, answer in _verdicts(partial(Run, own), own):
            answers[id] = answer
        for id, answer in _on_subjects([item for item in items if item.setting == TARGET]):
            answers[id] = _worse(answers[id], answer)
    return answers


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Others run beside this process: it takes one core, and does not go by the clock."""
    with together(
        replaced("resbench.experiments.lab", "workers", lambda: 1),
        replaced("resbench.experiments.unit_draws", "_LEAST", _PASSES),
        replaced("resbench.experiments.unit_draws", "_SECONDS", 0.0),
    ):
        yield


def _verdicts(run: Callable[[], Run], items: Sequence[Item]) -> Iterator[tuple[str, Answer]]:
    try:
        started = run()
    except Exception as error:
        yield from ((item.id, ("ERROR", _said(error))) for item in items)
        return
    for item in items:
        try:
            verdict = started.verdict(item)
            yield item.id, (str(verdict.status.value), str(verdict.message))
        except Exception as error:  # `resbench check` would end with exit code 2
            yield item.id, ("ERROR", _said(error))


def _on_subjects(items: Sequence[Item]) -> Iterator[tuple[str, Answer]]:
    from resbench.faults.subjects import SUBJECTS

    for subject in SUBJECTS:
        asked = subject.items(items)
        if asked:
            yield from _verdicts(partial(_run_on, subject, asked), asked)


def _run_on(subject: Subject, items: Sequence[Item]) -> Run:
    from resbench.plan import Run

    return Run(items, target=subject.build())


def _worse(one: Answer, other: Answer) -> Answer:
    """What several networks say of a claim: that it is broken, if one says so; nothing, if none has anything to say."""
    order = ("ERROR", "VIOLATED", "STALE", "INCONCLUSIVE", "HOLDS", "WAIVED", "NOT_MEASURED", "ABSENT")
    return min(one, other, key=lambda answer: order.index(answer[0]))


# --- tests ----------------------------------------------------------------------------------------------------------

_LATE = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
"""Plugins (resbench's own too) are imported already: their assertions cannot be rewritten, nor need be."""


def repository() -> Path | None:
    """The checkout whose code runs, with its tests; None where resbench is installed without them."""
    import resbench

    root = Path(resbench.__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() and (root / "tests").is_dir() else None


class _Outcomes:
    """A plugin of pytest that keeps how each test ended."""

    def __init__(self) -> None:
        self.failed: dict[str, str] = {}
        self.passed: set[str] = set()

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed.setdefault(report.nodeid, str(report.longreprtext).strip().splitlines()[-1:][0])
        elif report.passed and report.when == "call":
            self.passed.add(report.nodeid)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.failed.setdefault(report.nodeid, "it could not be collected")

    def answer(self, test: str) -> Answer:
        failed = [words for id, words in self.failed.items() if _part_of(id, test)]
        if failed:
            return "failed", failed[0]
        if any(_part_of(id, test) for id in self.passed):
            return "passed", ""
        return "not run", "pytest found no such test, or skipped it"


def _part_of(id: str, test: str) -> bool:
    return id == test or id.startswith((f"{test}::", f"{test}[")) or test.startswith(f"{id}::")


def _tested(tests: Sequence[str]) -> dict[str, Answer]:
    """How the tests end in this process, run as ``pytest`` in the repository would."""
    if not tests:
        return {}
    root = repository()
    if root is None:
        return dict.fromkeys(tests, ("not run", "the tests are not installed: run it in a checkout of the repository"))
    if find_spec("pytest") is None:
        return dict.fromkeys(tests, ("not run", "pytest is not installed: pip install 'resbench[test]'"))
    os.chdir(root)
    code, answers = _ran(tests)
    # One that is not there keeps pytest from running any.
    return answers if code in _ENDED or len(tests) == 1 else {test: _ran([test])[1][test] for test in tests}


_ENDED = (0, 1)
"""pytest's exit codes where all tests that were asked for have run: passed, and some failed."""


def _ran(tests: Sequence[str]) -> tuple[int, dict[str, Answer]]:
    import pytest

    outcomes, said = _Outcomes(), io.StringIO()
    options = ["--quiet", "--tb=line", "-p", "no:cacheprovider", "--rootdir=.", *_LATE]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = int(pytest.main([*options, *tests], plugins=[outcomes]))
    if code not in _ENDED and not outcomes.failed:
        last = (said.getvalue().strip().splitlines() or [str(code)])[-1]
        return code, dict.fromkeys(tests, ("not run", f"pytest ended with {last}"))
    return code, {test: outcomes.answer(test) for test in tests}
