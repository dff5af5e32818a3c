"""The list of missing evidence."""

from __future__ import annotations

from resbench.claims import load_claims
from resbench.measuring.pace import Pace
from resbench.measuring.work import step_work
from resbench.records.places import baselines
from resbench.records.results import Request
from resbench.reports.wanted import wanted, wanted_now
from resbench.training.recipes import load_recipes


def rows(text: str, section: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    lines = text.partition(f"## {section}\n")[2].partition("\n## ")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| ")][1:]


def nothing(_: Request) -> bool:
    return False


def test_the_committed_list_is_current() -> None:
    assert (baselines() / "WANTED.md").read_text() == wanted_now().markdown(), (
        "`resbench claims wanted > baselines/WANTED.md`"
    )


def test_every_claim_stands_there_once_with_its_command() -> None:
    text = wanted(load_claims(), nothing, load_recipes("cifar10"), Pace()).markdown()
    plan = rows(text, "Setting cifar10")
    completed = [claim for row in plan for claim in row[3].split(", ")]
    expected = [c.id for c in load_claims() if any(e.kind == "trained" and e.setting == "cifar10" for e in c.expect)]
    assert sorted(completed) == sorted(expected), "every network of these claims has a recipe"
    for count, cost, networks, claims, command in plan:
        assert int(count) == len(claims.split(", "))
        assert float(cost) > 0
        assert command == f"`resbench measure --setting cifar10 --select {networks.replace(', ', ' --select ')}`"
    value = [int(row[0]) / float(row[1]) for row in plan]
    assert value[0] == max(value)
    assert "No device has been seen yet" in text


def test_times_are_of_the_device_last_seen() -> None:
    alone = "resnet110-exclusive-gate-b7"  # a claim needs no other beside what was planned before
    recipes = load_recipes("cifar10")
    pace = Pace().noted("NVIDIA H200, bf16", alone, 0.01, step_work(recipes[alone]))
    text = wanted(load_claims(), nothing, recipes, pace).markdown()
    assert "last seen, on NVIDIA H200, bf16, scaled" in text
    (row,) = (row for row in rows(text, "Setting cifar10") if row[2] == alone)
    assert row[1] == "11 min"  # 64,000 steps of 10 ms


def test_what_is_recorded_is_not_wanted() -> None:
    def only_vgg(request: Request) -> bool:
        return request.network == "vgg15"

    text = wanted(load_claims(), only_vgg, load_recipes("cifar10"), Pace()).markdown()
    assert "vgg-role" not in text
    assert "veit-resnet-vs-vgg-gap" in text, "it waits for a residual network"
    done = wanted(load_claims(), lambda _: True, load_recipes("cifar10"), Pace()).markdown()
    assert "## Setting" not in done


def test_networks_without_a_recipe_are_listed_apart() -> None:
    recipes = {name: recipe for name, recipe in load_recipes("cifar10").items() if name != "vgg15"}
    text = wanted(load_claims(), nothing, recipes, Pace()).markdown()
    rest = rows(text, "Without recipes")
    assert ["vgg-role", "cifar10", "vgg15"] in rest
    assert ["huang-t2-svhn", "svhn", "resnet152-basic-stochastic"] in rest
    assert "preact-54" not in text, "the digits are at hand"
    assert not any(row[1] in ("digits", "target", "cifar10-public") for row in rest)
