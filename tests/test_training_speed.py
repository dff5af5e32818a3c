"""What `python -m benchmarks.training_speed` reports; the times themselves are asserted nowhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from benchmarks import training_speed
from benchmarks.floor import PASSES
from benchmarks.training_contest import Noise, Ours, Turns, Users, interval, take_turns, users_network
from benchmarks.training_floor import Floor, StepWork, floor_of, work_of
from benchmarks.training_speed import SCHEMA, Speed, as_json, as_table, main
from benchmarks.user_training import PilImages, batches_for_ever, train_loader, train_steps

from resbench.errors import UserError
from resbench.networks import zoo
from resbench.networks.copies import initialise

TURNS = Turns(2, users=[0.4, 0.8, 0.4], ours=[0.2, 0.2, 0.1])

SMALL = ["--network", "resnet20-preact", "--batch", "4", "--side", "8", "--images", "12", "--workers", "0"]
SMALL += ["--threads", "1", "--seconds", "0"]


def speed(turns: Turns = TURNS, device: str = "cpu") -> Speed:
    return Speed(
        network="resnet110-preact",
        batch=128,
        side=32,
        device=device,
        threads=2,
        workers=2,
        work=StepWork(759_000_000, 1_000_000, 1_727_962, {}),
        turns={"float32": turns, "bf16": turns},
        floors={"float32": Floor(0.05, 0.1, 0.02), "bf16": Floor(0.02, 0.04, 0.01)},
        load=(1.0, 2.5),
    )


@pytest.fixture(autouse=True)
def _no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.floor._SECONDS", 0.0)
    monkeypatch.setattr("benchmarks.floor._BATCH", 2)
    monkeypatch.setattr("resbench.timing.worker.rates.SECONDS", 0.02)
    monkeypatch.setattr("benchmarks.training_speed._TURN", 0.0)


def test_ratios_are_formed_within_a_round() -> None:
    found = as_json(speed())["precisions"]["float32"]
    # Of the medians it would be 2; of the rounds it is the median of 2, 4 and 4.
    assert found["ratio"] == pytest.approx({"median": 4.0, "low": 2.0, "high": 4.0, "confidence": 0.75})
    assert found["images_per_second"] == pytest.approx({"user": 320.0, "resbench": 640.0})
    assert found["of_floor"]["resbench"] == pytest.approx({"matrix": 0.25, "convolutions": 0.5, "memory": 0.1})
    assert found["of_floor"]["user"]["convolutions"] == pytest.approx(0.25)
    assert found["seconds_a_step"] == {"user": TURNS.users, "resbench": TURNS.ours}
    assert (found["steps_a_turn"], found["reached"]) == (2, True)


def test_the_table_says_what_was_reached() -> None:
    table = as_table(speed())
    assert "resnet110-preact: 1,727,962 parameters, 3x32x32, batch 128" in table
    assert "cpu, 2 threads; the user's loader: 2 workers; load 1.0 to 2.5" in table
    rows = {line[:20].strip(): line[20:].split() for line in table.splitlines()}
    assert rows["user's loop, float32"] == ["320.0", "400.0", "1", "12", "/", "25", "/", "5"]
    assert rows["resbench, bf16"] == ["640.0", "200.0", "4.00", "(2.00-4.00)", "10", "/", "20", "/", "5"]
    assert "goal: at least 1.3 times: float32 reached (4.00), bf16 reached (4.00)" in table
    assert "in turns: float32 3 rounds of 2 steps" in table
    assert "busier" not in table
    busy = replace(speed(), floors={"float32": Floor(0.3, 0.1, 0.02), "bf16": Floor(0.02, 0.04, 0.01)})
    assert "above 100 %: the machine was busier while its rates were measured" in as_table(busy)
    assert max(map(len, (table + "\n" + training_speed._NOTES).splitlines())) <= 80


def test_a_goal_that_is_missed_is_said_so() -> None:
    slow = replace(TURNS, ours=[0.4, 0.7, 0.4])
    assert "float32 missed (1.00)" in as_table(speed(slow))
    assert as_json(speed(slow))["precisions"]["bf16"]["reached"] is False
    # Four times is enough on a CPU only.
    on_gpu = speed(device="cuda:0")
    assert "goal: at least 5 times: float32 missed (4.00)" in as_table(on_gpu)
    assert as_json(on_gpu)["precisions"]["float32"]["reached"] is False


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, (0.0, 0.0, 0.0)),
        (5, (0.0, 4.0, 1 - 2 / 2**5)),  # the range, however sure
        (8, (0.0, 7.0, 1 - 2 / 2**8)),  # without the outermost: 1 - 18 / 256 = 93 %
        (9, (1.0, 7.0, 1 - 2 * 10 / 2**9)),
        (20, (5.0, 14.0, 1 - 2 * 21_700 / 2**20)),
    ],
)
def test_the_interval_is_between_order_statistics(count: int, expected: tuple[float, float, float]) -> None:
    values = [float(value) for value in range(count)]
    assert interval(values[::-1]) == pytest.approx(expected)


class Fake:
    """A contestant whose steps take ``step`` seconds of a clock that only contestants move."""

    now = 0.0

    def __init__(self, name: str, step: float, log: list[tuple[str, int]]):
        self.name, self.step, self.log = name, step, log

    def run(self, steps: int) -> float:
        self.log.append((self.name, steps))
        Fake.now += steps * self.step
        return steps * self.step


def fakes(log: list[tuple[str, int]], **given: float) -> dict[str, Turns]:
    Fake.now = 0.0
    pairs = {"float32": (Fake("user", 1.0, log), Fake("ours", 0.25, log))}
    return take_turns(pairs, turn=1.0, warmup=3, clock=lambda: Fake.now, **given)  # type: ignore[arg-type]


def test_both_take_as_many_steps_in_turns_and_alternate_who_begins() -> None:
    log: list[tuple[str, int]] = []
    found = fakes(log, seconds=20.0)["float32"]
    assert log[:4] == [("ours", 3), ("user", 3), ("user", 1), ("ours", 1)]  # not counted
    # Four steps, of which the faster one's last a second; a round takes five.
    assert log[4:10] == [("user", 4), ("ours", 4), ("ours", 4), ("user", 4), ("user", 4), ("ours", 4)]
    assert found == Turns(4, [1.0] * 3, [0.25] * 3)
    assert Fake.now == pytest.approx(20.0)


def test_time_is_kept_but_three_rounds_are_the_least() -> None:
    assert len(fakes([], seconds=0.0)["float32"].ours) == 3
    assert len(fakes([], seconds=30.0)["float32"].ours) == 5
    assert fakes([], seconds=0.0, fewest_steps=7)["float32"].steps == 7


@pytest.mark.parametrize("name", ["resnet20-preact", "resnet20", "resnet20-option-a-pool"])
def test_the_users_network_computes_what_ours_does(name: str) -> None:
    ours, users = zoo.create(name).train(), users_network(name).train()
    initialise(ours, [3])
    theirs, own = list(users.parameters()), list(ours.parameters())
    with torch.no_grad():
        for mine, other in zip(own, theirs, strict=True):
            other.copy_(mine)
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(users(images), ours(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet164", "vgg16", "resnet110-shortcut-gate-b6", "resnet20-stochastic"])
def test_a_network_that_the_loop_lacks_is_named(name: str) -> None:
    with pytest.raises(UserError, match=f"--network {name}: the user's loop "):
        users_network(name)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_both_train(precision: str) -> None:
    data, device = Noise.of(10, 8, 10), torch.device("cpu")
    ours = Ours("resnet20-preact", data, 4, precision, device)
    users = Users("resnet20-preact", data, 4, 0, precision, device)
    for one, model in ((ours, ours._course.network), (users, users._model)):
        before = [parameter.detach().clone() for parameter in model.parameters()]
        assert one.run(3) > 0.0  # over the end of an epoch of two steps
        assert all(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
    assert (ours._course.done, ours._crops._epoch) == (3, 1)


def test_the_users_loader_crops_flips_and_normalises() -> None:
    torch.manual_seed(0)
    data = Noise.of(6, 8, 10)
    images = PilImages(data.pixels.numpy(), data.labels.tolist(), (0.5,) * 3, (0.25,) * 3)
    drawn = torch.stack([images[0][0] for _ in range(8)])
    assert drawn.shape == (8, 3, 8, 8)
    assert len({tuple(each.flatten().tolist()) for each in drawn}) > 1
    assert drawn.min() == -2.0  # the border is black, (0 - 0.5) / 0.25
    batches = batches_for_ever(train_loader(images, 4, 0, torch.device("cpu")))
    assert [len(next(batches)[1]) for _ in range(3)] == [4, 4, 4]


def test_the_users_loop_learns() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
    images, labels = torch.randn(8, 3, 2, 2), torch.arange(8) % 2
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    batches = iter([(images, labels)] * 40)
    losses = [train_steps(model, batches, optimiser, torch.device("cpu"), 10) for _ in range(4)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.5 * losses[0]
    with pytest.raises(StopIteration):  # as many batches as steps, not one more
        next(batches)


def test_the_floor_is_of_the_networks_own_work() -> None:
    network = zoo.create("resnet20-preact")
    work = work_of(network, 32)
    assert network.training
    # He 2015's 0.41e8 multiply-adds of ResNet-20, each in three passes.
    assert work.macs == PASSES * 40_550_400
    # The stem and six convolutions of 16 channels at 32x32, six of 32 at 16x16, six of 64 at 8x8.
    assert work.values == 7 * 16 * 32**2 + 6 * 32 * 16**2 + 6 * 64 * 8**2
    assert work.parameters == sum(parameter.numel() for parameter in network.parameters())
    one, two = (floor_of(work, batch, "cpu", 1, "float32") for batch in (64, 128))
    assert min(one.matrix, one.convolutions, one.memory) > 0.0
    assert two.matrix == pytest.approx(2 * one.matrix)  # of the same measured rate


def test_everything_takes_its_turn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "new" / "speed.json"
    assert main([*SMALL, "--precision", "bf16,float32", "--format", "json", "--record", str(file)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(file.read_text())
    assert list(found["precisions"]) == ["bf16", "float32"]
    for one in found["precisions"].values():
        assert all(len(values) == 3 and min(values) > 0 for values in one["seconds_a_step"].values())
        assert set(one["floor_seconds_a_step"]) == {"matrix", "convolutions", "memory"}
    assert (found["schema"], found["threads"], found["loader_workers"], found["goal"]) == (SCHEMA, 1, 0, 1.3)
    assert found["environment"]["packages"]["torch"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--network", "resnet110-preakt"], "no network is named 'resnet110-preakt'"),
        (["--network", "vgg16"], "--network vgg16: the user's loop has resnet<depth>"),
        (["--precision", "tf32"], "--precision tf32: on cpu one of float32, bf16"),
        (["--batch", "1"], "at least 2 images in a batch"),
        (["--images", "3"], "at least 2 images in a batch"),
        (["--workers", "-1"], "--workers is 0 or more"),
        (["--device", "cuda:77"], "cuda:77"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*SMALL, *arguments])
    assert stopped.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("python -m benchmarks.training_speed: error: ")
    assert message in error


def test_out_of_memory_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(*_: object, **__: object) -> Speed:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(training_speed, "measure", full)
    with pytest.raises(SystemExit):
        main(SMALL)
    assert "out of memory on cpu: a smaller --batch" in capsys.readouterr().err


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU that torch can use")
def test_on_a_gpu_loaders_do_not_disturb_the_capture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.training_speed._TURN_CUDA", 0.0)
    monkeypatch.setattr("benchmarks.training_speed._FEWEST_CUDA", 5)
    assert main([*SMALL, "--device", "cuda", "--precision", "bf16,tf32", "--format", "json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["precisions"]) == {"bf16", "tf32"}
