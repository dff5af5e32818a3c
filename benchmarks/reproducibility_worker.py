"""One run of `benchmarks.reproducibility`: judges claims in this interpreter, and prints what came out as JSON.

Experiments usually run with one thread whatever the machine has; here torch's operators get as many as are asked for.
Nothing is taken from an interrupted run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

import resbench.experiments.lab
from resbench.claims import load_claims, select
from resbench.experiments.lab import ALONE, Lab
from resbench.judge import Verdict
from resbench.plan import Run, items_of
from resbench.records.environment import environment
from resbench.records.evidence import stored
from resbench.records.results import Request, Result

__all__ = ["digest", "main", "measured"]


def digest(result: Result) -> str:
    """SHA-256 of all arrays of an experiment's result, as evidence stores them."""
    found = hashlib.sha256()
    for member in stored(result):
        for name, array in member.items():
            found.update(f"{name} {array.type} {array.shape} ".encode() + array.data)
    return found.hexdigest()


def measured(globs: Sequence[str], setting: str, threads: int) -> dict[str, Any]:
    """Verdicts by claim, and digests of the records that they were computed from, with ``threads`` torch threads.

    ``timed``: claims that read times, which no two runs share.
    """
    torch.set_num_threads(threads)
    resbench.experiments.lab.one_thread = given_threads
    records: dict[str, str] = {}

    class Noting(Lab):
        def _store(self, request: Request, result: Result) -> None:
            if request.experiment not in ALONE:
                records[f"{request.network}/{request.experiment}"] = digest(result)
            super()._store(request, result)

    resbench.plan.Lab = Noting
    items = items_of(select(load_claims(), globs), kinds=("trained",), settings=(setting,))
    verdicts = Run(items).verdicts()
    timed = [v.id for v in verdicts if any(check.quantity.startswith("speed.") for check in v.checks)]
    return {
        "environment": environment(),
        "threads": torch.get_num_threads(),
        "processors": len(os.sched_getaffinity(0)),
        "verdicts": {verdict.id: _plain(verdict) for verdict in verdicts},
        "timed": timed,
        "records": dict(sorted(records.items())),
    }


@contextmanager
def given_threads() -> Iterator[None]:
    """Instead of one thread: as many as torch was given."""
    yield


def _plain(verdict: Verdict) -> dict[str, Any]:
    """The status, and everything that was computed on the way to it."""
    judgements = [check.judgement for check in verdict.checks]
    return {"status": verdict.status.value, "checks": [[one.measured, one.interval] for one in judgements]}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--select", action="append", default=[])
    parser.add_argument("--setting", default="digits")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    print(json.dumps(measured(options.select, options.setting, options.threads)))


if __name__ == "__main__":
    main()
