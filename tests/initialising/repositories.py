"""What repositories that are set up hold."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

NET = """
from torch import nn

class Unit(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.bn, self.conv = nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, padding=1, bias=False)

    def forward(self, x):
        return x + self.conv(self.bn(x).relu())

class Net(nn.Module):
    def __init__(self, channels=3, width=4):
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        self.units, self.head = nn.Sequential(Unit(width), Unit(width)), nn.Linear(width, 10)

    def forward(self, x):
        return self.head(self.units(self.stem(x)).mean((2, 3)))
"""
FILES = {"pyproject.toml", "tests/test_claims.py", ".github/workflows/resbench.yml", ".gitignore"}


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts and "__pycache__" not in path.parts
    }


def table(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["resbench"]
    return found
