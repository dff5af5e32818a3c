"""A throw-away repository with resbench's suites and settings, and runs of its commits with made-up times."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from resbench.timing.record import SCHEMA, TimingRecord, TimingRun
from resbench.timing.worker.case import Case
from resbench.timing.worker.seen import Round

ROOT = Path(__file__).parents[2]

PREACT = Case("unit:preact", "64@8")
ORIGINAL = Case("unit:original", "64@8")
NETWORK = Case("net:resnet20-preact", "3x32x32", passing="inference")

Times = Callable[[Case, int], float]
"""Seconds of a case at the n-th commit."""


def git(folder: Path, *arguments: str) -> str:
    identity = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b",
    }
    done = subprocess.run(
        ["git", "-C", str(folder), "-c", "commit.gpgsign=false", *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **identity},
    )
    return done.stdout.strip()


def repository(folder: Path, commits: int) -> list[str]:
    """A repository with that many commits on main; their hashes, oldest first."""
    folder.mkdir()
    shutil.copy(ROOT / "asv.conf.json", folder)
    shutil.copytree(ROOT / "benchmarks", folder / "benchmarks", ignore=shutil.ignore_patterns("__pycache__"))
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", ".")
    hashes = []
    for index in range(commits):
        date = f"2026-01-{index + 1:02d}T12:00:00+0000"
        git(folder, "commit", "--quiet", "--allow-empty", "--message", f"commit {index}", "--date", date)
        hashes.append(git(folder, "rev-parse", "HEAD"))
    return hashes


def timing_run(
    commit: str,
    times: dict[Case, float],
    *,
    seed: int = 0,
    processes: int = 3,
    fingerprint: str = "cpu-epyc-7xx3-torch2.15",
    environment: dict[str, object] | None = None,
) -> TimingRun:
    """A run whose processes differ by 0.5 %; a time of 0 stands for a case that could not be measured."""
    generator = random.Random(f"{seed} {commit}")
    records = []
    for case, seconds in times.items():
        rounds = tuple(
            Round(tuple(seconds * generator.gauss(1, 0.005) for _ in range(5)), 1, 10, True) for _ in range(processes)
        )
        records.append(
            TimingRecord(case, case.version, rounds)
            if seconds
            else TimingRecord(case, case.version, error=f"{case.key}: not in this revision")
        )
    facts: dict[str, object] = {
        "python": "3.11.7",
        "packages": {"resbench": "0.1.0", "torch": "2.15.0+cpu"},
        "system": "Linux x86_64",
        "cpu": "AMD EPYC",
        "cores": 2,
        "gpu": None,
        "git": {"commit": commit, "dirty": False},
    }
    return TimingRun(
        SCHEMA, commit[:8], "2026-11-21T08:00:00+00:00", fingerprint, facts | (environment or {}), tuple(records)
    )


def history(commits: Sequence[str], times: Times) -> list[TimingRun]:
    """A run of three cases for every commit."""
    return [
        timing_run(commit, {case: times(case, index) for case in (PREACT, ORIGINAL, NETWORK)})
        for index, commit in enumerate(commits)
    ]


def slowed(case: Case, index: int) -> float:
    """The pre-activation unit takes 20 % more from the ninth commit on; the others stay."""
    base = {PREACT: 4e-3, ORIGINAL: 5e-3, NETWORK: 30e-3}[case]
    return base * (1.2 if case == PREACT and index >= 8 else 1.0)
