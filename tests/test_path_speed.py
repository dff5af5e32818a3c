"""What `python -m benchmarks.path_speed` reports; the times themselves are asserted nowhere."""

from __future__ import annotations

import json

import pytest
from benchmarks import path_speed
from benchmarks.path_speed import Speed, as_json, as_table, main

SECONDS = {
    "backward": [0.1, 0.2, 0.1],
    "backward-input": [0.05, 0.1, 0.05],
    "exact": [2.0, 8.0, 2.5],
    "target": [2.0, 8.0, 2.5],
    "participation": [4.0, 16.0, 5.0],
    "path": [0.02, 0.08, 0.02],
}


def speed() -> Speed:
    return Speed("resnet110-preact", 54, 4, 32, 1, SECONDS)


def test_ratios_are_formed_within_a_round() -> None:
    found = as_json(speed())
    assert found["ratios"]["exact"] == pytest.approx({"median": 25.0, "low": 20.0, "high": 40.0})
    assert found["ratios_to_backward_input"]["exact"]["median"] == pytest.approx(50.0)
    assert found["floor_in_backward_input"] == 27.5
    assert found["paper_over_exact"] == pytest.approx(54_000 * 0.01)
    assert (found["goal"], found["reached"]) == (40.0, True)
    assert found["seconds"]["backward"] == SECONDS["backward"]


def test_a_goal_that_is_missed_is_said_so() -> None:
    slow = Speed("resnet110-preact", 54, 4, 32, 1, {**SECONDS, "exact": [5.0, 9.0, 4.1]})
    assert as_json(slow)["reached"] is False
    assert "goal: at most 40 backward passes: missed (45.0)" in as_table(slow)
    table = as_table(speed())
    assert "goal: at most 40 backward passes: reached (25.0)" in table
    assert max(map(len, table.splitlines())) <= 80


def test_everything_takes_its_turn(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--network", "resnet20-preact", "--batch", "2", "--size", "8", "--rounds", "2", "--format", "json"]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["seconds"]) == list(SECONDS)
    assert all(len(values) == 2 and min(values) > 0 for values in found["seconds"].values())
    assert (found["units"], found["batch"], found["threads"]) == (9, 2, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--network", "resnet110-preakt"], "no network is named 'resnet110-preakt'"),
        (["--network", "vgg15"], "no "),
        (["--batch", "1"], "at least 2 images"),
        (["--rounds", "0"], "at least 2 images, and 1 of everything else"),
    ],
)
def test_bad_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        path_speed.main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
