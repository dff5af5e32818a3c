"""The committed timing runs can be read, are of the machine that their names say, and lack nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from resbench.records.places import baselines
from resbench.timing.compare import compare
from resbench.timing.fingerprint import fingerprint
from resbench.timing.store import load
from resbench.timing.worker.case import VERSIONS

_FILES = sorted((baselines() / "throughput").glob("*.json"))


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_a_baseline_is_whole(path: Path) -> None:
    run = load(path.stem)
    assert run.fingerprint == fingerprint(run.environment) == path.stem
    assert run.environment["git"]["dirty"] is False
    for record in run.records:
        assert record.error == ""
        assert len(record.rounds) >= 2
        assert record.version in VERSIONS.values()


def test_the_baselines_of_one_machine_can_be_compared() -> None:
    oldest, newest = (load(f"cpu-epyc-9xx4-torch{version}") for version in ("2.9", "2.15"))
    found = compare([oldest, newest])
    assert not found.across
    assert all(row.against[0].ratio is not None for row in found.rows)
