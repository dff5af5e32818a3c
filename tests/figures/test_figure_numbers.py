"""The frames' numbers, against the papers' printed ones and against records that the tests unpack themselves."""

from __future__ import annotations

import base64
import json
import math
import statistics
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from figure_fakes import IMAGES, built, made_up
from numpy.typing import NDArray

from resbench.figures.he_tables import _TABLE_1, _TABLE_2, _TABLE_3
from resbench.figures.huang_heatmap import network_of
from resbench.figures.interactions import pair_rows
from resbench.figures.throughput_history import _chart as history_chart
from resbench.figures.throughput_history import _frame as history_rows
from resbench.records.results import Request
from resbench.timing.change import Change
from resbench.timing.changepoints import Level
from resbench.timing.history import History, Point, Series, Step
from resbench.timing.worker.case import parse

BASELINES = Path(__file__).resolve().parents[2] / "baselines"


def frame(name: str, **where: Any) -> pd.DataFrame:
    """Rows of a figure whose columns have these values."""
    found = built(name).frame
    for column, value in where.items():
        found = found[found[column] == value]
    return found


def unpacked(network: str, experiment: str, array: str) -> NDArray[Any]:
    """An array of a record of cifar10-public, without resbench's own reader."""
    text = (BASELINES / f"claims/cifar10-public/{network}/{experiment}.json").read_text()
    stored = json.loads(text)["members"][0][array]
    content, count = zlib.decompress(base64.b64decode(stored["data"])), math.prod(stored["shape"])
    if stored["type"] == "bool":
        return np.unpackbits(np.frombuffer(content, np.uint8), count=count).reshape(stored["shape"])
    return np.frombuffer(content, {"int": "<i8", "single": "<f4", "float": "<f8"}[stored["type"]]).reshape(
        stored["shape"]
    )


def wilson(wrong: int, n: int) -> tuple[float, float]:
    """Percent, by the formula of Wilson 1927."""
    z, p = 1.959963984540054, wrong / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return 100 * (middle - half) / (1 + z * z / n), 100 * (middle + half) / (1 + z * z / n)


# --- Veit ---


def test_single_deletions_as_published() -> None:
    residual = frame("veit-fig3", series="residual, published").set_index("deleted")
    assert residual.error_percent[[1, 11, 19, 37]].tolist() == [42.15, 11.34, 12.22, 12.10]
    assert len(residual) == 54
    assert set(residual.whole_percent) == {6.032}
    plain = frame("veit-fig3", series="plain, published").set_index("deleted")
    assert (plain.index.min(), plain.index.max(), plain.error_percent[10]) == (2, 13, 98.50)


@pytest.mark.parametrize("network", ["resnet56", "plain20"])
def test_single_deletions_as_recorded(network: str) -> None:
    wrong = unpacked(network, "single_deletion", "wrong")
    numbers = unpacked(network, "single_deletion", "units") + 1
    rows = frame("veit-fig3", network=network).set_index("deleted")
    assert rows.index.tolist() == numbers.tolist()
    assert rows.error_percent.tolist() == pytest.approx((100 * wrong[1:].mean(1)).tolist())
    assert set(rows.whole_percent) == {100 * wrong[0].mean()}
    low, high = wilson(int(wrong[1].sum()), 10_000)
    assert (rows.low_percent.iloc[0], rows.high_percent.iloc[0]) == pytest.approx((low, high))


def test_a_layer_that_cannot_be_deleted_has_no_point() -> None:
    assert 1 not in set(frame("veit-fig3", network="vgg-15").deleted)
    assert 2 in set(frame("veit-fig3", network="vgg-15").deleted)


def test_both_halves_of_the_digits_are_pooled() -> None:
    first, second = (member["wrong"] for member in made_up(Request("single_deletion", "preact-54")))
    row = frame("veit-fig3", network="preact-54").iloc[4]
    assert (row.deleted, row.images) == (5, 2 * IMAGES)
    assert row.error_percent == pytest.approx(100 * (first[5].sum() + second[5].sum()) / (2 * IMAGES))


def test_deletions_of_several_units() -> None:
    paper = frame("veit-fig5a", series="median, published").set_index("deleted")
    assert paper.loc[10, ["lower_quartile_percent", "median_percent", "upper_quartile_percent"]].tolist() == [
        15.21,
        19.01,
        22.20,
    ]
    assert paper.draws.sum() == 684
    wrong, k = unpacked("resnet56", "multiple_deletion", "wrong"), unpacked("resnet56", "multiple_deletion", "k")
    errors = sorted(100 * wrong[k == 10].mean(1))
    row = frame("veit-fig5a", network="resnet56", deleted=10).iloc[0]
    assert row.median_percent == pytest.approx(statistics.median(errors))
    assert (row.smallest_percent, row.largest_percent) == pytest.approx((errors[0], errors[-1]))
    assert row.draws == len(errors) == 12


def test_orders() -> None:
    recomputed = frame("veit-fig5b", series="median, published (recomputed)").set_index("kendall_tau").error_percent
    read_off = (
        frame("veit-fig5b", series="median, published (read off the figure)").set_index("kendall_tau").error_percent
    )
    assert (recomputed[0.9], read_off[0.9]) == (33.1, 38.3)
    wrong, tau = unpacked("resnet56", "reordering", "wrong"), unpacked("resnet56", "reordering", "tau")
    rows = frame("veit-fig5b", network="resnet56", series="one order, measured")
    assert rows.kendall_tau.tolist() == tau.tolist()
    assert rows.error_percent.tolist() == pytest.approx((100 * wrong.mean(1)).tolist())


def test_path_lengths() -> None:
    rows = frame("veit-fig6a").set_index("length_units")
    assert rows.paths_exact[27] == "1946939425648112"
    assert rows.share_percent.sum() == pytest.approx(100)
    assert rows[rows.within == "19 to 35 units"].share_percent.sum() == pytest.approx(98.0166, abs=1e-4)
    left = frame("veit-fig7", deleted_units="10").set_index("length_units").left_percent
    assert left[5] == pytest.approx(100 * math.comb(44, 5) / math.comb(54, 5))
    assert (left[0], left[45]) == (100, 0)


def test_gradients_of_paths() -> None:
    paper = frame("veit-fig6b", network="ResNet-110").set_index("length_units")
    assert paper.gradient_norm.to_dict() == {0: 0.99e-5, 1: 0.26e-5, 2: 0.065e-5, 33: 1e-26}
    norms = unpacked("resnet56", "path_gradients", "norms")
    means = norms.mean(axis=(1, 2))
    ours = frame("veit-fig6b", network="resnet56").set_index("length_units")
    assert ours.gradient_norm.tolist() == pytest.approx(means.tolist())
    assert ours.relative[3] == pytest.approx(means[3] / means[0])
    weights = np.array([math.comb(27, k) for k in range(28)]) * means
    shares = frame("veit-fig6c", network="resnet56").share_percent.tolist()
    assert shares == pytest.approx((100 * weights / weights.sum()).tolist())


def test_the_published_share_is_binomial() -> None:
    r = math.sqrt(0.065 / 0.99)
    shares = frame("veit-fig6c", network="ResNet-110").set_index("length_units").share_percent
    assert shares[11] == pytest.approx(100 * math.comb(54, 11) * (r / (1 + r)) ** 11 / (1 + r) ** 43)
    assert 96 < shares.loc[5:17].sum() < 98.5


def test_stochastic_depth_under_lesions() -> None:
    paper = frame("veit-fig8", network="resnet110-stochastic").set_index("deleted").error_percent
    assert paper[[1, 19, 37]].tolist() == [6.88, 6.21, 5.27]
    assert frame("veit-fig8", network="resnet20-preact").error_percent.max() == 87.01


# --- He ---


def test_tables_as_printed() -> None:
    paper = frame("he-table1", series="published").set_index("row")
    assert paper.error_percent["identity (original)"] == 6.61
    assert (paper.error_percent["both x 0.5"], paper.error_percent["shortcut gate, bias -6"]) == (12.35, 6.91)
    assert paper.note["dropout 0.5"] == "fail: above 20 %"
    assert sum(paper.note != "") == 9
    second = frame("he-table2", series="published").set_index("row").error_percent
    assert (second["110, BN after addition"], second["164, full pre-act."]) == (8.17, 5.46)
    third = built("he-table3").frame.set_index(["panel", "row"]).error_percent
    assert third["CIFAR-100 (the paper's images)", "1001, original"] == 27.82
    assert third["CIFAR-10 (the paper's images)", "1001, pre-act."] == 4.92


def test_every_row_of_a_printed_table_is_drawn() -> None:
    from resbench.experiments.published import load_published

    paper = load_published("he2016")
    for table, listed in (("table1", _TABLE_1), ("table2", _TABLE_2), ("table3-cifar10", _TABLE_3)):
        assert set(paper[table]["error"]) == {theirs for _, theirs, _ in listed if theirs}


def test_our_errors_in_the_tables() -> None:
    wrong = sum(int(member["wrong"].sum()) for member in made_up(Request("evaluation", "original")))
    row = frame("he-table1", series="measured", network="original").iloc[0]
    assert row.error_percent == pytest.approx(100 * wrong / (2 * IMAGES))
    assert (row.low_percent, row.high_percent) == pytest.approx(wilson(wrong, 2 * IMAGES))


# --- Huang ---


def test_huang_as_printed() -> None:
    paper = built("huang-table1").frame.set_index(["row", "series"]).error_percent
    assert paper["CIFAR-10, 110 layers", "stochastic depth, published"] == 5.25
    assert paper["CIFAR-100, 110 layers", "constant depth, published"] == 27.76
    heat = frame("huang-fig8", panel="CIFAR-10 (published)").set_index(["depth", "p_last"]).error_percent
    assert (heat["20 layers", 0.5], heat["110 layers", 0.5], heat["92 layers", 0.7]) == (9.39, 5.25, 5.43)
    assert len(heat) == 36


def test_cells_that_are_not_measured_say_so() -> None:
    ours = frame("huang-fig8", panel="CIFAR-10 (measured)")
    assert len(ours) == 36
    assert set(ours[ours.error_percent.isna()].note) <= {"not measured", "no recipe"}
    (lacking,) = built("huang-fig8").missing
    assert "--select resnet110-stochastic" in lacking.command


def test_the_heat_maps_networks_have_recipes() -> None:
    from resbench.training.recipes import load_recipes

    recipes = load_recipes("cifar10")
    names = {network_of(depth, p) for depth in (20, 38, 56, 74, 92, 110) for p in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)} - {""}
    assert len(names) == 21
    assert names <= set(recipes)


def test_gradients_of_the_first_layer_as_read_off() -> None:
    late = frame("huang-fig7", phase="after the second drop", series="stochastic depth, published").iloc[0]
    assert (late.low, late.high) == pytest.approx((0.31e-5, 0.45e-5))


# --- lesions, faults, throughput ---


def test_interactions_by_hand() -> None:
    """Three units, five images, the last wrong in any case: the whole network, each unit alone, then the pairs."""
    own = [[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    wrong = np.array([[*row, 1] for row in own], dtype=bool)
    rows, images = pair_rows(({"wrong": wrong, "pairs": np.array([[0, 1], [0, 2], [1, 2]])},))
    found = rows.set_index(["unit_i", "unit_j"])
    assert images == 5
    assert [found.interaction_points[pair] for pair in ((1, 2), (1, 3), (2, 3), (2, 1))] == [20.0, 0.0, -20.0, 20.0]
    assert (found.both_percent[1, 2], found.first_percent[2, 3], found.second_percent[2, 3]) == (80.0, 40.0, 20.0)


def test_the_kill_matrix_is_the_recorded_one() -> None:
    faults = json.loads((BASELINES / "kill-matrix.json").read_text())["faults"]
    rows = built("kill-matrix").frame
    assert set(rows.fault) == {fault["name"] for fault in faults}
    one = next(fault for fault in faults if fault["name"] == "shortcut-scaled")
    assert set(rows[rows.fault == "shortcut-scaled"].killer) == {id.split("@")[0] for id in one["killed_by"]}


def test_times_of_blocks() -> None:
    run = json.loads((BASELINES / "throughput/cpu-epyc-9xx4-torch2.15.json").read_text())
    row = frame("throughput-blocks", case="preact 64@8").iloc[0]
    record = next(
        one for one in run["records"] if one["case"]["subject"] == "unit:preact" and one["case"]["shape"] == "64@8"
    )
    times = [second for one in record["rounds"] for second in one["seconds"]]
    assert min(times) <= row.ms / 1e3 <= statistics.median(times)
    (rates,) = run["rates"]
    floor = (record["counts"]["macs"] - record["counts"]["padding"]) / rates["macs"]
    assert row.utilisation_percent == pytest.approx(100 * floor / (row.ms / 1e3))
    assert len(built("throughput-blocks").frame) == len(run["records"])


def test_the_roofline_has_the_same_numbers() -> None:
    row = frame("throughput-roofline", case="original 16@32").iloc[0]
    assert row.macs_per_byte == pytest.approx((452984832 - 18677760) / 8463360)
    block = frame("throughput-blocks", case="original 16@32").iloc[0]
    assert row.gmacs_per_second == pytest.approx((452984832 - 18677760) / block.ms / 1e6)


def test_ratios_of_runs() -> None:
    row = frame("throughput-hardware", case="preact 64@8").iloc[0]
    assert row.first_ms == frame("throughput-blocks", case="preact 64@8").iloc[0].ms
    assert row.ratio == pytest.approx(row.ms / row.first_ms, rel=1e-6)


def test_the_history_is_asvs() -> None:
    folder = BASELINES / "asv/cpu-epyc-9xx4"
    found = json.loads(next(folder.glob("3ae8ed8c-*.json")).read_text())
    cases = found["results"]["units.Step.track_cpu"]
    row = frame("throughput-history", case="original 64@8", commit="3ae8ed8c").iloc[0]
    assert row.ms == pytest.approx(1e3 * cases[0][0], rel=0.02)
    assert built("throughput-history").frame.commit.nunique() == len(list(folder.glob("*-*.json")))


def test_a_change_of_level_is_marked_at_the_commit_after_it() -> None:
    case = parse("unit:preact/64@8/step/float32/nchw/eager/b32/cpu1")
    points = tuple(
        Point(f"{n}" * 40, f"2026-01-0{n}T00:00:00+00:00", f"run {n}", s, 3) for n, s in ((1, 0.1), (2, 0.2))
    )
    step = Step(points[0], points[1], (0.1, 0.2), Change.SLOWER, 1)
    found = History((Series(case, "1", "here", points, (Level(0, 1, 0.1), Level(1, 2, 0.2)), (step,)),), ())
    rows = history_rows(found)
    assert rows.change.tolist() == ["", "SLOWER +100.0 %"]
    assert rows.relative_percent.tolist() == pytest.approx([-100 / 3, 100 / 3])
    marked = history_chart(rows).to_dict()["layer"][-1]
    assert marked["mark"]["type"] == "point"
    assert len(history_chart(rows).layer) == 3
