"""The record over seeds: committed for every trained claim as it stands, and extended seed by seed."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from resbench import calibration
from resbench.calibration import claim_powers, false_alarms, read_seeds, record_seeds, seeds_path, source_of
from resbench.claims import find, load_claims, select
from resbench.claims.lock import fingerprint
from resbench.claims.model import Between, Within
from resbench.errors import NotMeasured, UserError
from resbench.plan import items_of
from resbench.records.aside import noticing
from resbench.records.locking import held
from resbench.records.places import baselines
from resbench.records.seeds import read_seed_records, write_seed
from resbench.training.recipes import load_recipes

SEEDS = 20
ALARMED = ("he-1001-fast-loss", "veit-lesion-depth-trend")
"""One seed each did not HOLD: 13 and 18."""


def test_every_trained_claim_has_its_seeds() -> None:
    """Twenty fresh seeds each, recorded for the claim as it now stands; at least nineteen of them HOLD."""
    claims = load_claims()
    items = items_of(claims, kinds=("trained",), settings=("digits",))
    assert len(items) > 25
    for item in items:
        found = false_alarms(find(claims, item.claim.id))["digits"]
        assert found["seeds"] == SEEDS, item.id
        assert found["alarms"] == (item.claim.id in ALARMED), item.id


def test_what_is_not_trained_is_not_of_the_seeds() -> None:
    """A claim may expect something of another kind in the same setting; the seeds are those of the trained one."""
    claim = find(load_claims(), "veit-single-delete-vgg")
    (trained,) = (e for e in claim.expect if e.setting == "digits")
    other = msgspec.structs.replace(trained, kind="reference")
    mixed = msgspec.structs.replace(claim, expect=[other, *claim.expect])
    assert false_alarms(mixed) == false_alarms(claim)
    assert claim_powers(mixed) == claim_powers(claim)


def test_a_changed_claim_has_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    claim = find(load_claims(), "huang-heatmap")
    assert "digits" in false_alarms(claim)
    monkeypatch.setattr(calibration, "fingerprint", lambda claim: fingerprint(claim)[::-1])
    assert false_alarms(claim) == {"digits": {"seeds": 0, "stale": SEEDS}}
    assert claim_powers(claim) == {}


def test_seeds_of_other_networks_or_data_are_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = find(load_claims(), "huang-heatmap")
    (item,) = (one for one in items_of([claim], settings=("digits",)))
    record = read_seeds(seeds_path("digits"))
    for index, seed in enumerate(record["seeds"].values()):
        seed["claims"]["huang-heatmap"]["source"] = source_of(item) if index else "0123456789abcdef"
    for number, seed in record["seeds"].items():
        write_seed(tmp_path, "digits", int(number), {}, seed["claims"])
    monkeypatch.setattr(calibration, "seeds_path", lambda setting: tmp_path)
    found = false_alarms(claim)["digits"]
    assert (found["seeds"], found["stale"]) == (SEEDS - 1, 1)
    monkeypatch.setattr(calibration, "NETWORKS", calibration.NETWORKS + 1)
    assert false_alarms(claim)["digits"] == {"seeds": 0, "stale": SEEDS}


@pytest.mark.parametrize("changed", ["recipe", "data", "experiment"])
def test_what_raw_values_come_from(changed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (item,) = items_of([find(load_claims(), "huang-heatmap")], settings=("digits",))
    before = source_of(item)
    assert source_of(item) == before
    if changed == "recipe":
        recipes = load_recipes("digits")
        other = {name: msgspec.structs.replace(recipe, batch=recipe.batch + 1) for name, recipe in recipes.items()}
        monkeypatch.setattr("resbench.training.recipes.load_recipes", lambda setting: other)
    elif changed == "data":
        monkeypatch.setattr("resbench.data.load_dataset", lambda setting: SimpleNamespace(fingerprint="another"))
    else:
        monkeypatch.setattr(calibration, "VERSIONS", {"evaluation": 9})
    assert source_of(item) != before


def test_the_power_of_a_claim_with_two_checks() -> None:
    """One list of powers a check; the median of these margins is a real one, of the seeds recorded."""
    share, length = claim_powers(find(load_claims(), "veit-effective-paths-5-17"))["digits"]
    assert [(one.way, one.factor, len(one.margins)) for one in share] == [("fall", False, SEEDS)]
    assert [(one.way, one.factor, len(one.margins)) for one in length] == [("rise", False, SEEDS)]
    entries = [
        seed["claims"]["veit-effective-paths-5-17"] for seed in read_seeds(seeds_path("digits"))["seeds"].values()
    ]
    assert share[0].margins == pytest.approx([entry["checks"][0]["interval"][0] - 80.0 for entry in entries])
    assert length[0].margins == pytest.approx([17.0 - entry["checks"][1]["interval"][1] for entry in entries])


def test_every_claim_has_its_power() -> None:
    """As many powers as bounds, and each above nothing: what holds on every seed has room on every seed."""
    claims = load_claims()
    for item in items_of(claims, kinds=("trained",), settings=("digits",)):
        found = claim_powers(find(claims, item.claim.id))["digits"]
        assert len(found) == len(item.claim.expect)
        for expectation, each in zip(item.claim.expect, found, strict=True):
            two_sided = isinstance(expectation.compare, Between | Within)
            assert len(each) == (2 if two_sided else 1), item.id
            assert all(min(one.margins) >= one.floor for one in each), item.id


def test_alarms_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = read_seeds(seeds_path("digits"))
    first = next(iter(record["seeds"].values()))
    first["claims"]["huang-heatmap"]["status"] = "VIOLATED"
    for seed, entry in record["seeds"].items():
        write_seed(tmp_path, "digits", int(seed), **entry)
    monkeypatch.setattr(calibration, "seeds_path", lambda setting: tmp_path)
    found = false_alarms(find(load_claims(), "huang-heatmap"))["digits"]
    assert (found["seeds"], found["alarms"]) == (SEEDS, 1)
    assert found["upper"] == pytest.approx(0.216, abs=1e-3)  # Clopper-Pearson, one of twenty, one-sided 95 %


@pytest.fixture
def one_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the committed networks, of seed 0, to be judged by one claim."""
    monkeypatch.setenv("RESBENCH_CACHE", str(tmp_path / "cache"))
    some = select(load_claims(), ["huang-heatmap"])
    monkeypatch.setattr(calibration, "load_claims", lambda: some)
    return baselines() / "checkpoints" / "digits"


def test_seeds_are_recorded_one_by_one(tmp_path: Path, one_claim: Path) -> None:
    message = record_seeds("digits", [one_claim], tmp_path / "seeds")
    assert message.startswith("1 seeds recorded")
    assert [path.name for path in (tmp_path / "seeds").glob("*.json")] == ["seed-0.json"]
    (entry,) = read_seeds(tmp_path / "seeds")["seeds"]["0"]["claims"].values()
    assert entry["status"] == "HOLDS"
    assert entry["checks"][0]["interval"][0] > 0
    assert entry["source"] == source_of(items_of(calibration.load_claims(), settings=("digits",))[0])
    assert not list((tmp_path / "cache").rglob("*.npz")), "a recorded seed leaves nothing behind"


def test_a_record_with_fewer_checks_than_the_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = find(load_claims(), "veit-single-delete-vgg")
    entry = {**read_seed_records(baselines() / "claims" / "digits")[3].claims[claim.id], "checks": []}
    monkeypatch.setattr(calibration, "seeds_path", lambda setting: tmp_path)
    write_seed(tmp_path, "digits", 3, {}, {claim.id: entry})
    with pytest.raises(UserError, match="has not the 1 checks of veit-single-delete-vgg; restore it"):
        claim_powers(claim)


def test_a_damaged_seed_is_set_aside_and_no_other_touched(
    tmp_path: Path, one_claim: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "seed-0.json").write_bytes(b"torn")
    (tmp_path / "seed-1.json").write_bytes(b"torn as well")
    with noticing() as aside:
        record_seeds("digits", [one_claim], tmp_path)
    assert aside == [str(tmp_path / "seed-0.json.damaged-1")]
    assert (tmp_path / "seed-0.json.damaged-1").read_bytes() == b"torn"
    assert (tmp_path / "seed-1.json").read_bytes() == b"torn as well"
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "seed-0.json: not a record of a seed (" in line
    assert line.endswith("; set aside as seed-0.json.damaged-1, measured again")
    (tmp_path / "seed-1.json").unlink()
    assert list(read_seeds(tmp_path)["seeds"]) == ["0"]


def test_a_seed_that_another_process_records_is_left_to_it(tmp_path: Path, one_claim: Path) -> None:
    with held(tmp_path / "seed-0.json", "calibrating"):
        message = record_seeds("digits", [one_claim], tmp_path)
    assert message.startswith("0 seeds recorded")
    assert f"left to another process: seed-0.json (process {os.getpid()} on " in message
    assert not (tmp_path / "seed-0.json").exists()


def test_a_file_of_all_seeds_is_read_but_not_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="recorded in a file each: give the folder"):
        record_seeds("digits", [tmp_path], tmp_path / "seeds.json")


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 2, "seeds": {}}', '{"schema": 1, "seeds": []}'])
def test_a_damaged_record(tmp_path: Path, content: str) -> None:
    (tmp_path / "seeds.json").write_text(content)
    for place in (tmp_path, tmp_path / "seeds.json"):
        with pytest.raises(UserError, match="not a record of seeds"):
            read_seeds(place)


def test_a_folder_without_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(NotMeasured, match="no trained networks"):
        record_seeds("digits", [tmp_path], tmp_path / "seeds")
