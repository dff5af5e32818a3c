"""The record over seeds: committed for every trained claim as it stands, and extended seed by seed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from resbench import calibration
from resbench.calibration import false_alarms, read_seeds, record_seeds, seeds_path
from resbench.claims import find, load_claims, select
from resbench.claims.lock import fingerprint
from resbench.errors import NotMeasured, UserError
from resbench.plan import items_of
from resbench.records.places import baselines


def test_every_trained_claim_has_its_seeds() -> None:
    """At least five fresh seeds each, ten for lesions, recorded for the claim as it now stands, all of them HOLDS."""
    claims = load_claims()
    items = items_of(claims, kinds=("trained",), settings=("digits",))
    assert len(items) > 25
    for item in items:
        found = false_alarms(find(claims, item.claim.id))["digits"]
        assert found["seeds"] >= (10 if item.claim.id.startswith("veit-") else 5), item.id
        assert found["alarms"] == 0, item.id


def test_a_changed_claim_has_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    claim = find(load_claims(), "huang-heatmap")
    assert "digits" in false_alarms(claim)
    monkeypatch.setattr(calibration, "fingerprint", lambda claim: fingerprint(claim)[::-1])
    assert false_alarms(claim) == {}


def test_alarms_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = read_seeds(seeds_path("digits"))
    first = next(iter(record["seeds"].values()))
    first["claims"]["huang-heatmap"]["status"] = "VIOLATED"
    (tmp_path / "seeds.json").write_text(json.dumps(record))
    monkeypatch.setattr(calibration, "seeds_path", lambda setting: tmp_path / "seeds.json")
    found = false_alarms(find(load_claims(), "huang-heatmap"))["digits"]
    assert (found["seeds"], found["alarms"]) == (10, 1)
    assert found["upper"] == pytest.approx(0.394, abs=1e-3)  # Clopper-Pearson, one of ten, one-sided 95 %


def test_seeds_are_recorded_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESBENCH_CACHE", str(tmp_path / "cache"))
    some = select(load_claims(), ["huang-heatmap"])
    monkeypatch.setattr(calibration, "load_claims", lambda: some)
    out = tmp_path / "seeds.json"
    message = record_seeds("digits", [baselines() / "checkpoints" / "digits"], out)
    assert message.startswith("1 seeds recorded")
    (entry,) = read_seeds(out)["seeds"]["0"]["claims"].values()
    assert entry["status"] == "HOLDS"
    assert entry["checks"][0]["interval"][0] > 0
    assert not list((tmp_path / "cache").rglob("*.npz")), "a recorded seed leaves nothing behind"


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 2, "seeds": {}}', '{"schema": 1, "seeds": []}'])
def test_a_damaged_record(tmp_path: Path, content: str) -> None:
    (tmp_path / "seeds.json").write_text(content)
    with pytest.raises(UserError, match="not a record of seeds"):
        read_seeds(tmp_path / "seeds.json")


def test_a_folder_without_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(NotMeasured, match="no trained networks"):
        record_seeds("digits", [tmp_path], tmp_path / "seeds.json")
