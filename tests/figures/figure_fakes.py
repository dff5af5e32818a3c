"""Figures without measuring: made-up results of the digits' networks, beside the committed records."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from resbench.experiments.lab import Lab
from resbench.figures import build
from resbench.figures.model import Figure
from resbench.figures.sources import Sources
from resbench.plan import Run
from resbench.records.results import Request, Result

IMAGES = 60


def units(network: str) -> int:
    """How many units, or layers, a network of the digits has."""
    found = re.search(r"-(\d+)", network)
    return int(found[1]) if found and network.split("-")[0] in ("preact", "post", "vgg", "plain") else 54


def made_up(request: Request) -> Result:
    """Two members' arrays of the right shapes, the same every time."""
    generator = np.random.default_rng(len(request.network) + sum(map(ord, request.experiment)))
    return tuple(_member(request.experiment, request.network, generator) for _ in range(2))


def _member(experiment: str, network: str, generator: np.random.Generator) -> dict[str, Any]:
    n = units(network)
    if experiment == "single_deletion":
        plain = network.startswith("vgg")
        return {
            "wrong": generator.random((1 + n, IMAGES)) < (0.9 if plain else 0.05),
            "deletable": np.arange(n) > (0 if plain else -1),
            "ordinary": np.arange(n) > 0,
            "changes_shape": np.arange(n) % 18 == 0,
        }
    if experiment == "multiple_deletion":
        k = np.repeat(np.arange(1, 21), 4)
        return {"wrong": generator.random((len(k), IMAGES // 3)) < k[:, None] / 25, "k": k}
    if experiment == "reordering":
        tau = np.linspace(0.999, 0.8, 40)
        return {
            "wrong": generator.random((40, IMAGES // 3)) < 3 * (1 - tau[:, None]),
            "tau": tau,
            "swaps": np.arange(40),
        }
    if experiment == "path_gradients":
        decay = 0.25 ** np.arange(n + 1)[:, None, None]
        return {"norms": decay * generator.lognormal(0.0, 0.3, (n + 1, 1, 6))}
    if experiment == "evaluation":
        return {"wrong": generator.random((1, IMAGES)) < 0.1, "training_loss": generator.random((1, IMAGES))}
    if experiment == "training_curves":
        epochs = 120 if "stochastic" in network else 20
        return {name: np.exp(-0.05 * np.arange(epochs)) for name in ("loss", "depth", "stem_gradient")}
    if experiment == "pair_deletion":
        pairs = np.array([(i, j) for i in range(n) for j in range(i + 1, n)])
        return {"wrong": generator.random((1 + n + len(pairs), IMAGES)) < 0.2, "pairs": pairs}
    raise AssertionError(f"no figure needs {experiment}")


class MadeUpLab(Lab):
    """The digits' lab, which measures nothing."""

    def __init__(self) -> None:
        super().__init__("digits", Path())
        self.asked: list[Request] = []

    def measure_all(self, requests: Iterable[Request]) -> None:
        self.asked += requests

    def result(self, request: Request) -> Result:
        self.asked.append(request)
        return made_up(request)


def made_up_sources() -> Sources:
    """The digits are made up; everything else is what is committed."""
    run = Run([])
    run._labs["digits"] = MadeUpLab()
    return Sources(run)


@cache
def built(name: str) -> Figure:
    """A figure of the made-up digits, built once: nobody changes it."""
    return build(name, _sources())


@cache
def _sources() -> Sources:
    return made_up_sources()
