"""The lab: every experiment once, failures remembered, missing networks named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resbench.claims.model import AtLeast, Expectation
from resbench.errors import NotMeasured
from resbench.experiments import lab as laboratory
from resbench.experiments.lab import Lab
from resbench.records.measurement import Measurement
from resbench.records.partial import PartialResults
from resbench.records.places import baselines
from resbench.records.results import Request

FOLDER = baselines() / "checkpoints" / "digits"
REQUEST = Request("evaluation", "post-9")


class Listener:
    def __init__(self) -> None:
        self.log: list[str] = []

    def started(self, requests: list[Request]) -> None:
        self.log.append(f"started {len(requests)}")

    def finished(self, request: Request) -> None:
        self.log.append(f"finished {request.experiment}")


def expectation(quantity: str, **params: object) -> Expectation:
    return Expectation(
        setting="digits",
        kind="trained",
        quantity=quantity,
        params=params,
        compare=AtLeast(bound=0.0),
        unit="%",
        origin="chosen",
        why="test",
    )


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []
    real = laboratory.measured

    def spy(request: Request, target: Any) -> Any:
        seen.append(request.experiment)
        return real(request, target)

    monkeypatch.setattr(laboratory, "measured", spy)
    return seen


def test_an_experiment_runs_once(calls: list[str]) -> None:
    listener = Listener()
    lab = Lab("digits", FOLDER, listener=listener)
    lab.measure_all([REQUEST, REQUEST])
    lab.evaluate(expectation("accuracy.test_error", network="post-9"))
    lab.evaluate(expectation("accuracy.test_errors", networks=["post-9"]))
    assert calls == ["evaluation"]
    assert listener.log == ["started 1", "finished evaluation"]


def test_results_are_per_member() -> None:
    result = Lab("digits", FOLDER).result(Request("single_deletion", "preact-9"))
    assert [member["wrong"].shape[0] for member in result] == [10, 10]
    assert sum(member["wrong"].shape[1] for member in result) == 1797


def test_a_failing_experiment_fails_every_reader_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(request: Request, target: Any) -> Any:
        raise RuntimeError("broke")

    lab = Lab("digits", FOLDER)
    lab.result(REQUEST)
    monkeypatch.setattr(laboratory, "measured", crash)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="broke"):
            lab.result(Request("single_deletion", "preact-9"))
    assert isinstance(lab.evaluate(expectation("accuracy.test_error", network="post-9")), Measurement)


def test_missing_networks_are_not_measured(tmp_path: Path) -> None:
    with pytest.raises(NotMeasured, match="resnet110 is not trained in setting digits"):
        Lab("digits", FOLDER).result(Request("evaluation", "resnet110"))
    with pytest.raises(NotMeasured, match="no trained networks for setting cifar10"):
        Lab("cifar10", tmp_path / "none").result(Request("evaluation", "resnet110"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
@pytest.mark.parametrize("experiment", ["single_deletion", "evaluation", "path_gradients"])
def test_a_gpu_measures_what_the_cpu_does(experiment: str) -> None:
    """Float32 kernels differ in rounding: at most one image in two hundred may change sides."""
    request = Request(experiment, "preact-9")
    cpu, gpu = Lab("digits", FOLDER).result(request), Lab("digits", FOLDER, device="cuda").result(request)
    for one, other in zip(cpu, gpu, strict=True):
        if experiment == "path_gradients":
            np.testing.assert_allclose(other["norms"], one["norms"], rtol=0.05, equal_nan=True)
        else:
            assert np.mean(one["wrong"] != other["wrong"]) <= 0.005


def test_kept_results_are_reused(tmp_path: Path, calls: list[str]) -> None:
    first = Lab("digits", FOLDER, kept=PartialResults(tmp_path, "a")).result(REQUEST)
    second = Lab("digits", FOLDER, kept=PartialResults(tmp_path, "a")).result(REQUEST)
    assert calls == ["evaluation"]
    np.testing.assert_array_equal(first[0]["wrong"], second[0]["wrong"])


def test_measured_twice_is_measured_the_same() -> None:
    """Lesions are drawn from fixed generators and run in threads: the records must not depend on either."""
    request = Request("multiple_deletion", "preact-9")
    first, second = Lab("digits", FOLDER).result(request), Lab("digits", FOLDER).result(request)
    for one, other in zip(first, second, strict=True):
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])
