"""What the shell completes: claims, settings, networks, experiments, figures.  Nothing here imports torch.

Every function takes what has been typed so far and returns what may stand there.  Completion must not fail: what cannot
be read completes to nothing.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterable
from functools import wraps
from importlib.resources import files
from pathlib import Path

__all__ = [
    "claims",
    "data",
    "devices",
    "experiments",
    "faults",
    "figures",
    "kinds",
    "libraries",
    "models",
    "networks",
    "own_settings",
    "runs",
    "schemas",
    "settings",
]

Completion = Callable[[str], list[str]]


def _completes(known: Callable[[], Iterable[str]]) -> Completion:
    """Those of ``known()`` that begin with what is typed; nothing where it fails."""

    @wraps(known)
    def complete(incomplete: str) -> list[str]:
        try:
            return [word for word in known() if word.startswith(incomplete)]
        except Exception:  # a shell that is asked for a word must not get a traceback
            return []

    complete.__annotations__ = {"incomplete": str, "return": list[str]}
    del complete.__wrapped__  # its signature is another
    return complete


@_completes
def claims() -> list[str]:
    """Ids of claims."""
    from resbench.claims import load_claims

    return [claim.id for claim in load_claims()]


@_completes
def settings() -> list[str]:
    """Settings that claims have on resbench's own networks."""
    from resbench.claims import load_claims

    return sorted({setting for claim in load_claims() for setting in claim.settings} - {"target"})


@_completes
def own_settings() -> tuple[str, ...]:
    """Settings whose networks resbench trains."""
    return "digits", "cifar10", "cifar10-short"


@_completes
def kinds() -> tuple[str, ...]:
    """Kinds of claims, as `resbench.plan.KINDS`."""
    return "exact", "structural", "trained", "reference"


@_completes
def models() -> list[str]:
    """Networks of the zoo, and the beginnings of what else a target may be."""
    return [*_zoo(), "torchvision:", "timm:", "transformers:"]


@_completes
def networks() -> list[str]:
    """Networks that claims are judged on: the digits', and the zoo's."""
    return [*_digits(), *_zoo()]


@_completes
def experiments() -> list[str]:
    """``NETWORK`` and ``NETWORK/EXPERIMENT``."""
    from resbench.records.versions import VERSIONS

    return [word for name in _zoo() for word in (name, *(f"{name}/{experiment}" for experiment in VERSIONS))]


@_completes
def faults() -> list[str]:
    """Names of faults, those of the recorded matrix: the faults themselves import torch."""
    from resbench.records.places import baselines

    return [row["name"] for row in json.loads((baselines() / "kill-matrix.json").read_text())["faults"]]


@_completes
def figures() -> list[str]:
    """Names of figures."""
    return list(importlib.import_module("resbench.figures").FIGURES)


@_completes
def runs() -> list[str]:
    """Saved timing runs, and committed baselines."""
    from resbench.records.places import baselines

    saved = Path(os.environ.get("RESBENCH_STORE") or Path(".resbench") / "runs")
    folders = (saved, baselines() / "throughput")
    return sorted({path.stem for folder in folders if folder.is_dir() for path in folder.glob("*.json")})


@_completes
def schemas() -> list[str]:
    """Outputs that have a schema."""
    from resbench.schemas import names

    return names()


@_completes
def data() -> tuple[str, ...]:
    """The beginnings of what --data takes."""
    return "digits", "cifar10:", "imagefolder:", "npz:"


@_completes
def devices() -> tuple[str, ...]:
    """Where torch can run."""
    return "cpu", "cuda"


@_completes
def libraries() -> tuple[str, ...]:
    """Whose networks can be surveyed."""
    return "torchvision", "timm", "transformers"


def _zoo() -> list[str]:
    """As `resbench.networks.zoo.names`, which imports torch."""
    return (files("resbench.networks") / "zoo-names.txt").read_text(encoding="utf-8").split()


def _digits() -> list[str]:
    from resbench.records.places import baselines

    return list(json.loads((baselines() / "checkpoints" / "digits" / "index.json").read_text())["files"])
