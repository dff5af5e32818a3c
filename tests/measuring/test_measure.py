"""`resbench measure`: a tiny study from nothing to verdicts, resumed, and its bad input."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.targets.sample_nets import Net

import resbench.measuring.course
import resbench.plan
from resbench.errors import UserError
from resbench.measuring.study import read_study
from resbench.records.evidence import read_evidence
from resbench.records.locking import held
from resbench.records.results import Request

Run = Callable[..., tuple[int, str, str]]
SETTING = "cifar10-public"

MODULE = """
from tests.targets.sample_nets import Net

def small():
    return Net(units=3)
"""
STUDY = """\
schema = 1
setting = "cifar10-public"
experiments = [
    "evaluation", "single_deletion", "path_gradients", "path_spectrum",
    "duplication", "reordering", "multiple_deletion",
]

[[network]]
name = "resnet56"
target = "tiny_public:small"
checkpoint = "small.safetensors"
published_error = 0.0
source = "made up"
mean = [0.5]
std = [0.25]

[[network]]
name = "plain20"
target = "tiny_public:small"
checkpoint = "small.safetensors"
units = ["layer*.*"]
mean = [0.5]
std = [0.25]
experiments = ["evaluation"]
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A network that is always right about its data: they are labelled by what it says."""
    torch.manual_seed(3)
    model = Net(units=3).eval()
    images = np.random.default_rng(0).integers(256, size=(400, 8, 8, 3)).astype(np.uint8)
    pixels = (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25
    with torch.no_grad():
        logits = model(pixels)
        model.head.bias -= logits.mean(0)  # else one class takes all
        labels = model(pixels).argmax(1)
    assert len(set(labels.tolist())) > 2
    np.savez(tmp_path / "data.npz", images=images[:60], labels=labels[:60].numpy())
    save_file(model.state_dict(), tmp_path / "small.safetensors")
    (tmp_path / "tiny_public.py").write_text(MODULE)
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path / "study.toml"


@pytest.fixture
def measure(run: Run, study: Path) -> Callable[..., tuple[int, str, str]]:
    place = study.parent
    fixed = ("--study", str(study), "--data", f"npz:{place / 'data.npz'}", "--out", str(place / "claims" / SETTING))
    return lambda *more: run("measure", *fixed, *more)


def test_from_nothing_to_verdicts_and_nothing_is_made_twice(
    measure: Run, run: Run, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = measure("--max-minutes", "0")
    assert (code, out.split(" recorded")[0]) == (0, "0")
    assert "stopped by --max-minutes, the same command goes on" in out
    code, out, err = measure("--select", "resnet56/*deletion", "--select", "plain20")
    assert (code, out.split(" recorded")[0]) == (0, "3"), err
    code, out, err = measure()
    assert code == 0
    assert "5 recorded" in out
    assert "3 were there, of 8" in out
    assert "0/8" not in err
    code, out, _ = measure()
    assert "0 recorded" in out
    assert "8 were there, of 8" in out

    folder = study.parent / "claims" / SETTING
    evidence = read_evidence(folder, SETTING, Request("single_deletion", "resnet56"))
    assert evidence is not None
    assert (evidence.subject.images, evidence.subject.source, evidence.made.threads) == (60, "made up", 1)
    assert not any(str(study.parent) in path.read_text() for path in folder.rglob("*.json")), "a path of this machine"

    monkeypatch.setattr(resbench.plan, "baselines", lambda: study.parent)
    _, out, _ = run("check", "--setting", SETTING, "--select", "veit-*", "--format", "json")
    verdicts = {verdict["id"]: verdict for verdict in json.loads(out)["verdicts"]}
    paths = {check["params"]["network"]: check for check in verdicts["veit-effective-paths-5-17"]["checks"]}
    assert paths["resnet56"]["status"] == "HOLDS"  # six units have no longer paths
    assert paths["resnet56"]["interval"][0] < paths["resnet56"]["measured"] < paths["resnet56"]["interval"][1] < 6
    assert paths["resnet44"]["status"] == verdicts["veit-lesion-depth-trend"]["status"] == "NOT_MEASURED"
    assert "of resnet44 is not recorded" in paths["resnet44"]["message"]


def test_what_is_of_another_checkpoint_or_damaged_is_made_again(measure: Run, study: Path) -> None:
    measure("--select", "*/evaluation")
    record = study.parent / "claims" / SETTING / "resnet56" / "evaluation.json"
    damaged = record.read_bytes()[:-40]
    record.write_bytes(damaged)
    beside = study.parent / "claims" / SETTING / "plain20" / "evaluation.json"
    before = beside.read_bytes()
    code, out, err = measure("--select", "*/evaluation")
    assert code == 1
    assert "1 recorded" in out
    said = [line for line in err.splitlines() if "set aside" in line]
    assert len(said) == 2
    assert said[0].startswith(f"resbench: {record}: not a record of evidence (")
    assert said[0].endswith("; set aside as evaluation.json.damaged-1, measured again")
    assert said[1] == "resbench: done, but a damaged file was set aside (see above): exit code 1"
    assert (record.parent / "evaluation.json.damaged-1").read_bytes() == damaged
    assert beside.read_bytes() == before
    assert measure("--select", "*/evaluation")[0] == 0
    other = Net(units=3)
    with torch.no_grad():
        other.load_state_dict(load(study))
        other.head.weight *= 2.0  # says the same
        other.head.bias *= 2.0
    save_file(other.state_dict(), study.parent / "small.safetensors")
    assert "2 recorded" in measure("--select", "*/evaluation")[1]


def test_who_only_judges_refuses_what_is_damaged_and_leaves_it(
    measure: Run, run: Run, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure("--select", "plain20")
    record = study.parent / "claims" / SETTING / "plain20" / "evaluation.json"
    record.write_bytes(record.read_bytes().replace(b'"images": 60', b'"images": 61'))
    before = sorted(path.name for path in record.parent.iterdir())
    monkeypatch.setattr(resbench.plan, "baselines", lambda: study.parent)
    code, out, err = run("check", "--setting", SETTING)
    assert (code, out) == (2, "")
    assert "plain20/evaluation.json: its content is not what was recorded (another digest)" in err
    assert len(err.splitlines()) == 1
    assert sorted(path.name for path in record.parent.iterdir()) == before


def test_a_network_that_another_process_measures_is_left_to_it(measure: Run, study: Path) -> None:
    folder = study.parent / "claims" / SETTING
    with held(folder / "resnet56", "measuring"):
        code, out, _ = measure("--select", "*/evaluation")
    assert code == 0
    assert out.startswith("1 recorded")
    assert f"of 1; left to another process: resnet56 (process {os.getpid()} on " in out
    assert not (folder / "resnet56" / "evaluation.json").exists()


def test_a_link_out_of_the_store_is_refused(measure: Run, study: Path) -> None:
    folder = study.parent / "claims" / SETTING
    folder.mkdir(parents=True)
    (study.parent / "outside").mkdir()
    (folder / "plain20").symlink_to(study.parent / "outside")
    code, _, err = measure("--select", "plain20")
    assert code == 2
    assert "leads out of" in err.splitlines()[-1]
    assert not list((study.parent / "outside").iterdir())


def load(study: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(study.parent / "small.safetensors")


def test_an_experiment_that_cannot_be_done_there_is_named_and_the_others_go_on(measure: Run, study: Path) -> None:
    text = study.read_text().replace('["evaluation"]', '["path_gradients", "evaluation"]')
    study.write_text(text.replace('units = ["layer*.*"]', 'units = ["layer*.*.conv2"]'))
    code, out, _ = measure("--select", "plain20")
    assert code == 0
    assert "1 recorded" in out
    assert "not measurable: plain20/path_gradients (no paths: the inside of layer1.0.conv2 is not known)" in out


def test_ctrl_c_keeps_what_is_recorded(measure: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = resbench.measuring.course.write
    calls: list[Request] = []

    def stopped(folder: Path, setting: str, request: Request, *rest: Any, **options: Any) -> None:
        calls.append(request)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(folder, setting, request, *rest, **options)

    monkeypatch.setattr(resbench.measuring.course, "write", stopped)
    code, _, err = measure("--select", "*/evaluation")
    assert code == 130
    assert "start the command again to go on" in err
    monkeypatch.setattr(resbench.measuring.course, "write", real)
    assert "1 recorded" in measure("--select", "*/evaluation")[1]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema = 1", "schema = 2", "Invalid enum value 2"),
        ('"reordering"', '"re-ordering"', "no experiment 're-ordering'"),
        ('"plain20"', '"resnet56"', "the network 'resnet56' stands there twice"),
        ('name = "plain20"', 'name = "../plain"', "matching regex"),
        ("published_error", "publishd_error", "unknown field `publishd_error`"),
        ("[[network]]", "[[network", "study.toml"),
    ],
)
def test_bad_studies(study: Path, old: str, new: str, message: str) -> None:
    study.write_text(study.read_text().replace(old, new))
    with pytest.raises(UserError, match=message) as caught:
        read_study(study)
    assert "\n" not in str(caught.value)


def test_bad_usage(measure: Run, run: Run, study: Path) -> None:
    assert "no such network or NETWORK/EXPERIMENT" in measure("--select", "resnet57")[2]
    assert "the study names no data" in run("measure", "--study", str(study))[2]
    assert run("measure", "--study", str(study.parent / "none.toml"))[0] == 2
    (study.parent / "small.safetensors").unlink()
    code, _, err = measure()
    assert code == 2
    assert "small.safetensors: No such file" in err
