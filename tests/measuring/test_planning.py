"""Plans from hand-made needs, and those of the catalogue."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from resbench.claims import load_claims
from resbench.errors import UserError
from resbench.measuring.planning import ALWAYS, Need, Step, Work, experiments_of, needs_of, planned, selected, steps
from resbench.records.results import Request

SECONDS = {"a": 10.0, "b": 10.0, "c": 100.0, "d": 1.0}


def need(claim: str, *requests: str) -> Need:
    return Need(claim, frozenset(Request(*reversed(request.split("/"))) for request in requests))


def cost(network: str, experiments: Collection[str]) -> float:
    return SECONDS[network] + len(set(experiments) - set(ALWAYS))


def nothing(_: Request) -> bool:
    return False


def test_most_claims_a_second_come_first() -> None:
    needs = [
        need("one", "a/evaluation"),
        need("two", "a/evaluation", "c/evaluation"),
        need("three", "a/single_deletion"),
        need("four", "b/evaluation"),
    ]
    found, impossible = steps(needs, nothing, cost, SECONDS)
    assert found == [
        Step(("a",), ("one", "three"), 11.0),  # one experiment more than what is always measured
        Step(("b",), ("four",), 10.0),
        Step(("c",), ("two",), 100.0),
    ]
    assert impossible == []


def test_a_claim_counts_when_all_its_networks_are_there() -> None:
    """Three claims read c and d; alone neither completes any, together they beat b."""
    needs = [need(f"c{i}", "c/evaluation", "d/evaluation") for i in range(11)] + [need("b", "b/evaluation")]
    found, _ = steps(needs, nothing, cost, SECONDS)
    assert [step.networks for step in found] == [("d", "c"), ("b",)], "within a step the cheapest first"
    works = planned(needs, found, cost)
    assert [(work.network, len(work.completes)) for work in works] == [("d", 0), ("c", 11), ("b", 1)]
    assert works[0].claims == works[1].claims == tuple(sorted(f"c{i}" for i in range(11)))


def test_equal_steps_are_ordered_by_price_then_name() -> None:
    needs = [need("z", "b/evaluation"), need("y", "a/evaluation")]
    assert [step.networks for step in steps(needs, nothing, cost, SECONDS)[0]] == [("a",), ("b",)]


def test_what_is_recorded_is_not_planned() -> None:
    needs = [need("one", "a/evaluation"), need("two", "a/single_deletion", "b/evaluation")]
    done = {Request("evaluation", "a"), Request("single_deletion", "a")}
    found, _ = steps(needs, done.__contains__, cost, SECONDS)
    assert found == [Step(("b",), ("two",), 10.0)]
    assert steps(needs, lambda _: True, cost, SECONDS) == ([], [])


def test_a_claim_about_a_network_without_a_recipe_cannot_be_completed() -> None:
    needs = [need("one", "a/evaluation", "unknown/evaluation"), need("two", "a/evaluation")]
    found, impossible = steps(needs, nothing, cost, SECONDS)
    assert [step.claims for step in found] == [("two",)]
    assert impossible == [needs[0]]


def test_experiments_in_the_order_of_measuring() -> None:
    needs = [need("one", "a/path_gradients", "a/single_deletion"), need("two", "b/reordering")]
    assert experiments_of(needs, "a") == ("evaluation", "training_curves", "single_deletion", "path_gradients")


def test_selected_networks_and_experiments() -> None:
    needs = [need("one", "a/single_deletion"), need("two", "b/evaluation")]
    plan = planned(needs, steps(needs, nothing, cost, SECONDS)[0], cost)
    assert selected(plan, needs, (), SECONDS, cost) == plan
    assert selected(plan, needs, ("b",), SECONDS, cost) == [work for work in plan if work.network == "b"]
    every = selected(plan, needs, ("*",), SECONDS, cost)
    assert [work.network for work in every] == [*(work.network for work in plan), "d", "c"]
    assert every[-1] == Work("c", ALWAYS, (), (), 100.0)
    (one,) = selected(plan, needs, ("c/re*", "c/evaluation"), SECONDS, cost)
    assert one.experiments == ("evaluation", "reordering")


@pytest.mark.parametrize(("glob", "hint"), [("resnet57", "resnet56"), ("resnet56/reorder", "NETWORK/EXPERIMENT")])
def test_a_glob_that_names_nothing(glob: str, hint: str) -> None:
    with pytest.raises(UserError, match=hint):
        selected((), (), (glob,), ("resnet56", "vgg15"), lambda network, experiments: 0.0)


def test_what_the_catalogue_needs() -> None:
    needs = {need.claim: need for need in needs_of(load_claims(), "cifar10")}
    assert needs["veit-duplicate"].requests == {
        Request("duplication", "resnet110-preact"),
        Request("multiple_deletion", "resnet110-preact"),
    }
    assert needs["veit-lesion-depth-trend"].networks == {"resnet20-preact", "resnet56-preact", "resnet110-preact"}
    assert needs["he-preact-gap-grows"].networks >= {"resnet1001", "resnet110-preact-he"}
    assert "he-forward-additive" not in needs
