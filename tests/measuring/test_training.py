"""`resbench train` of the papers' networks: named or planned, interrupted, shared among processes, and bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from tests.measuring.own_samples import SETTING, images, recipes
from tests.measuring.parallel_work import Options, take_all

import resbench.data.cifar10
import resbench.measuring.trained
import resbench.training.recipes
from resbench.errors import UserError
from resbench.measuring import training
from resbench.measuring.parallel import side_by_side
from resbench.measuring.training import TrainOptions, read_plan, train_papers
from resbench.training.checkpoints import load_network

Run = Callable[..., tuple[int, str, str]]

PLAN = """
schema = 1
setting = "cifar10"
[[run]]
network = "vgg15"
[[run]]
network = "resnet110-preact"
seeds = [1, 3]
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESBENCH_CACHE", str(tmp_path / "cache"))
    for module in (training, resbench.measuring.trained):
        monkeypatch.setattr(module, "baselines", lambda: tmp_path)
    monkeypatch.setattr(resbench.training.recipes, "load_recipes", lambda setting: recipes())
    monkeypatch.setattr(resbench.data.cifar10, "load_cifar10", lambda spec, download=False: images())
    return tmp_path


def options(place: Path, *runs: tuple[str, int], **changes: object) -> TrainOptions:
    return TrainOptions(SETTING, runs, data="npz:here", out=place / "out", **changes)  # type: ignore[arg-type]


def test_a_plan_is_trained_in_its_order_and_once(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "plan.toml").write_text(PLAN)
    plan = read_plan(place / "plan.toml")
    assert plan.runs == (("vgg15", 1), ("resnet110-preact", 1), ("resnet110-preact", 3))
    first = train_papers(options(place, *plan.runs))
    assert first == f"3 trained in {place / 'out'}, 0 were there, of 3"
    said = [line.split(":")[1].strip() for line in capsys.readouterr().err.splitlines()]
    assert said == ["0/3 vgg15", "1/3 resnet110-preact", "2/3 resnet110-preact"]
    assert train_papers(options(place, *plan.runs)) == f"0 trained in {place / 'out'}, 3 were there, of 3"
    saved = load_network(
        place / "out" / "seed-3" / "resnet110-preact.safetensors",
        "resnet110-preact",
        recipes()["resnet110-preact"],
        images().fingerprint,
    )
    assert saved.seed == 3


def test_what_is_stopped_goes_on(place: Path) -> None:
    runs = (("vgg15", 1), ("resnet110-preact", 1))
    stopped = train_papers(options(place, *runs, minutes=0.0))
    assert stopped.startswith("0 trained")
    assert stopped.endswith("of 2; stopped by --max-minutes, the same command goes on")
    assert train_papers(options(place, *runs)).startswith("2 trained")


def test_what_another_process_is_at_is_left_to_it(place: Path) -> None:
    places = resbench.measuring.trained.Places(SETTING, place / "out")
    with FileLock(places.lock("vgg15", 1)):
        found = train_papers(options(place, ("vgg15", 1), ("resnet110-preact", 1)))
    assert found.startswith("1 trained")
    assert found.endswith("left to another process: vgg15 (seed 1)")


def test_processes_share_a_list(tmp_path: Path) -> None:
    assert side_by_side(take_all, Options(tmp_path, 6), 3, "cpu") == "6 there"
    taken = [json.loads(path.read_text()) for path in tmp_path.glob("*.json")]
    assert len(taken) == 6
    assert len({process for process, _ in taken}) > 1, "several processes took some"
    assert {threads for _, threads in taken} == {1}


def test_a_process_that_ends_early_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="2 of 2 processes ended early; the same command goes on"):
        side_by_side(take_all, Options(tmp_path, 2, broken=True), 2, "cpu")
    assert capfd.readouterr().err.count("resbench: nothing to take\n") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--setting", "cifar10"], "--setting cifar10: give --network NAME or --plan FILE"),
        (["--setting", "cifar11", "--network", "x"], "no setting 'cifar11' of the papers; there are cifar10 and"),
        (["--setting", "cifar10", "--network", "resnet111", "--data", "npz:x"], "no network of cifar10 is named"),
        (["--setting", "cifar10", "--network", "vgg15"], "no data: give --data cifar10:ROOT"),
        (["--setting", "cifar10", "--network", "vgg15", "--data", "npz:gone"], "gone"),
        (["--setting", "cifar10", "--network", "vgg15", "--seed", "0"], "--seed 0: the papers' networks have seeds"),
        (["--setting", "cifar10", "--network", "vgg15", "--data", "npz:x", "--precision", "fp8"], "one of float32, tf"),
        (["--data", "npz:x"], "--data is for the papers' settings: give --setting cifar10 or cifar10-short"),
        (["--plan", "gone.toml"], "--plan gone.toml: No such file"),
        (["--plan", "plan.toml", "--network", "vgg15"], "--plan says setting, networks and seeds: give it alone"),
        (["--plan", "bad.toml"], "--plan bad.toml: "),
        (["--plan", "unknown.toml", "--data", "npz:x"], "no network of cifar10 is named 'vgg151'; the nearest: vgg15"),
    ],
)
def test_bad_input(
    arguments: list[str], message: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.toml").write_text(PLAN)
    (tmp_path / "bad.toml").write_text(PLAN.replace("schema = 1", "schema = 2"))
    (tmp_path / "unknown.toml").write_text(PLAN.replace("vgg15", "vgg151"))
    code, out, err = run("train", *arguments)
    assert code == 2
    assert out == ""
    assert message in err
    assert len(err.splitlines()) == 1
