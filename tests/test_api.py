"""What `import resbench` offers, and the command that shows units."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import resbench
from conftest import Run
from resbench.data.digits import digits
from resbench.errors import UserError
from resbench.experiments.lab import Lab
from resbench.judge import Status
from resbench.records.places import baselines


class Unit(nn.Module):
    def __init__(self, factor: float):
        super().__init__()
        self.conv, self.factor = nn.Conv2d(4, 4, 3, padding=1), factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x + self.conv(x.relu())


class Net(nn.Module):
    def __init__(self, *factors: float):
        super().__init__()
        self.stem, self.units = nn.Conv2d(3, 4, 3), nn.Sequential(*map(Unit, factors))

    def forward(self, x: Tensor) -> Tensor:
        return self.units(self.stem(x)).mean((2, 3))


def statuses(model: nn.Module, **options: object) -> dict[str, tuple[Status, str]]:
    verdicts = resbench.check(model, torch.randn(2, 3, 8, 8), select=["unit-*"], **options)
    return {verdict.id: (verdict.status, verdict.message) for verdict in verdicts}


def test_importing_loads_no_torch() -> None:
    code = "import sys, resbench; resbench.load_claims(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_every_public_name_is_there() -> None:
    for name in resbench.__all__:
        assert getattr(resbench, name) is not None
    assert callable(resbench.check)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = resbench.nothing


def test_check_judges_a_live_model_and_leaves_it_as_it_was() -> None:
    model = Net(1.0, 0.9, 1.0)
    model.units[0].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = statuses(model)
    assert found["unit-identity-shortcut"][0] is Status.VIOLATED
    assert "units.1" in found["unit-identity-shortcut"][1]
    assert found["unit-eval-independent"][0] is Status.HOLDS
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in (model, model.units[0], model.units[1])] == [True, False, True]
    assert statuses(Net(1.0, 1.0))["unit-identity-shortcut"][0] is Status.HOLDS


def test_check_of_survival_probabilities() -> None:
    found = statuses(Net(1.0, 1.0), survival=[1.0, 0.5])
    assert found["unit-drop-frequency"][0] is Status.VIOLATED
    assert "units.1" in found["unit-drop-frequency"][1]
    with pytest.raises(UserError, match="2"):
        statuses(Net(1.0, 1.0), survival=[0.5])


def test_check_without_a_model_judges_the_own_networks() -> None:
    (verdict,) = resbench.check(select=["veit-paths-2n"], kinds=["exact"])
    assert verdict.status is Status.HOLDS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"example": None}, "give an example input, or data"),
        ({"example": torch.zeros(1, 3, 8, 8)}, "the example has 1 image, it takes at least 2"),
        ({"example": torch.zeros(2, 1, 8, 8)}, "its forward pass raised"),
        ({"example": torch.zeros(2, 3, 8, 8), "settings": ["digits"]}, "one of resbench's own networks"),
        ({"data": (torch.zeros(2, 3, 8, 8), torch.tensor([0, 4]))}, "labels go from 0 to 4, the target has 4 outputs"),
    ],
)
def test_bad_input_of_check(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        resbench.check(Net(1.0), select=["unit-*"], **arguments)


def test_check_on_few_images() -> None:
    """The same verdict from fewer images, how many the check's own n; in another order from as many or others."""
    spent: dict[str, Any] = {}
    only = {"select": ["veit-single-delete-vgg"], "settings": ["digits"]}
    (verdict,) = resbench.check(**only, sequential=True, alpha=0.01, spent=spent)
    assert verdict.status is Status.HOLDS
    assert spent["alpha"] == 0.01
    (statement,) = spent["statements"]
    assert (statement["name"], statement["decided"]) == ("veit-single-delete-vgg@digits", "early")
    assert statement["status"] == "HOLDS"
    assert verdict.checks[0].n == statement["images"] < statement["of"] == 1797
    (other,) = resbench.check(**only, sequential=True, seed=1)
    assert other.checks[0].method.endswith("alpha 0.01"), "a fifth of 0.05 is spent early"
    assert other.measured != verdict.measured


def test_check_of_a_model_on_few_images() -> None:
    """Its claims about lesions have their readings; it stays as it was."""
    network = Lab("digits", baselines() / "checkpoints" / "digits").members("preact-9")[0].network.train()
    data = digits()
    spent: dict[str, Any] = {}
    chosen = {"data": (data.images[:400], data.labels[:400]), "select": ["veit-resnet-vs-vgg-gap"]}
    (verdict,) = resbench.check(network, **chosen, sequential=True, spent=spent)
    assert verdict.status is Status.HOLDS
    assert verdict.checks[0].detail == "decided after 128 images"
    assert spent["networks"] == [{"network": "target", "images": 400, "lesions": 9, "passes": 896, "of": 4000}]
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 0.05}, "alpha goes with sequential=True"),
        ({"spent": {}}, "spent goes with sequential=True"),
        ({"sequential": True, "alpha": 0.6}, "alpha 0.6: the chance of a false verdict is from 0.0001 to 0.5"),
        ({"sequential": True, "alpha": float("nan")}, "alpha nan"),
    ],
)
def test_bad_sequential_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        resbench.check(select=["veit-paths-2n"], **arguments)


def test_the_units_command(run: Run) -> None:
    code, out, _ = run("units", "torchvision:resnet18")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["unit", "name", "output", "shortcut", "after", "stage"]
    assert lines[3].split() == ["3", "layer2.0", "64x16x16", ">", "128x8x8", "projection", "relu", "1"]
    assert lines[-1] == "8 units: 8 deletable, 2 exchangeable (within a group), 3 change the shape"
    assert max(map(len, lines)) <= 80
    code, out, _ = run("units", "torchvision:resnet18", "--format", "json", "--units", "layer1.*")
    assert [unit["name"] for unit in json.loads(out)] == ["layer1.0", "layer1.1"]
    code, out, err = run("units", "torchvision:vgg11")
    assert (code, out) == (2, "")
    assert err.startswith("resbench: no residual addition found in 31 modules; VGG-style?")
