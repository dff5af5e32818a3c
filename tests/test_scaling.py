"""What `python -m benchmarks.scaling` reports; the times themselves are asserted nowhere."""

from __future__ import annotations

import json

import pytest
from benchmarks import scaling
from benchmarks.scaling import Growth, Speedup, as_json, as_table, main, slope

SPEED = Speedup("resnet56-preact", 128, {1: [20.0, 30.0, 18.0], 2: [10.0, 16.0, 10.0]}, {1: [24.0] * 3, 2: [16.0] * 3})
GROWTH = Growth("units", "single deletions, 16 images", [9, 27], [[1.0, 9.0], [1.0, 3.0]], [1.0, 27.0])


def test_exponents_are_slopes_of_logarithms() -> None:
    assert slope([1, 2, 4, 8], [3.0, 12.0, 48.0, 192.0]) == pytest.approx(2)
    assert pytest.approx([2, 1]) == GROWTH.exponents
    (found,) = as_json(None, [GROWTH])["exponents"]
    assert found["exponent"] == pytest.approx({"median": 1.5, "low": 1.0, "high": 2.0})
    assert found["counted"] == pytest.approx(3)


def test_ratios_are_formed_within_a_round() -> None:
    found = as_json(SPEED, [])["speed_up"]
    assert found["sweep"] == pytest.approx({"median": 1.875, "low": 1.8, "high": 2.0})
    assert found["command"]["median"] == pytest.approx(1.5)
    assert found["reached"] is True
    slow = Speedup("resnet56-preact", 128, SPEED.command, SPEED.command)
    assert as_json(slow, [])["speed_up"]["reached"] is False
    assert "at least 1.7: missed" in as_table(slow, [])


def test_the_table() -> None:
    table = as_table(SPEED, [GROWTH])
    assert "20.0 s     10.0 s   1.88 (1.80-2.00)" in table
    assert "units           1.50 (1.00-2.00)      3.00      9, 27" in table
    assert max(map(len, table.splitlines())) <= 80


def test_everything_takes_its_turn(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "exponents", "--small", "--rounds", "2", "--format", "json"]) == 0
    found = {one["of"]: one for one in json.loads(capsys.readouterr().out)["exponents"]}
    assert list(found) == ["images", "units", "lesions"]
    assert all(len(one["seconds"]) == 2 and len(one["seconds"][0]) == len(one["sizes"]) for one in found.values())
    assert found["images"]["counted"] == pytest.approx(1)
    assert 1.5 < found["units"]["counted"] < 2
    assert 0.7 < found["lesions"]["counted"] < 1.2


def test_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        scaling.main(["--images", "1"])
    assert ended.value.code == 2
    assert "at least 2 images" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--only", "speed-up", "--network", "resnet57", "--rounds", "1"])
    assert "your own is MODULE:CALLABLE" in capsys.readouterr().err
