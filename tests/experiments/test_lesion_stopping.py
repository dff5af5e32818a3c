"""When sweeps stop: readings agree with the quantities, lesions stop one by one, and errors are kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from benchmarks.sequential import drawn, judged, statement, whole_procedure
from numpy.typing import NDArray
from scipy.stats import binom

from resbench.claims.loader import load_claims, resolve_quantity
from resbench.claims.model import AtLeast, AtMost, Between, Expectation
from resbench.errors import NotMeasured
from resbench.experiments.lesion_bounds import DESCRIPTION_ONLY, READINGS, Seen
from resbench.experiments.lesion_stopping import Statement, Stopping
from resbench.experiments.reading import requests_of
from resbench.judge import Status
from resbench.records.measurement import Measurement

Bools = NDArray[np.bool_]
PARAMS: dict[str, Any] = {"points": 3.0, "least_units": 4, "statistic": "mean"}


def network(seed: int, units: int = 9, images: int = 600, more: float = 0.08) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    wrong = drawn(units, 0.1, more, 0.02, images, generator)
    wrong[1] = generator.random(images) < 0.35
    ordinary = np.arange(units) % 3 != 0
    return {
        "wrong": wrong,
        "ordinary": ordinary,
        "changes_shape": ~ordinary,
        "units": np.arange(units),
        "names": np.array([f"u{i}" for i in range(units)]),
        "left_out": np.array(0),
    }


def seen_of(described: dict[str, Any], images: int | None = None) -> Seen:
    seen = Seen(described)
    wrong: Bools = described["wrong"][:, :images]
    seen.add(wrong, np.ones(seen.lesions, dtype=bool))
    return seen


def arguments(quantity: str) -> tuple[list[Any], dict[str, Any]]:
    """Results and parameters for a quantity: one network for every source that it names."""
    function = resolve_quantity(quantity)
    names = {parameter for _, parameter in function.__dict__["sources"]}
    import inspect

    wanted = inspect.signature(function).parameters
    params = {name: value for name, value in PARAMS.items() if name in wanted}
    params |= {name: ["first", "second"] if name == "networks" else name for name in names}
    results: list[Any] = []
    for index, request in enumerate(requests_of(function, params)):
        one = (network(index, more=0.1 - 0.05 * index),)
        results.append([one, (network(7, more=0.3),)] if isinstance(request, list) else one)
    return results, params


@pytest.mark.parametrize("quantity", sorted(READINGS))
def test_a_reading_is_its_quantity(quantity: str) -> None:
    """On all images it has the quantity's value, and its limits hold the value and the ordinary interval's middle."""
    results, params = arguments(quantity)
    measured = resolve_quantity(quantity)(*results, **params)
    flat = [one for result in results for one in (result if isinstance(result, list) else [result])]
    reading = READINGS[quantity]([seen_of(result[0]) for result in flat], 0.01, [5.0], **params)
    value, low, high = (_flat(part) for part in (reading.value, reading.low, reading.high))
    np.testing.assert_allclose(value, _flat(measured.value), atol=1e-9)
    assert (low <= value).all()
    assert (value <= high).all()
    replicates = np.array([_flat(replicate) for replicate in measured.replicates])
    assert (low <= np.quantile(replicates, 0.05, axis=0)).all(), "a sequence is wider than an ordinary interval"
    assert (high >= np.quantile(replicates, 0.95, axis=0)).all()
    early = READINGS[quantity]([seen_of(result[0], 150) for result in flat], 0.01, [5.0], **params)
    assert (_flat(early.high) - _flat(early.low)).sum() >= (high - low).sum(), "fewer images tell less"


def _flat(value: Any) -> NDArray[np.float64]:
    entries = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
    return np.array(list(entries), dtype=float)


def test_every_statement_on_single_deletions_is_known() -> None:
    """A new quantity must be given a reading, or be judged on all images: that is then said here."""
    found = set()
    for claim in load_claims():
        for one in claim.expect:
            requests = requests_of(resolve_quantity(one.quantity), one.params)
            flat = [each for request in requests for each in (request if isinstance(request, list) else [request])]
            if any(request.experiment == "single_deletion" for request in flat):
                found.add(one.quantity)
    assert found <= set(READINGS) | DESCRIPTION_ONLY


def run(statements: list[Statement], described: dict[str, Any], look: int = 50) -> Stopping:
    stopping = Stopping(statements, {"net": described}, 0.05)
    wrong, at = described["wrong"], 0
    while stopping.going("net").any() and at < wrong.shape[1]:
        stopping.after_batch("net", wrong[1:, at : at + look], wrong[0, at : at + look])
        at += look
    return stopping


def columns(*errors: float, images: int = 2000) -> dict[str, Any]:
    """A whole network without errors, and units with these."""
    generator = np.random.default_rng(5)
    wrong = np.stack([generator.random(images) < error for error in (0.0, *errors)])
    ordinary = np.ones(len(errors), dtype=bool)
    return {"wrong": wrong, "ordinary": ordinary, "changes_shape": ordinary}


def test_each_lesion_stops_when_it_is_decided() -> None:
    """Every layer's error is at least 50 %: at 95 % that is seen sooner than at 62 %."""
    one = statement("interior_layer_errors", AtLeast(bound=50.0), unit="%")
    stopping = run([one], columns(0.0, 0.95, 0.62, 0.7, 0.0))
    assert isinstance(one.outcome, Measurement)
    used = stopping.images_used("net")
    assert used[0] == used[4] == 0, "the first and the last layer belong to no statement"
    assert 0 < used[1] < used[3] < used[2] < 2000
    assert one.outcome.n == used.max()
    assert one.images == {"net": used.tolist()}
    assert "betting" in one.outcome.method
    intervals = np.array(one.outcome.intervals)
    assert (intervals[:, 0] >= 50.0).all()


def test_one_lesion_that_is_outside_ends_the_statement() -> None:
    one = statement("interior_layer_errors", AtLeast(bound=50.0), unit="%")
    stopping = run([one], columns(0.0, 0.55, 0.1, 0.55, 0.0))
    assert stopping.images_used("net").max() <= 150


def test_a_median_needs_most_of_its_lesions() -> None:
    one = statement("ordinary_median_increase", AtMost(bound=5.0))
    stopping = run([one], columns(0.0, 0.0, 0.001, 0.5, 0.05))
    assert isinstance(one.outcome, Measurement)
    used = stopping.images_used("net")
    assert used[3] < used[0], "half of the images wrong is soon seen to be above"
    assert used[4] == used[2], "a lesion on the bound goes on until the median is decided"


def test_a_lesion_goes_on_while_another_statement_needs_it() -> None:
    described = columns(0.0, 0.0, 0.0, 0.3)
    alone = run([statement("ordinary_median_increase", AtMost(bound=15.0))], described)
    both = [
        statement("ordinary_median_increase", AtMost(bound=15.0)),
        statement("ordinary_mean_increase", Between(low=5.0, high=10.0)),
    ]
    stopping = run(both, described)
    assert all(isinstance(one.outcome, Measurement) for one in both)
    assert both[0].images["net"] == alone.images_used("net").tolist()
    assert stopping.images_used("net").min() > alone.images_used("net").max()


def test_on_the_bound_nothing_is_decided() -> None:
    one = statement("ordinary_median_increase", AtMost(bound=20.0))
    stopping = run([one], columns(0.2, 0.2, 0.2, images=1000))
    assert one.outcome is None
    assert (stopping.images_used("net") == 1000).all()


def test_what_cannot_be_measured_costs_no_image() -> None:
    described = columns(0.1, 0.2) | {"left_out": np.array(0), "changes_shape": np.zeros(2, dtype=bool)}
    deep = Statement(
        "deep",
        Expectation(
            setting="target",
            kind="trained",
            quantity="unit_lesions.ordinary_median_increase",
            params={"network": "net", "least_units": 50},
            compare=AtMost(bound=1.5),
            unit="points",
            origin="chosen",
            why="test",
        ),
        ("net",),
    )
    shapes = statement("downsampling_increase", AtMost(bound=1.0))
    stopping = run([deep, shapes], described)
    assert isinstance(deep.outcome, NotMeasured)
    assert isinstance(shapes.outcome, NotMeasured)
    assert not stopping.images_used("net").any()


@pytest.mark.parametrize("kind", ["errors", "increases"])
def test_a_stopped_lesion_stays_as_it_was(kind: str) -> None:
    """The whole network goes on, and its further errors are none of the stopped lesion's."""
    described = network(3)
    seen = seen_of(described, 200)
    rows = np.array([2])
    before = getattr(seen, kind)(rows, 0.05)
    wrong: Bools = described["wrong"][:, 200:]
    going = np.arange(seen.lesions) != 2
    seen.add(np.where(np.concatenate([[True], going])[:, None], wrong, False), going)
    assert (seen.used == np.where(going, 600, 200)).all()
    np.testing.assert_array_equal(getattr(seen, kind)(rows, 0.05), before)


def test_results_of_stopped_lesions_are_ignored() -> None:
    one = statement("interior_layer_errors", AtLeast(bound=50.0), unit="%")
    described = columns(0.0, 0.99, 0.6, 0.0)
    stopping = Stopping([one], {"net": described}, 0.05)
    wrong = described["wrong"].copy()
    for at in range(0, 2000, 50):
        if not stopping.going("net").any():
            break
        block = wrong[:, at : at + 50].copy()
        block[1:][~stopping.going("net")] = False  # what an engine leaves there
        stopping.after_batch("net", block[1:], block[0])
    assert isinstance(one.outcome, Measurement)
    assert isinstance(one.outcome.value, list)
    assert one.outcome.value[0] == pytest.approx(99.0, abs=3.0)


def test_the_whole_procedure_keeps_its_error() -> None:
    """Early stops and the last look together, lesions on the bound: every decision is false."""
    for row in whole_procedure(60, images=512):
        assert row["false early"] + row["false late"] <= binom.ppf(0.999, 60, row["alpha"]) / 60, row


def test_far_from_the_bound_the_verdict_is_right() -> None:
    wrong = drawn(5, 0.1, 0.3, 0.0, 1797, np.random.default_rng(1))
    for comparator, status in ((AtMost(bound=2.0), Status.VIOLATED), (AtLeast(bound=2.0), Status.HOLDS)):
        found = judged(statement("ordinary_median_increase", comparator), wrong, np.ones(5, dtype=bool), 0.05)
        assert found[:2] == (status, True)
        assert found[2] <= 256
