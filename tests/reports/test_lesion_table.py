"""Lesions for a terminal."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lesion_samples import MODES, sweep

from resbench.reports.lesion import lesion_table

NAMES = st.text(min_size=1, max_size=120)


def test_the_first_lines_say_what_was_measured_and_how() -> None:
    lines = lesion_table(sweep()).splitlines()
    assert lines[0] == "resnet20: error 6.61 % (95 %: 6.10 to 7.20), 1000 images, 9 units, 1 not"
    head = " ".join(" ".join(lines[:7]).split())
    assert "measured: 8 single deletions, 12 random deletions, 12 duplications, 6 orders, 28 pairs" in head
    assert "how: trie, cpu, float32, 1 thread, 1.25 s" in head
    assert "never drawn: units 1, 4 and 7" in head


def test_each_unit_has_a_line_with_its_number_its_marks_and_its_change() -> None:
    found = sweep(("single",))
    found["single"][0].update(error=70.5, delta=63.89, delta_interval=[60.0, 67.125])
    lines = lesion_table(found).splitlines()
    first = next(line for line in lines if "layer1.0" in line and "costs" not in line)
    assert first.split()[:4] == ["1", "layer1.0", "F", "70.50"]
    assert "+63.89 (+60.00 to +67.12)" in first
    assert first.endswith("###")
    assert next(line for line in lines if line.startswith("   4")).split()[1:3] == ["layer2.3", "FD"]
    assert "   5  layer2.4      not deletable: changes the shape" in lines
    assert "unit 1 layer1.0 costs most (+63.89 points)" in " ".join(lines)


def test_a_change_of_nearly_nothing_has_no_sign_of_a_loss() -> None:
    found = sweep(("single",))
    found["single"][1].update(error=6.61, delta=-1e-12, delta_interval=[-1e-12, 0.0])
    assert "+0.00 (+0.00 to +0.00)" in lesion_table(found)
    assert "-0.00" not in lesion_table(found)


def test_random_lesions_are_shown_by_how_many_units_they_change() -> None:
    found = sweep(("multi",))
    for one, error in zip(found["multi"][:4], (10.0, 20.0, 30.0, 40.0), strict=True):
        one["error"] = error
    lines = lesion_table(found).splitlines()
    assert lines[lines.index("error in % by units deleted") + 2].split()[:7] == [
        "1", "4", "25.00", "17.50", "to", "32.50", "40.00",
    ]  # fmt: skip


def test_pairs_name_the_strongest_and_count_those_that_differ() -> None:
    found = sweep(("pairs",))
    for one in found["pairs"]:
        one.update(interaction=0.5, interaction_interval=[-1.0, 2.0])
    found["pairs"][3].update(units=[0, 5], interaction=-12.0, interaction_interval=[-13.0, -11.0])
    text = lesion_table(found)
    assert "units 1 and 6       -12.00 (95 %: -13.00 to -11.00)  layer1.0, layer2.5" in text
    assert "1 of 28 pairs differ from 0" in text
    assert f"mean size {(27 * 0.5 + 12) / 28:.3g} points" in text


@pytest.mark.parametrize("mode", MODES)
def test_what_was_not_measured_is_not_mentioned(mode: str) -> None:
    text = lesion_table(sweep((mode,)))
    titles = {"single": "F: first", "multi": "units deleted", "duplicate": "applied twice", "reorder": "Kendall",
              "pairs": "interaction"}  # fmt: skip
    assert [other for other, title in titles.items() if title in text] == [mode]


@settings(max_examples=40, deadline=None)
@given(target=NAMES, unit=NAMES, reason=NAMES, how=NAMES, big=st.floats(-1e4, 1e4), width=st.integers(60, 200))
def test_no_line_is_wider_than_the_terminal(
    target: str, unit: str, reason: str, how: str, big: float, width: int
) -> None:
    found = copy.deepcopy(SAMPLE)
    found["target"]["name"], found["engine"]["how"] = target, how
    for one in [*found["units"], *found["single"]]:
        one["name"] = unit
    found["units"][4]["reason"] = reason
    found["single"][2].update(delta=big, delta_interval=[big - 1, big + 1])
    lines = lesion_table(found, width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert all(line.isprintable() for line in lines)


SAMPLE = sweep(n=30)


def test_a_whole_network_that_no_unit_of_can_be_deleted_still_has_a_table() -> None:
    found = sweep(("single",), fixed=tuple(range(9)))
    assert lesion_table(found).count("not deletable: changes the shape") == 9
