"""Sequential mode: which statements of a run are decided while lesions are measured, and the record of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from resbench.claims.loader import resolve_quantity
from resbench.claims.model import Expectation
from resbench.confidence_sequences import METHOD, SOURCE
from resbench.experiments.lesion_bounds import DESCRIPTION_ONLY, READINGS
from resbench.experiments.lesion_sequential import LOOK, Part, parts_of, sweep
from resbench.experiments.lesion_stopping import EARLY, Statement, Stopping, last_confidence
from resbench.experiments.reading import requests_of
from resbench.records.measurement import Measurement
from resbench.records.partial import PartialResults
from resbench.records.results import Request

if TYPE_CHECKING:
    from resbench.experiments.lab import Lab
    from resbench.judge import Verdict

__all__ = ["ALPHA", "Sequential", "measure_sequentially"]

ALPHA = 0.05
"""As the confidence of the ordinary verdicts, 95 %."""

_SWEEP = "single_deletion"
_LESIONS = ("lesions", "unit_lesions")


@dataclass
class Sequential:
    """What is asked for, the probability ``alpha`` of a false verdict on a statement; and what became of it.

    ``seed``: of the order in which images are looked at.  ``reused``: how many lesioned images an interrupted run had
    left; the rest of the record does not depend on it.
    """

    alpha: float
    seed: int = 0
    statements: list[dict[str, Any]] = field(default_factory=list)
    networks: list[dict[str, Any]] = field(default_factory=list)
    all_images: list[dict[str, Any]] = field(default_factory=list)
    reused: int = 0

    def to_json(self, verdicts: Sequence[Verdict]) -> dict[str, Any]:
        """The record: every statement with its images, every network with the images that its lesions saw together.

        ``on_all_images``: statements on lesions that cannot be decided early.  ``status``: that of the whole claim.
        """
        found = {f"{verdict.id}@{verdict.setting}": verdict.status.value for verdict in verdicts}
        return {
            "alpha": self.alpha,
            "alpha_early": round(EARLY * self.alpha, 9),
            "last_look_confidence": round(last_confidence(self.alpha), 9),
            "method": METHOD,
            "source": SOURCE,
            "look": LOOK,
            "seed": self.seed,
            "statements": [{**one, "status": found.get(one["name"])} for one in self.statements],
            "networks": self.networks,
            "on_all_images": self.all_images,
        }


def measure_sequentially(
    lab: Lab,
    named: Sequence[tuple[str, Expectation]],
    sequential: Sequential,
    kept: PartialResults | None = None,
) -> None:
    """Run the single deletions that ``named`` expectations read only on as many images as their verdicts need.

    An expectation that needs all images of a network makes its sweep an ordinary one.  To be called before the rest is
    measured.

    Args:
        named: every expectation of the run in the lab's setting, with its claim's name.
        sequential: gets the record.
        kept: where what was seen waits should the run be interrupted; of two processes the second finds it there.
    """
    with lab.operators(), nullcontext() if kept is None else kept.lock(Request("looks", lab.setting)):
        _measure(lab, named, sequential, kept)


def _measure(
    lab: Lab, named: Sequence[tuple[str, Expectation]], sequential: Sequential, kept: PartialResults | None
) -> None:
    reading = [(name, one, networks) for name, one in named if (networks := _networks(one))]
    whole = {
        network
        for _, one, networks in reading
        for network in networks
        if one.quantity not in READINGS and one.quantity not in DESCRIPTION_ONLY
    }
    parts: dict[str, list[Part]] = {}
    for network in dict.fromkeys(n for _, _, networks in reading for n in networks if n not in whole):
        try:
            parts[network] = parts_of(lab.members(network), sequential.seed, kept, network)
        except Exception as error:  # the lab raises it again for every expectation that reads it
            lab.remember(Request(_SWEEP, network), error)
    statements = [
        Statement(name, one, networks)
        for name, one, networks in reading
        if one.quantity in READINGS and all(network in parts for network in networks)
    ]
    read = {network for statement in statements for network in statement.networks}
    swept = {network: members for network, members in parts.items() if network in read}
    stopping = Stopping(statements, {n: members[0].describe() for n, members in swept.items()}, sequential.alpha)
    requests = [Request(_SWEEP, network) for network in swept]
    if lab.listener is not None and requests:
        lab.listener.started(requests)
    for network, result in sweep(stopping, swept).items():
        lab.remember(Request(_SWEEP, network), result)
        if lab.listener is not None:
            lab.listener.finished(Request(_SWEEP, network))
    late = [statement for statement in statements if not statement.decided]
    for statement in late:
        statement.outcome = _last_look(lab, statement, sequential.alpha)
    for statement in statements:
        assert statement.outcome is not None
        lab.decide(statement.expectation, statement.outcome)
        sequential.statements.append(_statement(statement, statement not in late, swept))
    sequential.networks += [_network(name, members) for name, members in swept.items()]
    sequential.reused += sum(part.reused for members in swept.values() for part in members)
    sequential.all_images += [
        _described(name, one)
        for name, one in named
        if one.quantity.split(".")[0] in _LESIONS and (one.quantity not in READINGS or whole & {*_networks(one)})
    ]


def _networks(expectation: Expectation) -> tuple[str, ...]:
    """The networks whose single deletions an expectation reads."""
    try:
        found = requests_of(resolve_quantity(expectation.quantity), expectation.params)
    except Exception:  # the item itself reports it
        return ()
    requests = [each for one in found for each in (one if isinstance(one, list) else [one])]
    return tuple(request.network for request in requests if request.experiment == _SWEEP)


def _last_look(lab: Lab, statement: Statement, alpha: float) -> Measurement | Exception:
    """The ordinary quantity on all images, with what is left of alpha."""
    confidence = last_confidence(alpha)
    try:
        found = lab.evaluate(statement.expectation)
    except Exception as error:
        return error
    method = f"{found.method}; last look of a sequential run, {100 * confidence:.4g} %"
    return replace(found, confidence=confidence, method=method)


def _described(name: str, expectation: Expectation) -> dict[str, Any]:
    return {"name": name, "quantity": expectation.quantity, "params": expectation.params}


def _statement(statement: Statement, early: bool, swept: Mapping[str, Sequence[Part]]) -> dict[str, Any]:
    """``images``: of each network as many as were looked at; ``lesions``: how many each single lesion had seen."""
    measured = isinstance(statement.outcome, Measurement)
    everything = {name: [sum(map(len, swept[name]))] * (swept[name][0].plans - 1) for name in statement.networks}
    of = max(sum(map(len, swept[name])) for name in statement.networks)
    return {
        **_described(statement.name, statement.expectation),
        "decided": ("early" if early else "at the last look") if measured else "not measured",
        "images": statement.outcome.n if isinstance(statement.outcome, Measurement) else 0,
        "of": of,
        "lesions": statement.images if early else everything,
    }


def _network(name: str, parts: Sequence[Part]) -> dict[str, Any]:
    """``passes``: images times lesions that were run, the whole network among them; ``of``: of a full sweep."""
    return {
        "network": name,
        "images": sum(map(len, parts)),
        "lesions": parts[0].plans - 1,
        "passes": sum(part.passes for part in parts),
        "of": sum(part.plans * len(part) for part in parts),
    }
