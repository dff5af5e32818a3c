"""What to train and measure next: the networks that complete the most claims in the least time come first.

A claim can be judged when all that it reads is recorded, so the plan goes in steps: a set of networks, and the claims
that can be judged once it is there.  Nothing here knows of files, devices or torch's tensors.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from resbench.claims.loader import resolve_quantity
from resbench.claims.model import Claim
from resbench.claims.rules import nearest
from resbench.errors import UserError
from resbench.experiments.reading import requests_of
from resbench.records.results import Request
from resbench.records.versions import VERSIONS

__all__ = ["ALWAYS", "Need", "Step", "Work", "experiments_of", "needs_of", "planned", "selected", "steps"]

ALWAYS = ("evaluation", "training_curves")
"""Recorded of every trained network: they cost next to nothing beside the training."""

_ORDER = (*ALWAYS, "single_deletion", "multiple_deletion", "reordering", "duplication", "path_gradients", "step_times")

Cost = Callable[[str, Collection[str]], float]
"""Seconds of a network with these experiments, its training included where it is still to be trained."""


@dataclass(frozen=True)
class Need:
    """All that one claim reads in a setting."""

    claim: str
    requests: frozenset[Request]

    @property
    def networks(self) -> frozenset[str]:
        return frozenset(request.network for request in self.requests)


@dataclass(frozen=True)
class Step:
    """``networks``, the cheapest first, that complete ``claims`` once all steps before are done; ``seconds`` of both
    training and measuring them."""

    networks: tuple[str, ...]
    claims: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Work:
    """One network of a plan.

    ``experiments``: all that is wanted of it, in the order in which they are measured.  ``claims``: those that wait for
    it; ``completes``: those of them that can be judged when it is there.  ``seconds``: as estimated.
    """

    network: str
    experiments: tuple[str, ...]
    claims: tuple[str, ...] = ()
    completes: tuple[str, ...] = ()
    seconds: float = 0.0


def needs_of(claims: Sequence[Claim], setting: str) -> list[Need]:
    """What each of ``claims`` reads in ``setting``; claims that expect nothing of trained networks there are left out.

    A quantity that reads no experiment needs nothing.
    """
    found = []
    for claim in claims:
        requests: set[Request] = set()
        for expectation in claim.expect:
            if expectation.kind == "trained" and expectation.setting == setting:
                for named in requests_of(resolve_quantity(expectation.quantity), expectation.params):
                    requests.update(named if isinstance(named, list) else [named])
        if requests:
            found.append(Need(claim.id, frozenset(requests)))
    return found


def experiments_of(needs: Iterable[Need], network: str) -> tuple[str, ...]:
    """All that the needs read of ``network``, and what is always recorded, in the order of measuring."""
    wanted = {request.experiment for need in needs for request in need.requests if request.network == network}
    wanted |= set(ALWAYS)
    return _ordered(wanted)


def steps(
    needs: Sequence[Need], recorded: Callable[[Request], bool], cost: Cost, known: Collection[str]
) -> tuple[list[Step], list[Need]]:
    """The steps that complete all ``needs``, most claims a second first, and the needs that cannot be completed.

    ``recorded``: whether there is current evidence of a request.  ``known``: the networks that can be trained; a claim
    about another one cannot be completed.  Greedy: the next step is the set of networks, of those that some claim still
    lacks, that completes the most claims for its seconds; of equally good ones the cheaper, then the first by name.
    """
    lacking = {need.claim: {r.network for r in need.requests if not recorded(r)} for need in needs}
    impossible = [need for need in needs if not lacking[need.claim] <= set(known)]
    hopeless = {need.claim for need in impossible}
    waiting = {claim: networks for claim, networks in lacking.items() if networks and claim not in hopeless}
    seconds = {
        name: max(1e-9, cost(name, experiments_of(needs, name))) for networks in waiting.values() for name in networks
    }
    found = []
    while waiting:
        candidates = []
        for bundle in {frozenset(networks) for networks in waiting.values()}:
            completed = sorted(claim for claim, networks in waiting.items() if networks <= bundle)
            price = sum(seconds[name] for name in sorted(bundle))
            candidates.append((-len(completed) / price, price, sorted(bundle), completed))
        _, price, bundle_names, completed = min(candidates)
        found.append(Step(tuple(sorted(bundle_names, key=lambda n: (seconds[n], n))), tuple(completed), price))
        waiting = {
            claim: networks - set(bundle_names) for claim, networks in waiting.items() if claim not in set(completed)
        }
    return found, impossible


def planned(needs: Sequence[Need], order: Sequence[Step], cost: Cost) -> list[Work]:
    """The networks of a plan one by one; the last of a step completes its claims."""
    found = []
    for step in order:
        for name in step.networks:
            experiments = experiments_of(needs, name)
            waiting = tuple(sorted(need.claim for need in needs if name in need.networks))
            completes = step.claims if name == step.networks[-1] else ()
            found.append(Work(name, experiments, waiting, completes, cost(name, experiments)))
    return found


def selected(
    plan: Sequence[Work], needs: Sequence[Need], globs: Sequence[str], known: Collection[str], cost: Cost
) -> list[Work]:
    """What the globs name, in the plan's order; networks that no claim waits for follow, the cheapest first.

    ``NETWORK`` stands for what claims read of it, ``NETWORK/EXPERIMENT`` for anything that can be recorded.

    Raises:
        UserError: a glob names nothing.
    """
    if not globs:
        return list(plan)
    wanted: dict[str, set[str]] = {}
    for glob in globs:
        hits = _hits(glob, needs, known)
        if not hits:
            words = glob.split("/")
            near = nearest(words[0], sorted(known)) or f"; there are {', '.join(sorted(known))}"
            raise UserError(f"--select {glob}: no such network or NETWORK/EXPERIMENT{near}")
        for name, experiments in hits.items():
            wanted.setdefault(name, set()).update(experiments)
    by_name = {work.network: work for work in plan}
    place = {work.network: index for index, work in enumerate(plan)}
    found = []
    for name, experiments in wanted.items():
        waiting = tuple(sorted(need.claim for need in needs if name in need.networks))
        completes = by_name[name].completes if name in by_name else ()
        found.append(Work(name, _ordered(experiments), waiting, completes, cost(name, experiments)))
    return sorted(found, key=lambda work: (place.get(work.network, len(plan)), work.seconds, work.network))


def _ordered(experiments: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(experiments, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)))


def _hits(glob: str, needs: Sequence[Need], known: Collection[str]) -> dict[str, Collection[str]]:
    """Network to experiments that ``glob`` names."""
    if "/" not in glob:
        return {name: experiments_of(needs, name) for name in known if fnmatch.fnmatchcase(name, glob)}
    found = {name: [e for e in VERSIONS if fnmatch.fnmatchcase(f"{name}/{e}", glob)] for name in known}
    return {name: experiments for name, experiments in found.items() if experiments}
