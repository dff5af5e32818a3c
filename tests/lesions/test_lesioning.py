"""`resbench.lesion` and `resbench lesion`: what is listed, what is computed from it, what an interruption leaves."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import kendalltau
from tests.lesions.lesion_nets import Net, images_of, made, plainly, settled
from typer.testing import CliRunner

import resbench
from resbench.cli import app
from resbench.commands.lesion import parse_numbers
from resbench.errors import NotMeasured, UserError
from resbench.lesions.listing import Drawing, excluded_units, list_lesions
from resbench.lesions.plans import deleted, whole
from resbench.lesions.results import paired_mean, records_of
from resbench.lesions.running import Runner, Store, fingerprint

N = 5
IMAGES = images_of(120)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return resbench.lesion(
        settled(Net()),
        IMAGES,
        modes=["single", "multi", "reorder", "duplicate", "pairs"],
        ks=[1, 2, 9],
        swaps=[1, 3],
        draws=2,
        seed=3,
    )


def error_of(wrong: NDArray[np.bool_]) -> float:
    return float(100 * wrong.mean())


def test_every_mode_against_the_plain_loop(found: dict[str, Any]) -> None:
    target = made(settled(Net()), IMAGES)
    labels = IMAGES.labels.numpy()

    def plain(plan: Any) -> float:
        return error_of(plainly(target, [plan], IMAGES)[0] != labels)

    base = plain(whole(N))
    assert found["baseline_error"] == base
    assert found["n_images"] == 120
    assert [r["index"] for r in found["single"]] == list(range(N))
    for record in found["single"]:
        assert record["error"] == plain(deleted(N, [record["index"]]))
        assert record["delta"] == record["error"] - base
        assert record["delta_interval"][0] < record["delta"] < record["delta_interval"][1]
    single = {r["index"]: r["delta"] for r in found["single"]}
    assert [tuple(r["units"]) for r in found["pairs"]] == list(combinations(range(N), 2))
    for record in found["pairs"]:
        i, j = record["units"]
        assert record["error"] == plain(deleted(N, [i, j]))
        assert record["interaction"] == pytest.approx(record["delta"] - single[i] - single[j])
    for record in found["multi"]:
        assert record["error"] == plain(deleted(N, record["deleted"]))
    for record in found["reorder"]:
        assert record["error"] == plain(tuple((j,) for j in record["order"]))
        assert record["kendall_tau"] == kendalltau(range(N), record["order"]).statistic
    for record in found["duplicate"]:
        twice = record["duplicated"]
        assert record["error"] == plain(tuple((i, i) if i in twice else (i,) for i in range(N)))


def test_random_lesions_leave_the_first_of_a_stage_alone(found: dict[str, Any]) -> None:
    assert found["excluded"] == [0, 2]
    assert [u["index"] for u in found["units"] if u["first_of_stage"]] == [0, 2]
    assert [u["index"] for u in found["units"] if u["downsampling"]] == [2]
    drawn = {unit for r in found["multi"] for unit in r["deleted"]}
    assert drawn == {1, 3, 4}
    assert {(r["k"], r["draw"]) for r in found["multi"]} == {(1, 0), (1, 1), (2, 0), (2, 1)}  # nine there are not
    assert all(r["order"][0] == 0 and r["order"][1] == 1 and r["order"][2] == 2 for r in found["reorder"])


def test_the_json_of_the_contract(found: dict[str, Any]) -> None:
    assert found["schema"] == "resbench.lesion/1"
    assert set(found) == set(
        "schema target modes seed excluded baseline_error baseline_interval n_images units single multi reorder "
        "duplicate pairs engine environment".split()
    )
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["engine"]["folded"] == 11
    assert found["engine"]["lesions"] == 1 + 5 + 4 + 4 + 4 + 10


def test_the_same_seed_the_same_lesions() -> None:
    units = made(settled(Net()), IMAGES).units

    def listed(seed: int) -> list[Any]:
        return [each.plan for each in list_lesions(units, ["multi", "reorder"], Drawing(seed=seed), [0], chosen=False)]

    assert listed(1) == listed(1) != listed(2)


def test_pairs_need_single_deletions() -> None:
    units = made(settled(Net()), IMAGES).units
    modes = [each.mode for each in list_lesions(units, ["pairs"], Drawing(), [], chosen=True)]
    assert modes == ["whole"] + ["single"] * 5 + ["pairs"] * 10
    modes = [each.mode for each in list_lesions(units, ["pairs"], Drawing(), [0, 1], chosen=True)]
    assert modes == ["whole"] + ["single"] * 3 + ["pairs"] * 3


def test_excluded_units() -> None:
    units = made(settled(Net()), IMAGES).units
    assert excluded_units(units, None) == (0, 2)
    assert excluded_units(units, ["none"]) == ()
    assert excluded_units(units, ["5", "units.0"]) == (0, 4)
    with pytest.raises(UserError, match="--exclude 6: no such unit; give a number from 1 to 5"):
        excluded_units(units, ["6"])


def test_nothing_to_exchange() -> None:
    units = made(settled(Net()), IMAGES).units
    with pytest.raises(NotMeasured, match="--mode reorder: no unit of this network"):
        list_lesions(units, ["reorder"], Drawing(), [1, 3, 4], chosen=True)


def test_intervals_by_hand() -> None:
    """Agresti and Min 2005: of 100 images 7 become wrong and 3 right: (7 - 3) / 102, less and more 1.96 s."""
    values = np.array([1.0] * 7 + [-1.0] * 3 + [0.0] * 90)
    error = math.sqrt(11 - 16 / 102) / 102
    assert paired_mean(values) == pytest.approx(
        [100 * (4 / 102 - 1.959964 * error), 100 * (4 / 102 + 1.959964 * error)]
    )


@given(st.integers(0, 2**16), st.integers(20, 400))
def test_the_interaction_s_interval_holds_its_value(seed: int, n: int) -> None:
    generator = np.random.default_rng(seed)
    units = made(settled(Net()), IMAGES).units
    lesions = list_lesions(units, ["pairs"], Drawing(), [0, 1, 2], chosen=True)
    found = records_of(lesions, generator.random((len(lesions), n)) < 0.4)
    (pair,) = found["pairs"]
    low, high = pair["interaction_interval"]
    assert low < pair["interaction"] * n / (n + 2) < high
    deltas = [r["delta"] for r in found["single"]]
    assert pair["interaction"] == pytest.approx(pair["delta"] - sum(deltas))


class Stopped(Exception):
    pass


def test_an_interrupted_sweep_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from resbench.lesions import running

    monkeypatch.setattr(running, "_FIRST_PIECE", 20)
    monkeypatch.setattr(running, "_PIECE_SECONDS", 0.0)  # pieces of one batch
    target = made(settled(Net()), IMAGES)
    plans = [whole(N), deleted(N, [1])]
    runner = Runner(target, IMAGES, workers=6)
    key = fingerprint(target, plans, IMAGES.fingerprint(), "float32")
    computed = []

    def stop_after(count: int) -> Callable[[int], None]:
        def told(images: int) -> None:
            computed.append(images)
            if sum(computed) > count:
                raise Stopped

        return told

    with pytest.raises(Stopped):
        runner.run(plans, None, Store(key, tmp_path), stop_after(60))
    store = Store(key, tmp_path)
    found = runner.run(plans, None, store)
    assert 20 <= store.reused <= 60
    assert np.array_equal(found, plainly(target, plans, IMAGES))
    store.clear()
    assert Store(key, tmp_path).get(0) is None


def test_a_damaged_piece_is_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store("key", tmp_path)
    store.put(0, np.zeros((2, 20), dtype=np.int32))
    assert store.get(0) is not None
    path = next(tmp_path.rglob("*.npy"))
    path.write_bytes(path.read_bytes()[:-7])
    assert store.get(0) is None
    assert not path.exists()


def test_the_fingerprint_knows_weights_lesions_images_and_precision() -> None:
    target, other = made(settled(Net()), IMAGES), made(settled(Net(), seed=9), IMAGES)
    plans = [whole(N), deleted(N, [1])]
    keys = [
        fingerprint(target, plans, "a", "float32"),
        fingerprint(other, plans, "a", "float32"),
        fingerprint(target, plans[:1], "a", "float32"),
        fingerprint(target, plans, "b", "float32"),
        fingerprint(target, plans, "a", "screened"),
    ]
    assert len(set(keys)) == len(keys)
    assert fingerprint(made(settled(Net()), IMAGES), plans, "a", "float32") == keys[0]


def test_the_fingerprint_knows_code_and_attributes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a forward pass does is not all in the weights."""
    code = "from torch import nn\nclass Head(nn.Linear):\n    factor = {}\n"
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "users_head.py").write_text(code.format(1))
    users_head = importlib.import_module("users_head")
    target = made(settled(Net()), IMAGES)
    target.model.add_module("unused", users_head.Head(1, 1))

    def key() -> str:
        return fingerprint(target, [whole(N)], "a", "float32")

    first = key()
    assert key() == first
    target.model.unused.factor = 2.0
    second = key()
    del target.model.unused.factor
    (tmp_path / "users_head.py").write_text(code.format(2))
    assert len({first, second, key()}) == 3


def test_screened_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    from resbench.lesions import running

    model = settled(Net())
    exact = resbench.lesion(model, IMAGES)
    monkeypatch.setattr(running, "_multiplies_bfloat16", lambda: True)
    found = resbench.lesion(model, IMAGES, precision="screened")
    assert found["single"] == exact["single"]
    assert found["engine"]["precision"] == "screened"
    monkeypatch.setattr(running, "_multiplies_bfloat16", lambda: False)
    found = resbench.lesion(model, IMAGES, precision="screened")
    assert found["engine"]["precision"] == "screened" or found["engine"]["not_screened"]
    assert found["single"] == exact["single"]


def test_the_model_is_left_in_its_mode() -> None:
    model = settled(Net()).train()
    resbench.lesion(model, IMAGES.subset(range(10)))
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modes": ["double"]}, "--mode double: choose from single"),
        ({"modes": []}, "no mode"),
        ({"precision": "float16"}, "--precision float16: choose from"),
        ({"ks": [0]}, "--k: numbers from 1"),
        ({"draws": 0}, "--draws"),
        ({"exclude": ["nobody"]}, "no such unit"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        resbench.lesion(settled(Net()), IMAGES, **options)


def test_numbers() -> None:
    assert parse_numbers("1-3,7, 2", "k") == (1, 2, 3, 7)
    for text in ("", "0", "3-1", "a", "1-", "-2"):
        with pytest.raises(UserError, match="write numbers from 1"):
            parse_numbers(text, "k")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["lesion", *arguments])


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESBENCH_CACHE", str(tmp_path / "cache"))
    arguments = ["resnet20-preact", "--data", "digits", "--limit", "24", "--mode", "single", "--mode", "multi"]
    arguments += ["--k", "1-2", "--draws", "1"]
    json_run = run(*arguments, "--format", "json")
    assert json_run.exit_code == 0, json_run.output
    found = json.loads(json_run.stdout)
    assert [record["k"] for record in found["multi"]] == [1, 2]
    assert found["engine"]["reused_images"] == 0
    assert not list((tmp_path / "cache").rglob("*.npy"))  # a complete run leaves nothing behind
    table = run(*arguments, "--figure", str(tmp_path / "figure.svg"))
    assert table.exit_code == 0
    assert max(map(len, table.stdout.splitlines())) <= 80
    assert (tmp_path / "figure.svg").read_text().startswith("<?xml")
    csv = run(*arguments, "--format", "csv")
    assert len(csv.stdout.splitlines()) >= 1 + 9 + 2


def test_nowhere_to_keep_pieces_is_told_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RESBENCH_CACHE", str(tmp_path / "file"))
    arguments = ["resnet20-preact", "--data", "digits", "--limit", "24"]
    failed = run(*arguments)
    assert isinstance(failed.exception, UserError)
    assert "set RESBENCH_CACHE" in str(failed.exception)
    assert run(*arguments, "--fresh").exit_code == 0


def test_the_command_needs_data() -> None:
    failed = run("resnet20-preact")
    assert isinstance(failed.exception, UserError)
    assert "give --data" in str(failed.exception)


def test_a_figure_that_cannot_be_written_is_told_before(tmp_path: Path) -> None:
    failed = run("resnet20-preact", "--data", "digits", "--figure", str(tmp_path / "figure.bmp"))
    assert isinstance(failed.exception, UserError)
    assert "figure.bmp" in str(failed.exception)


def test_an_at_chance_network_is_measured_all_the_same() -> None:
    found = resbench.lesion(settled(Net()), IMAGES)
    assert 50 < found["baseline_error"] <= 100
    assert torch.is_grad_enabled()
