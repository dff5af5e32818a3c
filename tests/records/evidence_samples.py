"""Records of made-up experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from resbench.records.evidence import Made, Subject, write
from resbench.records.results import Request, Result
from resbench.records.versions import VERSIONS

SETTING = "cifar10-public"
REQUEST = Request("single_deletion", "resnet56")
MADE = Made(
    at="2026-01-01T00:00:00+00:00",
    source="abc",
    environment={"cpu": "a processor"},
    device="cpu",
    threads=1,
    seconds=2.5,
)


def subject(**changes: Any) -> Subject:
    fields: dict[str, Any] = {
        "target": "mymodel:build",
        "checkpoint": 64 * "0",
        "data": "d",
        "labels": "l",
        "images": 40,
        "seed": 0,
        "published_error": 6.61,
    }
    return Subject(**{**fields, **changes})


def deletions(errors: list[int], images: int = 40) -> dict[str, Any]:
    """Of so many images wrong without a lesion, and under each; the first unit is a stage's, the second changes."""
    count = len(errors) - 1
    return {
        "wrong": np.array([np.arange(images) < wrong for wrong in errors]),
        "deletable": np.ones(count, dtype=bool),
        "ordinary": np.arange(count) > 1,
        "changes_shape": np.arange(count) == 1,
        "units": np.arange(count),
        "names": np.array([f"layer.{i}" for i in range(count)]),
        "left_out": np.array(0),
    }


def record(
    folder: Path, result: Result | None = None, request: Request = REQUEST, version: int | None = None, **changes: Any
) -> Path:
    given = (deletions([2, 30, 20, 4, 3, 5]),) if result is None else result
    number = VERSIONS[request.experiment] if version is None else version
    return write(folder, SETTING, request, number, subject(**changes), MADE, given)
