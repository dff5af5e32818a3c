"""Faults of training, experiments, judge and records: named as they should be, gone afterwards, seen by claims."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from resbench.claims import load_claims
from resbench.experiments import structure_draws, structure_veit
from resbench.faults import ALL, experiments, judging, records, training
from resbench.faults.described import described
from resbench.faults.fault import Fault
from resbench.faults.selection import all_items
from resbench.judge import exit_code
from resbench.plan import Item, Run, items_of

MODULES = {"training": training, "experiment": experiments, "judge": judging, "records": records}
FAULTS = ALL
ROOT = Path(__file__).resolve().parents[2]
QUICK = ("any", "cifar10-public")
"""Settings in which nothing trained is measured: arithmetic, small networks, recorded evidence."""


KNOWN = all_items(load_claims())


def seen_by(globs: Sequence[str], items: Sequence[Item] = KNOWN) -> list[Item]:
    every = [glob if "@" in glob else f"{glob}@*" for glob in globs]
    return [item for item in items if any(fnmatchcase(item.id, glob) for glob in every)]


OF_MODULES = [fault for module in MODULES.values() for fault in module.FAULTS]
QUICKLY_SEEN = [fault for fault in OF_MODULES if any(item.setting in QUICK for item in seen_by(fault.claims))]


@contextmanager
def without_caches() -> Iterator[None]:
    def clear() -> None:
        for module in (structure_draws, structure_veit):
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()

    clear()
    yield
    clear()


def test_names_are_kebab_case_and_taken_once() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(names) == len(set(names)) > 70
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", name) for name in names)
    assert all(fault.what.endswith(".") and len(fault.what) < 140 for fault in FAULTS)
    assert all(fault.where == where for where, module in MODULES.items() for fault in module.FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_what_should_see_it_is_there(fault: Fault) -> None:
    assert all(seen_by([glob]) for glob in fault.claims)
    for test in fault.tests:
        file, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / file).read_text()


@pytest.mark.parametrize(("kind", "setting"), [("trained", "digits"), ("exact", "any"), ("structural", "any")])
def test_every_claim_is_meant_to_see_a_fault(kind: str, setting: str) -> None:
    """Whether it does, ``resbench faults`` tells: these are named because they were seen to."""
    named = {item.claim.id for fault in ALL for item in seen_by(fault.claims)}
    claims = [item.claim for item in items_of(load_claims(), kinds=(kind,), settings=(setting,))]
    assert len(claims) > 30
    assert [claim.id for claim in claims if claim.verified and not claim.descriptive and claim.id not in named] == []


def state() -> dict[tuple[str, str], Any]:
    """Every attribute of resbench's modules and of their classes."""
    found: dict[tuple[str, str], Any] = {}
    for key, module in list(sys.modules.items()):
        if key.split(".")[0] != "resbench" or module is None:
            continue
        for name, value in list(vars(module).items()):
            found[key, name] = value
            if isinstance(value, type) and value.__module__.startswith("resbench"):
                owner = f"{value.__module__}.{value.__qualname__}"  # once, whatever modules hold the class
                found |= {(owner, own): held for own, held in vars(value).items() if own != "__doc__"}
    return found


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_there_and_gone_afterwards(fault: Fault) -> None:
    before = state()
    with fault.inject():
        during = state()
        changed = [key for key in {**before, **during} if during.get(key) is not before.get(key)]
        assert changed
        assert len({name for _, name in changed}) < 5, "a small edit, wherever it is imported"
    after = state()
    assert [key for key, value in before.items() if after.get(key) is not value] == []


@pytest.mark.parametrize("fault", QUICKLY_SEEN, ids=lambda fault: fault.name)
def test_claims_see_it(fault: Fault) -> None:
    """As a number that is another than it should be; without the fault the claims HOLD (``pytest -m claims``)."""
    with without_caches(), fault.inject():
        judged = [item for item in seen_by(fault.claims, items_of(load_claims())) if item.setting in QUICK]
        verdicts = Run(judged).verdicts()
    red = [verdict.message for verdict in verdicts if exit_code([verdict], strict=False)]
    assert any(message.startswith("measured ") for message in red), verdicts


def test_a_fault_says_what_is_wrong() -> None:
    def nothing_said() -> Any: ...

    def two_lines_said() -> Any:
        """What is
        wrong.

        More of it.
        """

    with pytest.raises(ValueError, match="nothing-said does not say"):
        described("judge", nothing_said, "he-param-110")
    assert described("judge", two_lines_said, "he-param-110").what == "What is wrong."
    with pytest.raises(ValueError, match="neither a claim nor a test"):
        described("judge", two_lines_said)
