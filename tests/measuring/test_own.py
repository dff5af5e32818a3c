"""`resbench measure --setting`: from nothing to verdicts, interrupted and continued, and its bad input."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from tests.measuring.own_samples import BATCH, SETTING, STEPS, images, recipes

import resbench.data.cifar10
import resbench.measuring.own
import resbench.measuring.trained
import resbench.plan
import resbench.training.papers
import resbench.training.recipes
from resbench.errors import UserError
from resbench.measuring.own import OwnOptions, measure_own
from resbench.measuring.pace import read_pace
from resbench.records.aside import noticing
from resbench.records.evidence import Evidence, read_evidence
from resbench.records.locking import held
from resbench.records.results import Request
from resbench.training.papers import Trained

Run = Callable[..., tuple[int, str, str]]
Measure = Callable[..., str]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Baselines and a cache of the test's own, tiny recipes and images."""
    monkeypatch.setenv("RESBENCH_CACHE", str(tmp_path / "cache"))
    for module in (resbench.measuring.own, resbench.measuring.trained, resbench.plan):
        monkeypatch.setattr(module, "baselines", lambda: tmp_path)
    monkeypatch.setattr(resbench.training.recipes, "load_recipes", lambda setting: recipes())
    monkeypatch.setattr(resbench.data.cifar10, "load_cifar10", lambda spec, download=False: images())
    return tmp_path


@pytest.fixture
def measure(place: Path) -> Measure:
    def call(*select: str, **options: Any) -> str:
        return measure_own(OwnOptions(SETTING, select, data="npz:somewhere", **options))

    return call


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The networks and seeds that were trained to the end."""
    real, done = resbench.training.papers.train_network, []

    def spy(name: str, *rest: Any, **options: Any) -> Trained | None:
        found = real(name, *rest, **options)
        if found is not None:
            done.append((name, options["seed"]))
        return found

    monkeypatch.setattr(resbench.training.papers, "train_network", spy)
    return done


def evidence(place: Path, experiment: str = "evaluation", network: str = "vgg15", run: int = 1) -> Evidence:
    found = read_evidence(place / "claims" / SETTING, SETTING, Request(experiment, network), run=run)
    assert found is not None
    return found


def test_from_nothing_to_verdicts_and_nothing_is_made_twice(
    measure: Measure, place: Path, run: Run, trainings: list[tuple[str, int]]
) -> None:
    said = measure("vgg15", "resnet110-preact/evaluation")
    assert said.startswith("4 recorded")  # evaluation, curves and single deletions of the one, evaluation of the other
    assert sorted(trainings) == [("resnet110-preact", 1), ("vgg15", 1)]
    assert sorted(path.name for path in (place / "checkpoints" / SETTING).glob("*.*t*")) == [
        "resnet110-preact.safetensors",
        "vgg15.safetensors",
    ]
    assert not list((place / "cache").rglob("*.state")), "a finished training needs no state"
    record = evidence(place)
    assert (record.subject.seed, record.subject.networks, record.subject.precision) == (1, 1, "float32")
    assert record.subject.recipe == recipes()["vgg15"].fingerprint
    assert record.made.training is not None
    assert record.made.training["recipe"]["iterations"] == STEPS
    assert not any(str(place) in path.read_text() for path in (place / "claims").rglob("*.json"))

    assert measure("vgg15").startswith("0 recorded")
    assert "3 were there, of 3" in measure("vgg15")
    assert len(trainings) == 2

    _, out, _ = run("check", "--setting", SETTING, "--select", "vgg-role", "--format", "json")
    (verdict,) = json.loads(out)["verdicts"]
    assert verdict["status"] == "VIOLATED"  # random labels
    _, out, _ = run("check", "--setting", SETTING, "--select", "veit-reorder-smooth", "--format", "json")
    (verdict,) = json.loads(out)["verdicts"]
    assert verdict["status"] == "NOT_MEASURED"
    assert "not recorded in setting cifar10 yet: `resbench measure --setting cifar10` trains" in verdict["message"]


def test_all_that_the_claims_need_in_the_plans_order(measure: Measure, place: Path) -> None:
    said = measure()
    assert "not measurable" not in said
    folder = place / "claims" / SETTING
    assert {path.stem for path in (folder / "resnet110-preact").iterdir()} == {
        "evaluation",
        "training_curves",
        "single_deletion",
        "multiple_deletion",
        "reordering",
        "duplication",
        "path_gradients",
    }
    assert (folder / "vgg15" / "single_deletion.json").exists()
    assert not (folder / "resnet110-constant").exists(), "no claim can be judged by it alone"


def test_a_killed_training_goes_on_and_ends_as_if_it_had_not_been(
    measure: Measure, place: Path, trainings: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    measure("vgg15", out=tmp_path / "whole", checkpoints=tmp_path / "weights")
    real = resbench.training.papers._Run.finish

    def finish(self: Any, *given: Any) -> Trained | None:
        if self.trainer.done == 0:  # as if the time had passed after three steps
            for index in range(3):
                self.trainer.step(*self.crops.make(0, index))
            self._keep()
            return None
        assert self.trainer.done == 3
        return real(self, *given)

    monkeypatch.setattr(resbench.training.papers._Run, "finish", finish)
    assert "0 recorded" in (said := measure("vgg15"))
    assert said.endswith("stopped by --max-minutes, the same command goes on")
    assert len(list((place / "cache").rglob("*.state"))) == 1
    assert "3 recorded" in measure("vgg15")
    whole = read_evidence(tmp_path / "whole", SETTING, Request("single_deletion", "vgg15"))
    assert whole is not None
    assert evidence(place, "single_deletion").members == whole.members


def test_no_time_trains_nothing(measure: Measure, trainings: list[tuple[str, int]]) -> None:
    assert "stopped by --max-minutes" in measure("vgg15", minutes=0.0)
    assert not trainings


def test_a_network_is_not_trained_again_for_one_more_experiment(
    measure: Measure, trainings: list[tuple[str, int]]
) -> None:
    measure("vgg15/evaluation")
    assert measure("vgg15/single_deletion").startswith("1 recorded")
    assert trainings == [("vgg15", 1)]


def test_complete_evidence_needs_no_checkpoint(measure: Measure, place: Path, trainings: list[tuple[str, int]]) -> None:
    measure("vgg15")
    (place / "checkpoints" / SETTING / "vgg15.safetensors").unlink()
    assert measure("vgg15").startswith("0 recorded")
    assert len(trainings) == 1


def test_a_damaged_record_is_made_again(measure: Measure, place: Path, trainings: list[tuple[str, int]]) -> None:
    measure("vgg15")
    path = place / "claims" / SETTING / "vgg15" / "evaluation.json"
    path.write_text(path.read_text()[:-40])
    assert measure("vgg15").startswith("1 recorded")
    assert len(trainings) == 1


def test_another_recipe_is_trained_and_measured_again_and_said(
    measure: Measure, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measure("vgg15")
    monkeypatch.setattr(resbench.training.recipes, "load_recipes", lambda setting: recipes(lr=0.02))
    assert measure("vgg15").startswith("3 recorded")
    assert "vgg15 was trained with another recipe than the present one; trained and" in capsys.readouterr().err
    assert evidence(place).subject.recipe == recipes(lr=0.02)["vgg15"].fingerprint


def test_other_images_than_those_of_the_records_are_refused(
    measure: Measure, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure("vgg15/evaluation")
    other = images(seed=1, fingerprint="fedcba9876543210")
    monkeypatch.setattr(resbench.data.cifar10, "load_cifar10", lambda spec, download=False: other)
    with pytest.raises(UserError, match=r"other images \(fedcba9876543210\) than those of the records"):
        measure("vgg15")
    assert "1 recorded" in measure("vgg15/evaluation", out=place / "elsewhere")


def test_the_users_own_checkpoint_of_another_recipe_is_not_replaced(
    measure: Measure, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure("vgg15", checkpoints=place / "mine")
    monkeypatch.setattr(resbench.training.recipes, "load_recipes", lambda setting: recipes(lr=0.02))
    with pytest.raises(UserError, match="another recipe than the present one; remove the file"):
        measure("vgg15", checkpoints=place / "mine")


def test_a_damaged_checkpoint_and_a_damaged_pace_are_set_aside(
    measure: Measure, place: Path, trainings: list[tuple[str, int]]
) -> None:
    measure("vgg15/evaluation")
    checkpoint = place / "checkpoints" / SETTING / "vgg15.safetensors"
    damaged = bytearray(checkpoint.read_bytes())
    damaged[-1] ^= 1
    checkpoint.write_bytes(damaged)
    (place / "pace.json").write_text("{")
    with noticing() as aside:
        assert "1 recorded" in measure("vgg15/training_curves")
    assert sorted(aside) == [f"{checkpoint}.damaged-1", str(place / "pace.json.damaged-1")]
    assert Path(f"{checkpoint}.damaged-1").read_bytes() == damaged
    assert trainings == [("vgg15", 1), ("vgg15", 1)]
    assert read_pace(place / "pace.json").devices


def test_records_that_another_machine_measures_are_left_to_it(
    measure: Measure, place: Path, trainings: list[Any]
) -> None:
    """Of another cache: it holds the folder of the network's records."""
    with held(place / "claims" / SETTING / "vgg15", "measuring"):
        assert f"left to another process: vgg15 (process {os.getpid()} on " in measure("vgg15/evaluation")
    assert not trainings


def test_seeds_are_beside_the_first(measure: Measure, place: Path) -> None:
    assert measure("vgg15", seeds=2).startswith("6 recorded")
    first, second = evidence(place), evidence(place, run=2)
    assert (first.subject.seed, second.subject.seed) == (1, 2)
    assert first.subject.checkpoint != second.subject.checkpoint
    assert (place / "checkpoints" / SETTING / "seed-2" / "vgg15.safetensors").exists()
    assert measure("vgg15", seeds=2).startswith("0 recorded")


def test_a_large_network_stays_in_the_cache(measure: Measure, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resbench.measuring.trained, "COMMITTED_BYTES", 100)
    measure("vgg15/evaluation")
    assert not (place / "checkpoints" / SETTING / "vgg15.safetensors").exists()
    assert (place / "cache" / "checkpoints" / SETTING / "vgg15.safetensors").exists()
    assert measure("vgg15/training_curves").startswith("1 recorded")


def test_what_another_process_is_at_is_left_to_it(measure: Measure, place: Path, trainings: list[Any]) -> None:
    folder = place / "cache" / "training" / SETTING
    folder.mkdir(parents=True)
    taken, free = threading.Event(), threading.Event()

    def other() -> None:
        with FileLock(folder / "vgg15-seed-1.lock"):
            taken.set()
            free.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    assert taken.wait(60)
    try:
        assert measure("vgg15").endswith("left to another process: vgg15")
    finally:
        free.set()
        thread.join()
    assert not trainings


def test_what_was_seen_of_the_device_is_kept(measure: Measure, place: Path) -> None:
    measure("vgg15/evaluation")
    pace = read_pace(place / "pace.json")
    (networks,) = pace.devices.values()
    assert list(networks) == ["vgg15"]
    assert pace.last is not None
    assert pace.last.endswith(", float32")


def test_a_batch_that_does_not_fit_is_said_in_one_line(measure: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.cuda.OutOfMemoryError("tried to allocate 3 GiB")

    monkeypatch.setattr(resbench.training.papers, "train_network", full)
    with pytest.raises(UserError, match=f"vgg15: out of memory on cpu with batches of {BATCH} images"):
        measure("vgg15")


def test_ctrl_c_keeps_what_is_recorded(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(resbench.training.papers, "train_network", interrupted)
    code, _, err = run("measure", "--setting", SETTING, "--data", "npz:x", "--select", "vgg15")
    assert code == 130
    assert "start the command again to go on" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--setting", "digits", "--data", "npz:x"), "no setting 'digits' of the papers; there are cifar10 and"),
        (("--setting", "cifar10"), "no data: give --data cifar10:ROOT (--download fetches it) or npz:FOLDER"),
        (("--setting", "cifar10", "--data", "npz:x", "--select", "vgg16"), "no such network or NETWORK/EXPERIMENT"),
        (("--setting", "cifar10", "--data", "npz:x", "--select", "vgg15/reorder"), "no such network or NETWORK/"),
        (("--setting", "cifar10", "--data", "npz:x", "--precision", "int8"), "--precision int8: one of float32"),
        (("--setting", "cifar10", "--limit", "5"), "--limit goes with --study"),
        (("--study", "a.toml", "--seeds", "2"), "--seeds goes with --setting"),
        (("--study", "a.toml", "--precision", "bf16"), "--precision goes with --setting"),
        (("--study", "a.toml", "--setting", "cifar10"), "give either --study FILE"),
        ((), "give either --study FILE"),
        (("--setting", "cifar10", "--data", "npz:x", "--device", "cuda:99"), "--device cuda:99: not usable here"),
    ],
)
def test_bad_usage(run: Run, place: Path, arguments: tuple[str, ...], message: str) -> None:
    code, _, err = run("measure", *arguments)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
