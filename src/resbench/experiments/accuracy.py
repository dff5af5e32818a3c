"""Errors and losses of trained networks, from the raw results of :mod:`resbench.experiments.evaluation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from resbench.experiments.reading import reads
from resbench.experiments.resampling import REPLICATES, pooled_errors, weighted
from resbench.records.measurement import Measurement
from resbench.records.results import Result

__all__ = ["error_difference", "median_test_error", "test_error", "test_errors", "training_losses"]

Floats = NDArray[np.float64]


@reads(("evaluation", "network"))
def test_error(evaluated: Result, *, network: str) -> Measurement:
    """Test error, percent, with its Wilson interval over the images."""
    from resbench.statistics import wilson

    wrong = sum(int(np.asarray(member["wrong"]).sum()) for member in evaluated)
    images = sum(np.asarray(member["wrong"]).size for member in evaluated)
    low, high = wilson(wrong, images)
    return Measurement(
        100.0 * wrong / images,
        interval=(100.0 * low, 100.0 * high),
        method="Wilson over the test images",
        n=images,
        samples={"wrong": wrong},
        detail=f"{wrong} of {images} images wrong",
    )


def median_test_error(runs: Sequence[Result]) -> Measurement:
    """Median over the ``evaluation`` of networks trained alike, percent.

    They are tested on the same images, so the runs are resampled, not the images: the interval is that of the training.
    """
    errors = np.array([100.0 * np.mean([np.asarray(member["wrong"]).mean() for member in run]) for run in runs])
    drawn = errors[np.random.default_rng(4).integers(len(errors), size=(REPLICATES, len(errors)))]
    listed = ", ".join(f"{error:.2f}" for error in errors)
    return Measurement(
        float(np.median(errors)),
        replicates=np.median(drawn, axis=1).tolist(),
        method="bootstrap over runs",
        n=len(errors),
        samples={"errors": errors.tolist()},
        detail=f"median of {len(errors)} runs: {listed} %",
    )


@reads(("evaluation", "first"), ("evaluation", "second"))
def error_difference(first_result: Result, second_result: Result, *, first: str, second: str) -> Measurement:
    """Test error of ``first`` less that of ``second``, points, paired by image."""
    errors = [pooled_errors(result)[:, 0] for result in (first_result, second_result)]
    detail = f"{first} {errors[0][0]:.2f} %, {second} {errors[1][0]:.2f} %"
    rows = errors[0] - errors[1]
    images = sum(np.asarray(member["wrong"]).size for member in first_result)
    return Measurement(
        float(rows[0]), replicates=rows[1:].tolist(), method="bootstrap over images, paired", n=images, detail=detail
    )


@reads(("evaluation", "networks"))
def test_errors(evaluated: Sequence[Result], *, networks: Sequence[str]) -> Measurement:
    """Test error of each network, percent."""
    rows = {name: pooled_errors(r)[:, 0] for name, r in zip(networks, evaluated, strict=True)}
    return _table(rows, "bootstrap over images, paired")


@reads(("evaluation", "networks"))
def training_losses(evaluated: Sequence[Result], *, networks: Sequence[str]) -> Measurement:
    """Mean training loss of each network at the end of its training, nats (see :func:`evaluation`)."""
    rows = {}
    for name, result in zip(networks, evaluated, strict=True):
        members = [weighted(np.asarray(m["training_loss"]), index)[:, 0] for index, m in enumerate(result)]
        rows[name] = np.mean(members, axis=0)
    return _table(rows, "bootstrap over images, paired")


def _table(rows: Mapping[str, Floats], method: str) -> Measurement:
    names = list(rows)
    columns = np.stack([rows[name] for name in names], axis=1).tolist()
    tables = [dict(zip(names, row, strict=True)) for row in columns]
    return Measurement(tables[0], replicates=tables[1:], method=method)
