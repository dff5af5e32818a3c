"""`resbench check --target NEW --against OLD`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import Run

OLD = """
import torch
from torch import nn


class Unit(nn.Module):
    def __init__(self, width=6):
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x):
        return x + self.conv(torch.relu(self.norm(x)))


class Net(nn.Module):
    def __init__(self, units):
        super().__init__()
        self.stem, self.units, self.head = nn.Conv2d(3, 6, 3, padding=1), nn.Sequential(*units), nn.Linear(6, 10)

    def forward(self, x):
        return self.head(self.units(self.stem(x)).mean((2, 3)))


def model():
    return Net([Unit() for _ in range(3)])
"""

NEW = """
import old
import torch
from torch.nn import functional as F


class Functional(old.Unit):
    def forward(self, x):
        return torch.add(self.conv(F.relu(self.norm(x))), x)


class Scaled(old.Unit):
    def forward(self, x):
        return 0.9 * x + self.conv(F.relu(self.norm(x)))


def same():
    return old.Net([Functional() for _ in range(3)])


def scaled():
    return old.Net([Functional(), Scaled(), Functional()])
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old.py").write_text(OLD)
    (tmp_path / "new.py").write_text(NEW)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("project")
def test_a_refactoring_is_compared_with_the_old_code(run: Run) -> None:
    arguments = ("--against", "old:model", "--input", "3x8x8", "--select", "against-*", "--format", "json")
    code, out, _ = run("check", "--target", "new:same", *arguments)
    assert code == 0
    assert {verdict["status"] for verdict in json.loads(out)["verdicts"]} == {"HOLDS"}
    code, out, _ = run("check", "--target", "new:scaled", *arguments)
    assert code == 1
    found = {verdict["id"]: verdict for verdict in json.loads(out)["verdicts"]}
    assert {verdict["status"] for verdict in found.values()} == {"VIOLATED"}
    assert "first in unit 2 'units.1': shortcut differs by 0.1" in found["against-function"]["message"]
    assert "unit 2 'units.1': shortcut kind is altered, was identity" in found["against-structure"]["message"]


@pytest.mark.usefixtures("project")
def test_without_another_model_nothing_is_compared(run: Run) -> None:
    code, out, _ = run(
        "check", "--target", "old:model", "--input", "3x8x8", "--select", "against-*", "--format", "json"
    )
    assert code == 0
    verdicts = json.loads(out)["verdicts"]
    assert {verdict["status"] for verdict in verdicts} == {"NOT_MEASURED"}
    assert "give --against" in verdicts[0]["message"]


@pytest.mark.usefixtures("project")
def test_an_old_model_that_cannot_be_loaded(run: Run) -> None:
    code, _, err = run("check", "--target", "new:same", "--against", "old:nothing", "--input", "3x8x8")
    assert code == 2
    assert err.splitlines()[-1] == "resbench: target old:nothing: module old has no 'nothing'"
