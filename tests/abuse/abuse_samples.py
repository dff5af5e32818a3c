"""What several of these tests need: a measurement that takes a second, a run of made-up times."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.measuring.own_samples import images, recipes
from tests.timing.timing_samples import NETWORK, PREACT, around, make_run

import resbench.data.cifar10
import resbench.measuring.own
import resbench.measuring.trained
import resbench.training.recipes

TIMED = make_run("main", {PREACT: around(4e-3), NETWORK: around(0.03)})


def tiny_measuring(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`resbench measure --setting cifar10` on tiny networks and random images; what is committed is in ``folder``."""
    for module in (resbench.measuring.own, resbench.measuring.trained):
        monkeypatch.setattr(module, "baselines", lambda: folder)
    monkeypatch.setattr(resbench.training.recipes, "load_recipes", lambda setting: recipes())
    monkeypatch.setattr(resbench.data.cifar10, "load_cifar10", lambda spec, download=False: images())
