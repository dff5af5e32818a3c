"""Lesions as CSV: what pandas reads back is what was measured."""

from __future__ import annotations

import io
from typing import Any

import pandas as pd
import pytest
from lesion_samples import MODES, sweep

from resbench.reports.lesion_csv import COLUMNS, lesion_csv


def read(found: Any) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(lesion_csv(found)), dtype={"indices": str})


def close(values: list[float]) -> Any:
    """pandas' default parser may differ in the last digit."""
    return pytest.approx(values, rel=1e-13)


def test_every_lesion_has_one_row() -> None:
    found = sweep()
    table = read(found)
    assert tuple(table.columns) == COLUMNS
    assert table["mode"].value_counts().to_dict() == {"whole": 1, **{mode: len(found[mode]) for mode in MODES}}


@pytest.mark.parametrize(
    ("mode", "key"), [("single", "index"), ("multi", "deleted"), ("duplicate", "duplicated"), ("pairs", "units")]
)
def test_the_numbers_are_the_same_after_reading(mode: str, key: str) -> None:
    found = sweep((mode,))
    rows = read(found).iloc[1:]
    assert rows["error"].tolist() == close([one["error"] for one in found[mode]])
    assert rows["error_low"].tolist() == close([one["interval"][0] for one in found[mode]])
    assert rows["error_high"].tolist() == close([one["interval"][1] for one in found[mode]])
    changed = [[one[key]] if mode == "single" else one[key] for one in found[mode]]
    assert [[int(index) for index in cell.split()] for cell in rows["indices"]] == changed
    assert [cell.split(";") for cell in rows["names"]] == [[found["units"][i]["name"] for i in own] for own in changed]
    assert rows["k"].tolist() == [len(own) for own in changed]
    deltas = [one.get("delta", one["error"] - found["baseline_error"]) for one in found[mode]]
    assert rows["delta"].tolist() == close(deltas)


def test_the_first_row_is_the_whole_network() -> None:
    row = read(sweep(("single",))).iloc[0]
    assert (row["mode"], row["k"], row["error"], row["error_low"], row["error_high"]) == ("whole", 0, 6.61, 6.1, 7.2)
    assert row["delta"] == 0
    assert pd.isna(row["indices"])


def test_orders_are_given_by_position() -> None:
    found = sweep(("reorder",))
    found["reorder"][0]["order"] = [0, 2, 1, 3, 4, 5, 6, 7, 8]
    rows = read(found).iloc[1:]
    assert [[int(index) for index in cell.split()] for cell in rows["order"]] == [o["order"] for o in found["reorder"]]
    assert rows["indices"].iloc[0] == "1 2"
    assert rows["k"].tolist() == [one["swaps"] for one in found["reorder"]]
    assert rows["kendall_tau"].tolist() == close([one["kendall_tau"] for one in found["reorder"]])


def test_interactions_keep_their_intervals() -> None:
    found = sweep(("pairs",))
    found["pairs"][0]["interaction_interval"] = None
    rows = read(found).iloc[1:]
    assert rows["interaction"].tolist() == close([one["interaction"] for one in found["pairs"]])
    assert pd.isna(rows["interaction_low"].iloc[0])
    assert rows["interaction_high"].iloc[1] == pytest.approx(found["pairs"][1]["interaction_interval"][1])


def test_a_name_may_hold_what_csv_uses() -> None:
    found = sweep(("single",))
    found["units"][0]["name"] = 'a,"b"\nc'
    assert read(found)["names"].iloc[1] == 'a,"b"\nc'
