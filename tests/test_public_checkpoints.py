"""The example of six public CIFAR-10 networks: what it is without their weights, and with them its test errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from resbench.adapters import adapt
from resbench.experiments.lesion_target import TargetBody
from resbench.measuring.study import Study, read_study
from resbench.targets.images import Images
from resbench.targets.load import load_target
from resbench.targets.target import UserTarget

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "cifar10_public"

ERRORS = {"resnet20": 8.27, "resnet32": 7.37, "resnet44": 6.89, "resnet56": 6.61, "plain20": 9.69, "plain56": 13.07}
"""Percent of the 10,000 test images, measured when the checkpoints were collected, by other code."""


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(FOLDER))
    import cifar10_public

    yield cifar10_public
    del sys.modules["cifar10_public"]


@pytest.fixture
def study() -> Study:
    return read_study(FOLDER / "study.toml")


def test_every_network_of_the_study_is_there_and_named_in_the_readme(module: ModuleType, study: Study) -> None:
    readme = (FOLDER / "README.md").read_text()
    assert [network.name for network in study.network] == [*sorted(ERRORS, key=lambda name: ("r" in name, name))]
    for network in study.network:
        assert callable(getattr(module, network.name))
        row = next(line for line in readme.splitlines() if line.startswith(f"| {network.name} |"))
        assert f"{ERRORS[network.name]:.2f}" in row
        assert network.checkpoint in row
    assert "resbench measure --study examples/cifar10_public/study.toml" in readme


@pytest.mark.parametrize(("name", "units", "parameters"), [("resnet20", 9, 269722), ("resnet56", 27, 853018)])
def test_units_and_parameters(module: ModuleType, name: str, units: int, parameters: int) -> None:
    """The parameter counts are those of structure_he_counts: He's networks with option A."""
    model = getattr(module, name)()
    assert sum(p.numel() for p in model.parameters()) == parameters
    found = adapt(model, torch.randn(2, 3, 32, 32))
    assert len(found) == units
    assert [unit.index for unit in found if unit.shortcut_kind == "padding"] == [units // 3, 2 * units // 3]
    assert all(unit.deletable for unit in found)


def test_the_shortcut_is_centred_option_a(module: ModuleType) -> None:
    x = torch.arange(2 * 4 * 4.0).reshape(1, 2, 4, 4) + 1
    y = module.shortcut_a(x, 4)
    assert y.shape == (1, 4, 2, 2)
    assert torch.equal(y[:, 1:3], x[:, :, ::2, ::2])
    assert not y[:, [0, 3]].any()


def test_one_layer_of_a_plain_network_is_gone(module: ModuleType) -> None:
    """Without a layer, its input goes on: computed here from the layers by hand."""
    torch.manual_seed(0)
    model = module.plain20().eval()
    images = torch.randn(4, 3, 32, 32)
    units = adapt(model, images[:2], units=["layer*.*.step*"])
    assert len(units) == 18
    fixed = [unit.name for unit in units if not unit.deletable]
    assert fixed == ["layer2.0.step1", "layer3.0.step1"]
    assert set(model.state_dict()) >= {"layer1.0.conv1.weight", "linear.bias"}
    assert not [key for key in model.state_dict() if "step" in key]

    def by_hand(without: str) -> torch.Tensor:
        x = torch.relu(model.bn1(model.conv1(images)))
        for stage in ("layer1", "layer2", "layer3"):
            for number, pair in enumerate(getattr(model, stage)):
                for conv, bn, name in ((pair.conv1, pair.bn1, "step1"), (pair.conv2, pair.bn2, "step2")):
                    x = x if f"{stage}.{number}.{name}" == without else torch.relu(bn(conv(x)))
        return model.linear(x.mean((2, 3)))

    with torch.no_grad():
        labels = torch.arange(4)
        data = Images.of_tensors(images, labels)
        body = TargetBody(UserTarget("plain", model, images[:2], units, None, data, True, 0, globs=("layer*.*.step*",)))
        whole = [(i,) for i in range(18)]
        for index in (0, 7, 17):
            plan = [() if i == index else step for i, step in enumerate(whole)]
            wrong = body.wrong([plan], data)[0]
            expected = by_hand(units[index].name).argmax(1) != labels
            assert wrong.tolist() == expected.tolist()


def place(variable: str) -> Path:
    given = os.environ.get(variable)
    if not given or not Path(given).is_dir():
        pytest.skip(f"needs public data: set {variable} to their folder (see examples/cifar10_public/README.md)")
    return Path(given)


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_published_errors_are_reproduced(module: ModuleType, study: Study, name: str) -> None:
    data, checkpoints = place("RESBENCH_CIFAR10") / "test.npz", place("RESBENCH_CHECKPOINTS")
    (network,) = [network for network in study.network if network.name == name]
    target = load_target(study.options(network, checkpoints=checkpoints, root=FOLDER, data=f"npz:{data}"))
    assert target.data is not None
    wrong = target.misclassified
    assert len(wrong) == 10_000
    assert abs(100 * wrong.mean() - ERRORS[name]) <= 0.02


@pytest.mark.parametrize("author", ["akamaster", "amartyn"])
def test_the_authors_own_files_are_converted(
    module: ModuleType, author: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of the shape that the two repositories' training scripts write."""
    import convert

    from resbench.targets.checkpoints import read_checkpoint

    torch.manual_seed(0)
    model = module.plain20()
    own = model.state_dict()
    if author == "akamaster":
        content: object = {"state_dict": {f"module.{key}": value for key, value in own.items()}, "best_prec1": 91.7}
    else:
        content = {_in_stacks(key): value for key, value in own.items()}
    torch.save(content, tmp_path / "theirs.th")
    convert.convert(str(tmp_path / "theirs.th"), str(tmp_path / "ours.safetensors"))
    found = read_checkpoint(tmp_path / "ours.safetensors")
    assert round(found.mean[0], 3) == {"akamaster": 0.485, "amartyn": 0.492}[author]
    assert set(found.tensors) == {key for key in own if not key.endswith("tracked")}
    assert all(torch.equal(found.tensors[key], own[key]) for key in found.tensors)


def _in_stacks(key: str) -> str:
    """The name that a-martyn/resnet gives to a parameter."""
    parts = key.split(".")
    if parts[0] in ("conv1", "bn1", "linear"):
        return ".".join([{"conv1": "convIn", "bn1": "bnIn", "linear": "fcOut"}[parts[0]], *parts[1:]])
    stack, number, rest = parts[0][-1], int(parts[1]), parts[2:]
    if stack == "1":
        return ".".join(["stack1", str(number), *rest])
    return ".".join([f"stack{stack}a", *rest] if number == 0 else [f"stack{stack}b", str(number - 1), *rest])
