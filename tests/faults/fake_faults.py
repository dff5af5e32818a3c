"""A catalogue of faults that behave in every way that a run has to cope with; importable in a fresh process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from resbench.faults.fault import Fault
from resbench.faults.patching import replaced, wrapped

_PATHS = "resbench.experiments.combinatorics"
_CLAIMS = ("veit-paths-2n", "veit-plain-single-path")
_TESTS = "tests/experiments/test_combinatorics.py"


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _raises() -> Iterator[None]:
    raise AttributeError("resbench.networks has no such thing")
    yield


def _slow() -> None:
    time.sleep(120)


def _one_more(original: Callable[..., int]) -> Callable[..., int]:
    return lambda n, deleted=0: original(n, deleted) + 1


HANGS = Fault(
    "hangs", "judge", "It never ends.", lambda: replaced("resbench.plan", "judge_claim", lambda *_: _slow()), _CLAIMS
)

ALL = (
    Fault("killed", "experiment", "One path too many.", lambda: wrapped(_PATHS, "path_count", _one_more), _CLAIMS),
    Fault("harmless", "experiment", "Nothing is wrong.", _nothing, _CLAIMS),
    Fault("impossible", "network", "It is of another version.", _raises, _CLAIMS),
    Fault(
        "dies",
        "judge",
        "The process ends.",
        lambda: replaced("resbench.plan", "judge_claim", lambda *_: os._exit(3)),
        _CLAIMS,
    ),
    Fault(
        "seen-by-a-test",
        "experiment",
        "One path too many.",
        lambda: wrapped(_PATHS, "path_count", _one_more),
        tests=(f"{_TESTS}::test_what_a_module_is_fed", f"{_TESTS}::test_no_such_test"),
    ),
    HANGS,
)
