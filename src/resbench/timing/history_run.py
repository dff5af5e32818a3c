"""Which commits and cases the history of this repository is measured with."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from resbench.errors import UserError
from resbench.progress import CountProgress
from resbench.timing.past import PastOptions, run_past
from resbench.timing.record import TimingRun
from resbench.timing.sides import resolved
from resbench.timing.worker.case import Case

__all__ = ["HISTORY", "chosen", "measured", "not_everywhere"]

HISTORY = (
    "unit:original/64@8/step/*",
    "unit:preact/16@32/step/*",
    "unit:preact/64@8/step/*",
    "unit:preact/64@8/inference/float32/nchw/*",
    "unit:preact~0.5/64@8/step/*",
    "unit:preact-bottleneck/*/step/*",
    # Of a library, the same at every commit: what moves here is the machine.
    "peer:torchvision.BasicBlock/64@8/step/*",
    "net:resnet20-preact/*",
    "engine:lesion-single/*",
    "engine:paths-exact/*",
)
"""Of the default set, the cases that tell most about it, in a third of its time."""


def chosen(revisions: Sequence[str], count: int) -> list[str]:
    """The commits meant, oldest first; at most ``count``, evenly spaced, the first and the last among them.

    Raises:
        UserError: a revision does not exist, or a range is empty.
    """
    found: dict[str, None] = {}
    for revision in revisions:
        ranged = ".." in revision
        span = ["--first-parent", "--reverse", revision, "--", "src"] if ranged else ["--max-count=1", revision, "--"]
        asked = subprocess.run(["git", "rev-list", *span], capture_output=True, text=True, check=False)
        commits = asked.stdout.split()
        if asked.returncode != 0 or revision.startswith("-"):
            raise UserError(f"'{revision}' is no revision here; a shallow clone may lack it: git fetch --unshallow")
        if not commits:
            raise UserError(f"no commit of '{revision}' changed src/")
        found |= dict.fromkeys(commits)
    walk = ["git", "rev-list", "--topo-order", "--reverse", *found]
    walked = subprocess.run(walk, capture_output=True, text=True, check=True).stdout.split()
    ordered = [commit for commit in walked if commit in found]
    if len(ordered) <= count:
        return ordered
    if count == 1:
        return ordered[-1:]
    return [ordered[round(index * (len(ordered) - 1) / (count - 1))] for index in range(count)]


def measured(commits: Sequence[str], cases: Sequence[Case], options: PastOptions) -> list[TimingRun]:
    """A run for every commit.

    Raises:
        UserError: one of them does not run at all.
    """
    with ExitStack() as held:
        subjects = [held.enter_context(resolved(commit, label=commit[:9])) for commit in commits]
        with CountProgress(len(cases) * options.rounds) as progress:
            return run_past(subjects, cases, options, progress)


def not_everywhere(runs: Sequence[TimingRun]) -> Iterator[str]:
    """The cases that some commits cannot run, one line each with the first reason."""
    reasons: dict[str, list[str]] = {}
    for run in runs:
        for record in run.records:
            if record.error:
                reasons.setdefault(record.key, []).append(f"{run.name}: {record.error}")
    for key, found in reasons.items():
        yield f"{key} was not measured at {len(found)} of {len(runs)} commits ({found[0]})"
