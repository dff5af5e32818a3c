"""What is recorded of each seed, and counted of the record: claims and runs made up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.reports.report_samples import claim

import resbench.training.checkpoints
from resbench import calibration
from resbench.calibration import false_alarms, read_seeds, record_seeds
from resbench.claims.lock import fingerprint
from resbench.claims.model import AtLeast, Expectation, Kind
from resbench.errors import NotMeasured, UserError
from resbench.plan import Item, items_of
from resbench.records.measurement import Measurement
from resbench.statistics import clopper_pearson


def expectation(setting: str, kind: Kind = "trained", bound: float = 90) -> Expectation:
    return Expectation(
        setting=setting,
        kind=kind,
        quantity="accuracy.test_error",
        params={"network": "preact-9"},
        compare=AtLeast(bound=bound),
        unit="%",
        origin="chosen",
        why="because",
    )


TWO = claim("t-two", expectation("digits"), expectation("digits", bound=80), expectation("cifar10"))
CLAIMS = [
    TWO,
    claim("t-false", expectation("digits")),
    claim("t-broken", expectation("digits")),
    claim("t-missing", expectation("digits")),
    claim("t-count", expectation("digits", "exact")),
    claim("t-elsewhere", expectation("cifar10")),
]
GOOD = Measurement(95.0, interval=(94.0, 96.0), method="Wilson", samples={"wrong": [1, 2]})
BAD = Measurement(50.0, interval=(49.0, 51.0), method="Wilson")
OUTCOMES: dict[str, list[Measurement | Exception]] = {
    "t-two": [GOOD, BAD],
    "t-false": [BAD],
    "t-broken": [ZeroDivisionError("division by zero")],
    "t-missing": [NotMeasured("no network")],
}


class FakeRun:
    """Measures what ``OUTCOMES`` says, on the folder of each seed."""

    folders: list[Path]
    finished: int

    def __init__(self, items: Sequence[Item], *, folders: dict[str, Path], partial: object):
        (self.folder,) = folders.values()
        assert list(folders) == ["digits"]
        assert partial is not None
        assert all(item.setting == "digits" for item in items)
        FakeRun.folders.append(self.folder)

    def outcomes(self, item: Item) -> list[Measurement | Exception]:
        if self.folder.name == "seed-3":
            raise UserError("a damaged checkpoint")
        return OUTCOMES[item.claim.id]

    def finish(self) -> None:
        FakeRun.finished += 1


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakeRun]:
    monkeypatch.setattr(FakeRun, "folders", [], raising=False)
    monkeypatch.setattr(FakeRun, "finished", 0, raising=False)
    monkeypatch.setenv("RESBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(calibration, "Run", FakeRun)
    monkeypatch.setattr(calibration, "load_claims", lambda: CLAIMS)
    monkeypatch.setattr(calibration, "environment", lambda: {"cpu": "a processor"})
    index = {"preact-9": {"file": "preact-9.safetensors"}}
    monkeypatch.setattr(resbench.training.checkpoints, "read_index", lambda folder: index if folder.name else {})
    monkeypatch.setattr(
        resbench.training.checkpoints,
        "read_seed",
        lambda path: int(path.parent.name.removeprefix("seed-")) if path.name == "preact-9.safetensors" else -1,
    )
    return FakeRun


def test_every_trained_claim_of_the_setting_is_recorded(runs: type[FakeRun], tmp_path: Path) -> None:
    folders, out = [tmp_path / "seed-10", tmp_path / "seed-9"], tmp_path / "record"
    message = record_seeds("digits", folders, out)
    assert message == f"2 seeds recorded in {out}; 6 verdicts were neither HOLDS nor NOT_MEASURED"
    assert (runs.folders, runs.finished) == (folders, 2)
    seeds = read_seeds(out)["seeds"]
    assert list(seeds) == ["9", "10"]
    for seed in seeds.values():
        assert seed["environment"] == {"cpu": "a processor"}
        claims = seed["claims"]
        statuses = {name: entry["status"] for name, entry in claims.items()}
        assert statuses == {
            "t-two": "VIOLATED",
            "t-false": "VIOLATED",
            "t-broken": "ERROR",
            "t-missing": "NOT_MEASURED",
        }
        (item,) = items_of([TWO], settings=["digits"])
        assert claims["t-two"]["fingerprint"] == fingerprint(item.claim)
        assert claims["t-two"]["checks"] == [
            {
                "quantity": "accuracy.test_error",
                "measured": 95.0,
                "interval": [94.0, 96.0],
                "samples": {"wrong": [1, 2]},
                "status": "HOLDS",
            },
            {"quantity": "accuracy.test_error", "measured": 50.0, "interval": [49.0, 51.0], "status": "VIOLATED"},
        ]
        (check,) = claims["t-broken"]["checks"]
        assert (check["measured"], check["interval"], check["status"]) == (None, None, "ERROR")


def test_a_seed_is_safe_once_it_was_judged(runs: type[FakeRun], tmp_path: Path) -> None:
    out = tmp_path / "record"
    with pytest.raises(UserError, match="a damaged checkpoint"):
        record_seeds("digits", [tmp_path / "seed-2", tmp_path / "seed-3", tmp_path / "seed-4"], out)
    assert list(read_seeds(out)["seeds"]) == ["2"]
    record_seeds("digits", [tmp_path / "seed-1"], out)
    assert list(read_seeds(out)["seeds"]) == ["1", "2"]


def test_a_folder_that_lists_no_networks(runs: type[FakeRun], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no checkpoints; train them with `resbench train --setting digits"):
        record_seeds("digits", [Path()], tmp_path / "record")


def test_only_seeds_of_the_claim_as_it_stands_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (item,) = items_of([TWO], settings=["digits"])
    now = fingerprint(item.claim)
    told = [(now, "HOLDS")] * 5 + [(now, "VIOLATED"), (now, "ERROR"), (now, "NOT_MEASURED"), ("before", "VIOLATED")]
    entries: list[dict[str, Any]] = [{"fingerprint": key, "status": status, "checks": [{}, {}]} for key, status in told]
    seeds = {str(seed): {"claims": {"t-two": entry}} for seed, entry in enumerate(entries)}
    seeds["99"] = {"claims": {}}  # from before there was the claim
    asked = []

    def read(path: Path) -> dict[str, Any]:
        asked.append(path)
        return {"seeds": seeds}

    monkeypatch.setattr(calibration, "read_seeds", read)
    monkeypatch.setattr(calibration, "seeds_path", lambda setting: tmp_path / ("" if setting == "digits" else "none"))
    found = false_alarms(TWO)
    assert set(found) == {"digits"}
    assert set(asked) == {tmp_path}
    counted = {name: found["digits"][name] for name in ("seeds", "alarms", "upper")}
    assert counted == {"seeds": 7, "alarms": 2, "upper": clopper_pearson(2, 7, 0.90)[1]}


def test_other_claims_than_trained_have_no_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = claim("t-mixed", expectation("any", "exact"), expectation("digits"))
    entries = [
        {"fingerprint": fingerprint(item.claim), "status": "HOLDS", "checks": [{}]} for item in items_of([mixed])
    ]
    seeds = {str(seed): {"claims": {"t-mixed": entry}} for seed, entry in enumerate(entries)}
    monkeypatch.setattr(calibration, "read_seeds", lambda path: {"seeds": seeds})
    monkeypatch.setattr(calibration, "seeds_path", lambda setting: tmp_path)
    found = false_alarms(mixed)
    assert [setting for setting, counts in found.items() if counts["seeds"]] == ["digits"]
    assert (found["digits"]["seeds"], found["digits"]["alarms"]) == (1, 0)
