"""Where a case stands in asv's site: the benchmark and its two parameters, and back.

``units.Step.track_cpu`` with ``unit`` (``preact 64@8 b32``) and ``conditions`` (``float32 nchw eager cpu1``).  Both the
suites in ``benchmarks/suites/`` and the exporter take their names from here, so that their results lie in one graph.

Two parameters and not eight: asv starts a process for every element of the parameters' product, also where no such case
exists.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .case import VERSIONS, Case, CaseError, parse

__all__ = ["MODULES", "NOUNS", "PASSES", "Place", "case_at", "param_names", "parameters", "place", "version"]

MODULES = {"unit": "units", "peer": "peers", "net": "networks", "engine": "engines"}
"""The suite's module, by kind of subject."""

NOUNS = {"unit": "unit", "peer": "block", "net": "network", "engine": "engine"}
"""What a subject is called among the parameters."""

PASSES = {"inference": "Inference", "forward": "Forward", "step": "Step"}
"""The suite's class, by pass."""


class Place(NamedTuple):
    """``benchmark`` is asv's name; ``work`` and ``conditions`` are its parameters' values."""

    benchmark: str
    work: str
    conditions: str


def place(case: Case) -> Place:
    """Where ``case`` stands."""
    device = "cuda" if case.cuda else "cpu"
    conditions: list[str] = [case.dtype, case.format, case.mode, case.device]
    if case.cache != "warm":
        conditions.append(case.cache)
    return Place(
        f"{MODULES[case.kind]}.{PASSES[case.passing]}.track_{device}",
        f"{case.name} {case.shape} b{case.batch}",
        " ".join(conditions),
    )


def case_at(at: Place) -> Case:
    """The case that stands there.  Raises: CaseError where none can."""
    try:
        module, passing, _ = at.benchmark.split(".")
        kind = {name: kind for kind, name in MODULES.items()}[module]
        word = {name: word for word, name in PASSES.items()}[passing]
        # A model's name may hold spaces, so the parts are counted from the right.
        name, shape, batch = at.work.rsplit(" ", 2)
        dtype, format, mode, device, *cache = at.conditions.split(" ")
    except (KeyError, ValueError):
        raise CaseError(f"{at.benchmark}({at.work}, {at.conditions}) is no case of resbench") from None
    case = parse("/".join([f"{kind}:{name}", shape, word, dtype, format, mode, batch, device, *cache]))
    if place(case) != at:
        raise CaseError(f"{at.benchmark}({at.work}, {at.conditions}) is no case of resbench")
    return case


def param_names(benchmark: str) -> tuple[str, str]:
    """The names of a benchmark's parameters."""
    return NOUNS[_kind(benchmark)], "conditions"


def version(benchmark: str) -> str:
    """asv cuts a benchmark's history where this changes; it is that of the benchmark's cases."""
    return VERSIONS[_kind(benchmark)]


def _kind(benchmark: str) -> str:
    return {name: kind for kind, name in MODULES.items()}[benchmark.partition(".")[0]]


def parameters(cases: Iterable[Case]) -> dict[str, tuple[list[str], list[str]]]:
    """For every benchmark that ``cases`` need: the values of its parameters, in the order of first appearance."""
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for case in cases:
        at = place(case)
        work, conditions = found.setdefault(at.benchmark, ({}, {}))
        work[at.work] = conditions[at.conditions] = None
    return {name: (list(work), list(conditions)) for name, (work, conditions) in found.items()}
