"""The list of missing evidence."""

from __future__ import annotations

from resbench.claims import load_claims
from resbench.records.places import baselines
from resbench.reports.wanted import AT_HAND, wanted


def test_the_committed_list_is_current() -> None:
    assert (baselines() / "WANTED.md").read_text() == wanted(load_claims(), AT_HAND)


def test_networks_are_counted_by_claim_and_measured_settings_left_out() -> None:
    text = wanted(load_claims(), AT_HAND)
    rows = [line for line in text.splitlines() if line.startswith("| resnet110-preact | cifar10 |")]
    assert len(rows) == 1
    cells = [cell.strip() for cell in rows[0].strip("|").split("|")]
    assert int(cells[2]) == len(cells[3].split(", ")) > 10
    assert "preact-54" not in text
    assert "| median" not in text
