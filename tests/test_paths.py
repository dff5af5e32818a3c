"""`resbench.paths` and `resbench paths`: their contract, on networks small enough to follow every path."""

from __future__ import annotations

import json
import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import resbench
from conftest import Run
from resbench.errors import NotMeasured, UserError
from resbench.experiments import path_exact
from resbench.experiments.linearised import Linearised
from resbench.experiments.path_target import linearised_target
from resbench.reports.paths import paths_table
from resbench.targets.target import UserTarget

CONTRACT = [
    "n_units", "length", "path_count", "gradient_norm_per_path", "gradient_norm_of_length", "share", "effective_range",
]  # fmt: skip
N = 4


class Unit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.factor = nn.Conv2d(4, 4, 3, padding=1), nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.factor * self.conv(torch.tanh(x))


class Net(nn.Module):
    def __init__(self, units: int = N) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.units = nn.Sequential(*(Unit() for _ in range(units)))
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.units(self.stem(x)).mean((2, 3)))


class Between(Net):
    """With a layer between two of its units."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(4, 4, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.units[1](self.units[0](self.stem(x)))
        x = self.units[3](self.units[2](torch.tanh(self.down(x))))
        return self.head(x.mean((2, 3)))


class Past(Net):
    """What the stem found reaches the head without passing any unit."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(self.units(x).mean((2, 3)) * x.mean((2, 3)))


class Cut(Net):
    """No gradient passes from the second unit to the third."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = torch.tanh(self.units[1](self.units[0](x)).detach())
        return self.head((self.units[3](self.units[2](y)) + x.mean()).mean((2, 3)))


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net().double()


@pytest.fixture
def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(5, 3, 8, 8, generator=generator, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 4])


def every_path(net: Net, images: Tensor, labels: Tensor) -> dict[tuple[int, ...], Tensor]:
    """The gradient along each path at the first unit's input, each by a backward pass of its own."""
    found = {}
    for path in product((0, 1), repeat=N):
        start = x = net.stem(images).detach().requires_grad_()
        for unit, through in zip(net.units, path, strict=True):
            branch = unit.factor * unit.conv(torch.tanh(x))
            x = x.detach() + branch if through else x + branch.detach()
            if isinstance(net, Between) and unit is net.units[1]:
                x = torch.tanh(net.down(x))
        loss = F.cross_entropy(net.head(x.mean((2, 3))), labels)
        (found[path],) = torch.autograd.grad(loss, start)
    return found


def test_the_exact_numbers_are_those_of_every_path(net: Net, data: tuple[Tensor, Tensor]) -> None:
    rows = every_path(net, *data)
    found = resbench.paths(net, data=data)
    assert list(found)[: len(CONTRACT)] == CONTRACT
    sums = [sum(row for path, row in rows.items() if sum(path) == k) for k in range(N + 1)]
    norms = [float(row.norm()) for row in sums]  # type: ignore[union-attr]
    total = sum(rows.values())
    assert found["n_units"] == N
    assert found["length"] == [0, 1, 2, 3, 4]
    assert found["path_count"] == [1, 4, 6, 4, 1]
    assert found["gradient_norm_of_length"] == pytest.approx(norms, rel=1e-10)
    assert found["gradient_norm_per_path"] == pytest.approx(
        [norm / math.comb(N, k) for k, norm in enumerate(norms)], rel=1e-10
    )
    assert found["share"] == pytest.approx([norm / sum(norms) for norm in norms], rel=1e-10)
    assert found["gradient"]["norm"] == pytest.approx(float(total.norm()), rel=1e-10)
    assert found["gradient"]["disagreement"] < 1e-12
    squared = float(total.square().sum())
    along = [float((row * total).sum()) / squared for row in sums]
    assert found["share_along_gradient"] == pytest.approx(along, rel=1e-9)
    assert sum(along) == pytest.approx(1.0)
    # Each image's own loss, without the mean's 1 / 5.
    single = torch.stack(sums).flatten(2).norm(dim=2) * 5
    assert found["over_images"]["mean"] == pytest.approx(single.mean(1).tolist(), rel=1e-10)
    assert found["over_images"]["variance"] == pytest.approx(single.var(1).tolist(), rel=1e-9)
    own = single / single.sum(0)
    assert found["over_images"]["share_mean"] == pytest.approx(own.mean(1).tolist(), rel=1e-10)
    assert found["over_images"]["share_variance"] == pytest.approx(own.var(1).tolist(), rel=1e-9)
    for unit in found["participation"]["units"]:
        through = sum(row for path, row in rows.items() if path[unit["index"]])
        assert unit["norm"] == pytest.approx(float(through.norm() / total.norm()), rel=1e-9)
        assert unit["share"] == pytest.approx(float((through * total).sum()) / squared, rel=1e-9)
    (stage,) = found["participation"]["stages"]
    assert stage["mean_branches"] == pytest.approx(sum(k * share for k, share in enumerate(along)), rel=1e-9)
    assert stage["share"] == pytest.approx(1 - along[0], rel=1e-9)


def test_sampled_numbers_are_means_over_paths(net: Net, data: tuple[Tensor, Tensor]) -> None:
    rows = every_path(net, *data)
    found = resbench.paths(net, data=data, sampled=True)
    assert list(found)[: len(CONTRACT)] == CONTRACT
    # At most 6 paths of a length: every one is followed.
    assert found["paths"] == found["path_count"] == [1, 4, 6, 4, 1]
    means = [np.mean([float(row.norm()) for path, row in rows.items() if sum(path) == k]) for k in range(N + 1)]
    assert found["gradient_norm_per_path"] == pytest.approx(means, rel=1e-10)
    together = [math.comb(N, k) * mean for k, mean in enumerate(means)]
    assert found["gradient_norm_of_length"] == pytest.approx(together, rel=1e-10)
    assert found["standard_error"]["gradient_norm_per_path"] == pytest.approx([0.0] * 5, abs=1e-12)


def test_the_signal_forwards(net: Net, data: tuple[Tensor, Tensor]) -> None:
    """Every path's Jacobian applied to the first unit's input, by autograd twice."""
    images, _ = data
    start = net.stem(images).detach()
    rows = []
    for path in product((0, 1), repeat=N):

        def follow(x: Tensor, path: tuple[int, ...] = path) -> Tensor:
            for unit, through in zip(net.units, path, strict=True):
                branch = unit.factor * unit.conv(torch.tanh(x))
                x = x.detach() + branch if through else x + branch.detach()
            return x

        given = start.clone().requires_grad_()
        out = follow(given)
        cotangent = torch.zeros_like(out, requires_grad=True)
        (pulled,) = torch.autograd.grad(out, given, cotangent, create_graph=True)
        rows.append((sum(path), torch.autograd.grad(pulled, cotangent, start)[0]))
    norms = torch.stack([sum(row for k, row in rows if k == length).flatten(1).norm(dim=1) for length in range(N + 1)])
    found = resbench.paths(net, data=data, forward=True, participation=False, memory=3 * 5 * 4 * 6 * 6 * 8 * 2)
    assert found["forward"]["signal_norm_of_length"] == pytest.approx(norms.mean(1).tolist(), rel=1e-10)
    assert found["forward"]["share"] == pytest.approx((norms / norms.sum(0)).mean(1).tolist(), rel=1e-10)
    assert "forward" not in resbench.paths(net, data=data)


def numbers(found: dict[str, Any]) -> list[Any]:
    return [found[key] for key in (*CONTRACT, "share_along_gradient", "participation")]


def flat(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [one for entry in value.values() for one in flat(entry)]
    if isinstance(value, list):
        return [one for entry in value for one in flat(entry)]
    return [value] if isinstance(value, int | float) else []


def test_a_bound_of_memory_changes_no_number(
    net: Net, data: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    together: list[int] = []

    def counted(target: UserTarget, images: Tensor, *others: Tensor, between: bool) -> Linearised:
        together.append(len(images))
        return linearised_target(target, images, *others, between=between)

    monkeypatch.setattr(path_exact, "linearised_target", counted)
    whole = resbench.paths(net, data=data)
    one_image = 3 * 6 * 4 * 6 * 6 * 8  # three stacks of six rows, 4 x 6 x 6 entries of 8 bytes each
    for images in (1, 2, 4):
        parts = resbench.paths(net, data=data, memory=images * one_image)
        assert flat(numbers(parts)) == pytest.approx(flat(numbers(whole)), rel=1e-9)
    assert together == [5, 1, 1, 1, 1, 1, 2, 2, 1, 4, 1]
    with pytest.raises(UserError, match="give --memory or --max-length"):
        resbench.paths(net, data=data, memory=one_image - 1)


def test_longer_paths_together(net: Net, data: tuple[Tensor, Tensor]) -> None:
    whole = resbench.paths(net, data=data)
    found = resbench.paths(net, data=data, longest=1, participation=False)
    assert found["length"] == [0, 1]
    assert found["gradient_norm_of_length"] == pytest.approx(whole["gradient_norm_of_length"][:2], rel=1e-10)
    assert found["longer"]["share_along_gradient"] == pytest.approx(sum(whole["share_along_gradient"][2:]), rel=1e-9)
    assert sum(found["share"]) + found["longer"]["share"] == pytest.approx(1.0)
    assert found["gradient"]["disagreement"] < 1e-12
    assert found["effective_range"][1] is None
    assert "participation" not in found
    assert "> 1" in paths_table(found)


def test_the_model_is_left_as_it_was(net: Net, data: tuple[Tensor, Tensor]) -> None:
    net.train()
    net.units[0].eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    resbench.paths(net, data=data)
    assert [net.training, net.units[0].training, net.units[1].training] == [True, False, True]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_labels_are_drawn_by_the_seed(net: Net, data: tuple[Tensor, Tensor]) -> None:
    one, same, other = (resbench.paths(net, data[0], seed=seed)["gradient"]["norm"] for seed in (0, 0, 3))
    assert one == same != other


def test_survival_probabilities_give_the_lengths_in_training(net: Net, data: tuple[Tensor, Tensor]) -> None:
    found = resbench.paths(net, data=data, survival=[1.0, 0.5, 0.5, 1.0])["survival"]
    assert found["mean_length"] == 1.5
    assert sum(found["length_distribution"]) == pytest.approx(1.0)
    # 1 + z for a unit that is always there, 1 + z / 2 for one that is there half the time.
    assert found["mean_path_count"] == pytest.approx([1.0, 3.0, 3.25, 1.5, 0.25])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mass": 1.0}, "--mass 1: a share between 0 and 1"),
        ({"precision": 0.0}, "--precision 0"),
        ({"longest": -1}, "--max-length -1"),
        ({"memory": 0}, "--memory"),
        ({"most": 1}, "--max-paths 1"),
        ({"sampled": True, "longest": 2}, "leave out --sampled"),
        ({"sampled": True, "forward": True}, "--forward is computed exactly"),
        ({"data": None}, "give an example input, or data"),
    ],
)
def test_bad_input(net: Net, data: tuple[Tensor, Tensor], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        resbench.paths(net, **{"data": data, **options})


def test_every_path_passes_what_stands_between_two_units(data: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(0)
    net = Between().double()
    rows = every_path(net, *data)
    sums = [sum(row for path, row in rows.items() if sum(path) == k) for k in range(N + 1)]
    norms = [float(row.norm()) for row in sums]  # type: ignore[union-attr]
    found = resbench.paths(net, data=data)
    assert found["n_units"] == N
    assert found["gradient_norm_of_length"] == pytest.approx(norms, rel=1e-10)
    assert found["gradient"]["disagreement"] < 1e-12
    sampled = resbench.paths(net, data=data, sampled=True)
    means = [np.mean([float(row.norm()) for path, row in rows.items() if sum(path) == k]) for k in range(N + 1)]
    assert sampled["gradient_norm_per_path"] == pytest.approx(means, rel=1e-10)


def test_networks_without_paths(data: tuple[Tensor, Tensor]) -> None:
    with pytest.raises(NotMeasured, match="on other ways than through the units"):
        resbench.paths(Past().double(), data=data)
    with pytest.raises(NotMeasured, match=r"between units\.1 and units\.2 no gradient passes"):
        resbench.paths(Cut().double(), data=data)
    dead = Net().double()
    nn.init.zeros_(dead.head.weight)
    for sampled in (False, True):
        with pytest.raises(NotMeasured, match="zero"):
            resbench.paths(dead, data=data, sampled=sampled)


def test_the_command(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    arguments = ("paths", "resnet20-preact", "--data", "digits", "--limit", "4")
    code, out, err = run(*arguments, "--format", "json", "--mass", "0.5")
    found = json.loads(out)
    assert code == 0
    assert err.startswith("resbench: resnet20-preact: 9 units")
    assert list(found)[: len(CONTRACT)] == CONTRACT
    assert found["path_count"] == [math.comb(9, k) for k in range(10)]
    assert found["gradient"]["disagreement"] < 1e-4
    assert found["images"] == 4
    assert found["environment"]["packages"]["torch"]
    low, high = found["effective_range"]
    assert sum(found["share"][low : high + 1]) >= 0.5 > sum(found["share"][low + 1 : high])
    code, out, _ = run(*arguments, "--survival", "linear:0.5")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "effective range:" in out
    assert "paths in training: 3.25 units" in out
    code, out, _ = run("paths", "resnet20-preact", "--sampled", "--max-paths", "8", "--input", "3x16x16")
    assert code == 0
    assert "8 images of noise" in out.splitlines()[0]
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet20-preakt"], "resnet20-preact"),
        (["vgg15"], "no residual addition found"),
        (["resnet20-preact", "--data", "nowhere"], "--data nowhere: write digits"),
        (["resnet20-preact", "--limit", "3"], "--limit goes with --data"),
        (["resnet20-preact", "--data", "digits", "--download"], "--download goes with --data cifar10:ROOT"),
        (["resnet20-preact", "--mass", "95"], "--mass 95: a share between 0 and 1"),
        (["resnet20-preact", "--memory", "nan"], "--memory: more than 0 GiB"),
        (["resnet20-preact", "--memory", "0.0001"], "give --memory or --max-length"),
        (["resnet20-preact", "--device", "gpu"], "--device gpu: not usable here"),
        (["resnet20-preact", "--checkpoint", "nowhere.pt"], "nowhere.pt"),
        (["resnet20-preact", "--survival", "linear:2"], "a survival probability lies in"),
        (["resnet20-preact", "--input", "3x32"], "write --input 3x32x32"),
    ],
)
def test_bad_usage_is_one_line(run: Run, arguments: list[str], message: str) -> None:
    code, out, err = run("paths", *arguments)
    last = err.splitlines()[-1]
    assert (code, out) == (2, "")
    assert last.startswith("resbench: ")
    assert message in last
    assert "Traceback" not in err


def test_interrupted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("resbench.experiments.path_values.exact_lengths", lambda *_, **__: interrupt())
    code, out, err = run("paths", "resnet20-preact", "--input", "3x16x16")
    assert (code, out) == (130, "")
    assert err.splitlines()[-1] == "resbench: interrupted; nothing is kept"


def test_no_path_of_the_machine_is_in_the_json(run: Run) -> None:
    out = run("paths", "resnet20-preact", "--input", "3x16x16", "--format", "json")[1]
    assert str(Path.cwd()) not in out
    assert str(Path.home()) not in out
