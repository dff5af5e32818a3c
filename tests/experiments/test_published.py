"""Veit's published tables are whole, and the re-analyses compute what they say."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from scipy.stats import norm, pearsonr

from resbench.experiments import published

TOY: dict[str, Any] = {
    "deletion": {
        # The first modules of the stages are 1 and 4; the ordinary increases are 1, 3, 0 and 8 points.
        "toy": {"baseline": 10.0, "units": [3, 3], "errors": [60.0, 11.0, 13.0, 70.0, 10.0, 18.0]},
        "mild": {"baseline": 8.0, "units": [3, 3], "errors": [9.0, 8.0, 8.5, 9.0, 8.5, 9.5]},
        "resnet110-preact": {"baseline": 5.0, "units": [3, 3], "errors": [5.0] * 6},
    },
    "vgg": {"layer": [2, 3, 4], "errors": [90.0, 85.0, 99.0]},
    "imagenet": {
        "resnet200-preact": {
            "baseline": 20.0, "units": [2, 3], "others": [20.5, 22.0], "module": [1, 5], "error": [30.0, 80.0],
        },
        "deletions": {"k": [1, 2], "median": [21.0, 25.0]},
    },
    "deletions": {"k": [1, 2, 3], "median": [6.0, 8.0, 16.0], "runs": [5, 4, 3], "excluded": [1, 19, 37]},
    "deletions_unfiltered": {"runs": 54, "k": [3], "median": [20.0]},
    "duplications": {"k": [1, 2], "median": [5.5, 7.0]},
    "swaps": {"k": [1, 2], "median": [7.0, 9.0]},
    "reordering": {"tau": [0.99, 0.98, 0.97], "median": [5.0, 7.0, 6.0], "smallest_tau": 0.9},
    "effective_paths": {"images": 100, "effective": 10.0, "full": 20.0},
    "figure_6": {
        "units": 2, "length": [0, 1, 2], "gradient": [8.0, 2.0, 0.5],
        "long": {"length": 3, "gradient": 1.0}, "peak": {"length": 1, "gradient": 5.0},
    },
}  # fmt: skip


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "_data", lambda: TOY)


def test_tables_are_whole() -> None:
    data = published.load_published("veit2016")
    for name, table in data["deletion"].items():
        assert len(table["errors"]) == sum(table["units"]), name
        assert all(0 < error < 100 for error in table["errors"]), name
        assert f"resnet{2 * sum(table['units']) + 2}-" in name, "two layers a module, stem and classifier"
    deletions = data["deletions"]
    columns = ["smallest", "lower_quartile", "median", "upper_quartile", "largest"]
    for row in zip(*(deletions[column] for column in columns), strict=True):
        assert all(low <= high for low, high in pairwise(row))
    assert len(deletions["k"]) == len(deletions["runs"]) == len(deletions["median"]) == 20
    for lesion in (data["duplications"], data["swaps"], data["imagenet"]["deletions"], data["imagenet"]["swaps"]):
        assert len(lesion["k"]) == len(lesion["median"])
    reordering = data["reordering"]
    assert len(reordering["tau"]) == len(reordering["median"]) == len(reordering["figure"]) == 16
    assert len(data["vgg"]["layer"]) == len(data["vgg"]["errors"]) == 12


def test_a_file_is_parsed_once() -> None:
    assert published.load_published("veit2016") is published.load_published("veit2016")
    with pytest.raises(FileNotFoundError):
        published.load_published("nobody2016")


def test_single_deletions_tell_the_same_of_k_equal_one() -> None:
    """The table of multiple deletions at k = 1 repeats the single ones: the same extremes over the ordinary modules."""
    data = published.load_published("veit2016")
    ordinary = published._ordinary("resnet110-preact")
    assert data["deletions"]["largest"][0] == max(ordinary)
    assert data["deletions"]["median"][0] == pytest.approx(published.ordinary_median("resnet110-preact"), abs=0.02)


@pytest.mark.usefixtures("toy")
def test_ordinary_modules_are_all_but_the_first_of_each_stage() -> None:
    assert published.ordinary_median("toy") == 12.0
    assert published.ordinary_increase("toy") == 2.0
    assert published.ordinary_increase("toy", "mean") == 3.0
    assert published.ordinary_increase("toy", "largest") == 8.0
    assert published.ordinary_share_within("toy", 1.0).value == 50.0
    assert published.lowest_error("toy") == 10.0
    assert published.stage_first_errors("toy") == [60.0, 70.0]
    assert published.noticeable_modules("toy", 3.0) == [1, 4, 6]
    assert published.first_unit_rank("toy") == 2
    assert published.module_error("toy", 3) == 13.0
    assert published.increase_by_depth(["toy", "mild"]) == [2.0, 0.5]
    assert published.stochastic_against_constant("mild", "toy") == {"stochastic": 0.5, "constant": 2.0}


@pytest.mark.usefixtures("toy")
def test_plain_network() -> None:
    assert published.interior_layer_errors() == [90.0, 85.0, 99.0]
    assert published.layers_worse_than_chance(2.0) == [4]
    assert published.plain_against_residual("toy") == {"plain smallest error": 85.0, "residual median error": 15.5}


@pytest.mark.usefixtures("toy")
def test_imagenet() -> None:
    assert published.imagenet_worst_modules(2) == [5, 1]
    assert published.imagenet_increases([1, 5]) == [10.0, 60.0]
    assert published.imagenet_ordinary_increases() == [0.5, 2.0]
    assert published.error_by("deletions", "imagenet") == [[1, 21.0], [2, 25.0]]


def test_imagenet_ranks_only_what_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    table = TOY["imagenet"]["resnet200-preact"]
    monkeypatch.setattr(
        published, "_data", lambda: {"imagenet": {"resnet200-preact": table | {"others": [20.5, 31.0]}}}
    )
    assert published.imagenet_worst_modules(1) == [5]
    with pytest.raises(ValueError, match="not all recorded"):
        published.imagenet_worst_modules(2)
    monkeypatch.setattr(published, "_data", lambda: {"imagenet": {"resnet200-preact": table | {"units": [2, 2]}}})
    with pytest.raises(ValueError, match="median module"):
        published.imagenet_ordinary_increases()


@pytest.mark.usefixtures("toy")
def test_many_modules() -> None:
    assert published.error_by("deletions") == [[1, 6.0], [2, 8.0], [3, 16.0]]
    assert published.error_by("swaps") == [[1, 7.0], [2, 9.0]]
    assert published.deletion_medians([3, 1]) == [16.0, 6.0]
    assert published.deletion_correlation() == pytest.approx(pearsonr([1, 2, 3], [6, 8, 16]).statistic)
    assert published.largest_step() == 8.0
    assert published.largest_step_share() == 0.8
    assert published.error_factor(2) == 1.6
    assert published.run_count() == 12
    assert published.medians_with_excluded(3) == {"figure": 16.0, "all runs": 20.0}
    assert published.duplication_savings() == [0.5, 1.0]
    assert published.error_by_tau() == [[0.99, 5.0], [0.98, 7.0], [0.97, 6.0]]
    assert published.reorder_medians(0.97, 0.98) == [7.0, 6.0]
    assert published.tau_range() == [0.9, 0.97]


@pytest.mark.usefixtures("toy")
def test_expected_runs_are_those_that_miss_the_excluded() -> None:
    """18 runs for each of k = 1, 2, 3: P(no excluded module) = 51/54, then 50/53, then 49/52 of what is left."""
    one = 51 / 54
    two = one * 50 / 53
    three = two * 49 / 52
    assert published.expected_runs() == pytest.approx(18 * (one + two + three))


@pytest.mark.usefixtures("toy")
def test_figure_6() -> None:
    assert published.figure_6_ratios() == [0.25, 0.25]
    assert published.figure_6_long_ratio() == pytest.approx(0.5)
    assert published.figure_6_peak() == {"figure": 5.0, "product": 8.0}, "8, 2 x 2 and 0.5"


@pytest.mark.usefixtures("toy")
def test_two_proportions() -> None:
    expected = 0.1 / (2 * 0.15 * 0.85 / 100) ** 0.5
    assert published.z_score() == pytest.approx(expected)
    assert published.p_value() == pytest.approx(2 * norm.sf(expected))
