"""What `python -m benchmarks.lesion_speed` reports; the times themselves are asserted nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks import lesion_speed
from benchmarks.floor import convolutions
from benchmarks.lesion_contest import LOOP, Contest, Differences, Sweep, compared
from benchmarks.lesion_floor import Work, work_of
from benchmarks.lesion_speed import Speed, as_json, as_table, main
from benchmarks.lesion_subject import loader_over, plans_of, random_subject, shortcuts_of, unit_modules
from benchmarks.user_loop import sweep, without
from torch import nn

from resbench.errors import UserError
from resbench.lesions.executable import prepare
from resbench.lesions.plans import deleted, whole
from resbench.targets.images import Images
from resbench.targets.target import UserTarget

SMALL = ["--target", "resnet20", "--side", "8", "--images", "16", "--slices", "2", "--threads", "1"]

SWEEP = Sweep(
    lesions=28,
    size=100,
    seconds={LOOP: [4.0, 8.0, 4.0], "float32": [1.0, 4.0, 0.8], "screened": [0.5, 1.0, 0.5]},
    calibration={LOOP: 0.0, "float32": 0.0, "screened": 20.0},
    work=Work(alone=4e8, shared=1e8),
    differences={"float32": Differences(2800), "screened": Differences(2800, 2, 2, 5e-5)},
)


def speed(found: Sweep = SWEEP, mode: str = "single", device: str = "cpu") -> Speed:
    return Speed(
        network="resnet56",
        units=27,
        input=(3, 32, 32),
        trained=False,
        threads=2,
        device=device,
        loader="tensors",
        preparation={"float32": 2.0, "screened": 5.0},
        rates={
            "matrix": {"float32": 20e9, "bfloat16": 40e9, "tf32": 30e9},
            "convolutions": {"float32": 40e9, "bfloat16": 80e9, "tf32": 60e9},
        },
        sweeps={mode: found},
    )


@pytest.fixture(autouse=True)
def _rates_in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.floor._SECONDS", 0.0)
    monkeypatch.setattr("benchmarks.floor._BATCH", 2)
    monkeypatch.setattr("resbench.timing.worker.rates.SECONDS", 0.02)


@pytest.fixture(scope="module")
def target() -> Iterator[UserTarget]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield random_subject("resnet20", 24, 8, "cpu")
    torch.set_num_threads(before)


def test_ratios_are_formed_within_a_slice() -> None:
    found = as_json(speed())["sweeps"]["single"]
    assert found["ratios"]["float32"] == pytest.approx({"median": 4.0, "low": 2.0, "high": 5.0})
    assert found["ratios"]["screened"]["median"] == pytest.approx(8.0)
    assert found["reached"] == {"float32": True, "screened": True}
    assert found["seconds"][LOOP] == SWEEP.seconds[LOOP]


def test_totals_hold_all_preparation_and_floors_what_each_computes() -> None:
    found = as_json(speed())["sweeps"]["single"]
    assert found["extrapolated_seconds_10000"] == pytest.approx({LOOP: 400.0, "float32": 102.0, "screened": 75.0})
    # 4e8 / 20e9 s of 40 ms; 1e8 / 20e9 of 10 ms; 1e8 / 40e9 of 5 ms.
    assert found["of_floor"]["matrix"] == pytest.approx({LOOP: 0.5, "float32": 0.5, "screened": 0.5})
    assert found["of_floor"]["convolutions"]["float32"] == pytest.approx(0.25)


def test_a_goal_that_is_missed_is_said_so() -> None:
    table = as_table(speed())
    assert "goal: at least 3.5 times: float32 reached (4.00), screened reached (8.00)" in table
    assert "float32: of 2,800 predictions all are the loop's" in table
    assert "screened: of 2,800 predictions 2 differ, ties all (below 0.0001)" in table
    assert max(map(len, table.splitlines())) <= 80
    slow = speed(replace(SWEEP, seconds={**SWEEP.seconds, "float32": [2.0, 4.0, 2.0]}))
    assert "float32 missed (2.00), screened reached" in as_table(slow)
    assert as_json(slow)["sweeps"]["single"]["reached"]["float32"] is False


def test_predictions_that_differ_and_are_no_ties_reach_no_goal() -> None:
    wrong = speed(replace(SWEEP, differences={**SWEEP.differences, "screened": Differences(2800, 3, 2, 0.4)}))
    assert wrong.different
    assert not speed().different
    assert as_json(wrong)["sweeps"]["single"]["reached"] == {"float32": True, "screened": False}
    assert "DIFFERENT: screened: of 2,800 predictions 3 differ, 2 are ties, by up to 0.4" in as_table(wrong)


def test_on_a_gpu_predictions_may_differ_a_little() -> None:
    seconds = {LOOP: [7.0], "float32": [3.0], "bfloat16": [1.0]}
    none = dict.fromkeys(seconds, 0.0)
    differences = {"float32": Differences(10_000), "bfloat16": Differences(10_000, 9, 0, 0.1)}
    gpu = speed(replace(SWEEP, seconds=seconds, calibration=none, differences=differences), device="cuda:0")
    assert as_json(gpu)["sweeps"]["single"]["goals"] == {"bfloat16": 6.0}
    assert as_json(gpu)["sweeps"]["single"]["reached"] == {"bfloat16": True}
    assert "bfloat16: of 10,000 predictions 99.910 % are the loop's" in as_table(gpu)
    # 4e8 multiply-adds in TF32 at 30e9 a second, in 70 ms.
    assert as_json(gpu)["sweeps"]["single"]["of_floor"]["matrix"][LOOP] == pytest.approx(4 / 21)
    worse = replace(gpu.sweeps["single"], differences={"bfloat16": Differences(10_000, 11, 0, 0.1)})
    assert replace(gpu, sweeps={"single": worse}).different


def test_a_difference_is_a_tie_only_where_the_two_logits_are_close() -> None:
    logits = torch.tensor([[[1.0, 1.00001, -2.0], [1.0, 1.5, -2.0], [0.0, 3.0, 2.9999]]])
    assert compared(np.array([[1, 1, 1]], np.int32), logits) == Differences(3)
    found = compared(np.array([[0, 0, 2]], np.int32), logits)
    assert (found.differing, found.ties, found.identical) == (3, 2, False)
    assert found.widest == pytest.approx(0.25)
    # Close is the class that the engine gave to the best, not just any other.
    assert compared(np.array([[2, 1, 1]], np.int32), logits).ties == 0
    assert compared(np.array([[-1, 1, 1]], np.int32), logits).identical is False


def test_a_unit_without_its_branch_is_replaced_and_put_back(target: UserTarget) -> None:
    model, names, shortcuts = target.model, unit_modules(target), shortcuts_of(target)
    x = torch.randn(2, 16, 8, 8)
    unit = model.get_submodule(names[1])
    with torch.no_grad(), without(model, [names[1]], shortcuts):
        assert model.get_submodule(names[1]) is shortcuts[names[1]]
        assert torch.equal(model.get_submodule(names[1])(x), x.relu())
    assert model.get_submodule(names[1]) is unit
    with pytest.raises(RuntimeError, match="stop"), without(model, names, shortcuts):
        raise RuntimeError("stop")
    assert [model.get_submodule(name) for name in names] == list(model.units)


def test_both_loaders_give_the_engine_s_images(target: UserTarget) -> None:
    pytest.importorskip("torchvision")
    assert target.data is not None
    part = target.data.subset(range(3, 11))
    expected, labels = part.take(range(8))
    for kind in ("tensors", "transforms"):
        ((images, truth),) = loader_over(part, kind, pinned=False)
        torch.testing.assert_close(images, expected, rtol=0, atol=1e-6)
        assert torch.equal(truth, labels)
    with pytest.raises(UserError, match="takes 8-bit images"):
        loader_over(Images.of_tensors(expected, labels), "transforms", pinned=False)


def test_the_loop_gives_the_logits_of_the_edited_model(target: UserTarget) -> None:
    assert target.data is not None
    loader, names = loader_over(target.data, "tensors", pinned=False), unit_modules(target)
    full, none = sweep(target.model, loader, [[], names], shortcuts_of(target), target.device)
    images = target.data.take(range(24))[0]
    with torch.no_grad():
        torch.testing.assert_close(full, target.model(images))
    assert not torch.allclose(full, none)
    assert len(full.argmax(1).unique()) > 2  # agreement says something


def test_the_lists_are_the_issue_s() -> None:
    made = random_subject("resnet56", 4, 8, "cpu")
    assert [len(plans_of(made, mode)) for mode in ("single", "multi", "pairs")] == [28, 201, 379]


def test_the_floor_counts_what_is_shared_once(target: UserTarget) -> None:
    example = target.example
    executable = prepare(target, example).workers[0]
    one = work_of(executable, [whole(9)], example)
    layers = convolutions(target.model, example)
    assert one.alone == one.shared
    assert one.alone == sum(layer.macs * count for layer, count in layers.items()) + 64 * 10
    assert sum(layers.values()) == 19
    both = work_of(executable, [whole(9), deleted(9, [8])], example)
    last = 2 * 64 * 64 * 9 * 2 * 2
    assert both.alone == 2 * one.alone - last
    assert both.shared == one.alone + 64 * 10


def test_what_screening_takes_once_is_told_apart(target: UserTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resbench.lesions.running._multiplies_bfloat16", lambda: True)
    contest = Contest(target, ["screened"], 8, "tensors")
    found = contest.measure("single", 2)
    assert found.calibration["screened"] > 0
    assert found.calibration[LOOP] == 0
    assert found.differences["screened"].identical


def test_everything_takes_its_turn(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--mode", "single", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["network"], found["units"], found["input"], found["threads"]) == ("resnet20", 9, [3, 8, 8], 1)
    assert found["identical"] is True
    single = found["sweeps"]["single"]
    assert (single["lesions"], single["slice"]) == (10, 8)
    assert set(single["seconds"]) == {LOOP, "float32", "screened"} - set(found["absent"])
    assert all(len(values) == 2 and min(values) > 0 for values in single["seconds"].values())
    assert single["predictions"]["float32"]["compared"] == 160
    work = single["multiply_adds_an_image"]
    assert 0 < work["shared"] < work["alone"]


def test_another_prediction_ends_with_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {"float32": Differences(2800), "screened": Differences(2800, 1, 0, 0.5)}
    monkeypatch.setattr(lesion_speed, "measure", lambda *_, **__: speed(replace(SWEEP, differences=wrong)))
    assert main(SMALL) == 1
    assert "DIFFERENT" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "resnet55"], "no network is named 'resnet55'"),
        (["--target", "vgg15"], "a residual network of the zoo"),
        (["--images", "4", "--slices", "4"], "at least 1 slice, and 2 images in each"),
        (["--checkpoint", "some.safetensors"], "--checkpoint goes with --data"),
        (["--target", "resnet20", "--data", "npz:missing.npz"], "missing.npz"),
    ],
)
def test_bad_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_images_of_one_s_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, size=(20, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "test.npz", images=images, labels=np.arange(20) % 10)
    own = ["--target", "resnet20", "--data", f"npz:{tmp_path / 'test.npz'}", "--mode", "single", "--slices", "2"]
    assert main([*own, "--images", "16", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["sweeps"]["single"]["slice"] == 8
    with pytest.raises(SystemExit):
        main([*own, "--images", "32"])
    assert "fewer than 32 images" in capsys.readouterr().err


def test_a_unit_that_is_no_module_cannot_be_replaced() -> None:
    class Inline(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.one, self.two = (nn.Conv2d(c, 4, 3, padding=1) for c in (3, 4, 4))
            self.head = nn.Linear(4, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x)
            x = x + self.one(x).relu()
            x = x + self.two(x).relu()
            return self.head(x.mean((2, 3)))

    from resbench.targets.load import target_of

    with pytest.raises(UserError, match="is no module that can be replaced"):
        unit_modules(target_of(Inline(), torch.randn(2, 3, 8, 8)))
