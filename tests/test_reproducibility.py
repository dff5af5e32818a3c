"""The same seed, machine and number of threads give the same bits; and what `benchmarks.reproducibility` compares."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks import reproducibility, reproducibility_worker
from benchmarks.reproducibility import Outcome, as_json, as_table, compared, main
from benchmarks.reproducibility_worker import digest
from tests.conftest import make_member

import resbench.experiments.lab
import resbench.plan
from resbench.data.digits import Dataset
from resbench.experiments.lab import measured
from resbench.networks.residual import NetworkSpec
from resbench.records.results import Request
from resbench.records.versions import VERSIONS
from resbench.training.loop import Copy, train
from resbench.training.recipes import Recipe
from resbench.training.target import Target

SMALL = NetworkSpec(units=(3, 3, 3), widths=(2, 2, 2), inputs=1)
RECIPE = Recipe(
    residual=NetworkSpec(units=(1, 1), widths=(2, 4), inputs=1), epochs=1, sampling="linear", sampling_value=0.5
)


def target(data: Dataset) -> Target:
    return Target("small", RECIPE, 0, (make_member(SMALL, data, images=30),))


@pytest.mark.parametrize("experiment", [name for name in VERSIONS if name != "step_times"])
def test_an_experiment_gives_the_same_bits_again(experiment: str, data: Dataset) -> None:
    """On a network made anew, and whatever random numbers were drawn before."""
    request = Request(experiment, "small")
    torch.manual_seed(1)
    first = digest(measured(request, target(data)))
    torch.manual_seed(2)
    np.random.default_rng().random()
    assert digest(measured(request, target(data))) == first


def test_a_training_gives_the_same_bits_again(data: Dataset) -> None:
    """Shifts, mini-batches and dropped units come from the seed; weights, statistics and losses are all compared."""

    def bits(seed: int) -> tuple[dict[str, bytes], tuple[float, ...]]:
        (trained,) = train(RECIPE, data, [Copy(seed, 0)])
        return {key: value.numpy().tobytes() for key, value in trained.state.items()}, trained.curves.loss

    torch.manual_seed(1)
    first = bits(5)
    torch.manual_seed(2)
    assert bits(5) == first
    assert bits(6)[0] != first[0]


def test_a_digest_sees_a_bit_and_a_member() -> None:
    array = np.arange(6, dtype=np.float64) / 3
    other = array.copy()
    other[4] = np.nextafter(other[4], 2.0)
    one = digest(({"loss": array},))
    assert digest(({"loss": array.copy()},)) == one
    seen = [digest(({"loss": other},)), digest(({"wrong": array},)), digest(({"loss": array.reshape(2, 3)},))]
    assert len({one, *seen, digest(({"loss": array}, {"loss": array}))}) == 5


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The worker in this process; what it replaces is put back."""
    monkeypatch.setattr(resbench.experiments.lab, "one_thread", resbench.experiments.lab.one_thread)
    monkeypatch.setattr(resbench.plan, "Lab", resbench.plan.Lab)
    return reproducibility_worker.measured


def test_real_claims_with_one_thread_and_with_two(worker: Any) -> None:
    globs = ["huang-heatmap"]
    first, again, two = (worker(globs, "digits", threads) for threads in (1, 1, 2))
    assert (first["threads"], two["threads"]) == (1, 2)
    assert sorted(first["verdicts"]) == sorted(globs)
    assert {verdict["status"] for verdict in first["verdicts"].values()} == {"HOLDS"}
    assert "post-9/evaluation" in first["records"]
    differences = compared([Outcome("python", found) for found in (first, again, two)])
    assert not any(pair.failed for pair in differences), as_table([], differences)


def found(threads: int = 1, torch: str = "2.15.0", **changes: Any) -> dict[str, Any]:
    verdicts = {
        "veit-one": {"status": "HOLDS", "checks": [[0.5, [0.25, 0.75]]]},
        "huang-time": {"status": "HOLDS", "checks": [[0.75, [0.7, 0.8]]]},
    }
    return {
        "environment": {"packages": {"torch": torch}},
        "threads": threads,
        "verdicts": verdicts | changes.get("verdicts", {}),
        "timed": ["huang-time"],
        "records": {"a/evaluation": "1", "b/evaluation": "2"} | changes.get("records", {}),
    }


def test_runs_of_one_kind_must_agree_in_every_bit() -> None:
    (pair,) = compared([Outcome("p", found()), Outcome("p", found())])
    assert (pair.alike, pair.failed, pair.records, pair.values) == (True, False, [], [])
    (pair,) = compared([Outcome("p", found()), Outcome("p", found(records={"b/evaluation": "3"}))])
    assert (pair.failed, pair.records) == (True, ["b/evaluation"])
    moved = {"veit-one": {"status": "HOLDS", "checks": [[0.5, [0.25, 0.7500000000000001]]]}}
    (pair,) = compared([Outcome("p", found()), Outcome("p", found(verdicts=moved))])
    assert (pair.failed, pair.values) == (True, ["veit-one"])
    timed = {"huang-time": {"status": "HOLDS", "checks": [[0.76, [0.7, 0.8]]]}}
    (pair,) = compared([Outcome("p", found()), Outcome("p", found(verdicts=timed))])
    assert (pair.failed, pair.of_values) == (False, 1), "times are the same in no two runs"


@pytest.mark.parametrize("other", [Outcome("p", found(2)), Outcome("q", found(torch="2.9.1"))])
def test_runs_of_other_kinds_must_agree_in_their_verdicts(other: Outcome) -> None:
    rounded = {"veit-one": {"status": "HOLDS", "checks": [[0.5000000001, [0.25, 0.75]]]}}
    changed = Outcome(other.python, {**other.found, "verdicts": other.found["verdicts"] | rounded})
    (pair,) = compared([Outcome("p", found()), changed])
    assert (pair.alike, pair.failed, pair.values, pair.verdicts) == (False, False, ["veit-one"], [])
    for name in ("veit-one", "huang-time"):
        turned = {name: {"status": "VIOLATED", "checks": []}}
        changed = Outcome(other.python, {**other.found, "verdicts": other.found["verdicts"] | turned})
        (pair,) = compared([Outcome("p", found()), changed])
        assert (pair.failed, pair.verdicts) == (True, [name])


def test_a_missing_claim_or_record_is_a_difference() -> None:
    less = found()
    del less["verdicts"]["veit-one"], less["records"]["a/evaluation"]
    (pair,) = compared([Outcome("p", found()), Outcome("p", less)])
    assert (pair.failed, pair.verdicts, pair.records) == (True, ["veit-one"], ["a/evaluation"])


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    asked: list[tuple[str, int]] = []

    def run(python: str, threads: int, globs: Sequence[str], setting: str) -> Outcome:
        asked.append((python, threads))
        assert (globs, setting) == (["veit-*"], "digits")
        return Outcome(python, found(threads))

    monkeypatch.setattr(reproducibility, "run_worker", run)
    monkeypatch.setattr(reproducibility.sys, "executable", "this")
    out = tmp_path / "found.json"
    command = ["--python", "that", "--select", "veit-*", "--out", str(out), "--runs", str(tmp_path / "runs")]
    assert main(command) == 0
    assert main(command) == 0, "all runs are there"
    assert asked == [("this", 1), ("this", 1), ("this", 2), ("that", 1), ("that", 2)]
    written = json.loads(out.read_text())
    assert (written["reproducible"], len(written["runs"]), len(written["pairs"])) == (True, 5, 10)
    text = capsys.readouterr().out
    assert "torch 2.15.0, 1 thread and torch 2.15.0, 1 thread: 2 of 2 records and 1 of 1 claims' values" in text

    turned = {"veit-one": {"status": "INCONCLUSIVE", "checks": []}}
    monkeypatch.setattr(
        reproducibility,
        "run_worker",
        lambda p, threads, *_: Outcome(p, found(threads, verdicts=turned if threads > 1 else {})),
    )
    assert main([]) == 1
    assert "FAILED torch 2.15.0, 1 thread and torch 2.15.0, 2 threads" in capsys.readouterr().out
    failed = compared([Outcome("p", found()), Outcome("p", found(2, verdicts=turned))])
    assert as_json([], failed)["reproducible"] is False


def test_an_interpreter_that_cannot_run_it() -> None:
    with pytest.raises(SystemExit, match="ended with exit code"):
        reproducibility.run_worker("false", 1, [], "digits")
