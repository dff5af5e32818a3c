"""What a target is made of: model, weights, data, example, units, survival probabilities."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import sample_nets
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from resbench.networks.sampling import linear_decay
from resbench.targets.chance import below_chance
from resbench.targets.load import load_target
from resbench.targets.options import TargetOptions, parse_input, parse_survival

NET = TargetOptions(target="sample_nets:build", input="3x16x16")


def change(**fields: object) -> TargetOptions:
    return dataclasses.replace(NET, **fields)  # type: ignore[arg-type]


def test_a_callable() -> None:
    target = load_target(NET)
    assert isinstance(target.model, sample_nets.Net)
    assert not target.model.training
    assert target.example.shape == (2, 3, 16, 16)
    assert [unit.name for unit in target.units] == ["layer1.0", "layer1.1", "layer2.0", "layer2.1"]
    assert (target.survival, target.data, target.trained) == (None, None, False)
    assert str(target) == "sample_nets:build: 4 units (3 identity, 1 padding), input 3x16x16, untrained, no data"
    assert [member.network for member in target.members] == [target.model]


@pytest.mark.parametrize("name", ["instance", "Net", "Nested.build"])
def test_other_things_that_give_a_module(name: str) -> None:
    assert len(load_target(change(target=f"sample_nets:{name}")).units) == 4


def test_wrapped_models_are_unwrapped() -> None:
    sample_nets.wrapped = nn.DataParallel(sample_nets.build())
    assert load_target(change(target="sample_nets:wrapped")).units[0].name == "layer1.0"


def test_a_module_of_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_here.py").write_text("from sample_nets import build\n")
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))  # restores sys.path
    monkeypatch.chdir(tmp_path)
    assert len(load_target(change(target="only_here:build")).units) == 4


@pytest.mark.parametrize(
    ("name", "size", "units"),
    [
        ("resnet20", (3, 32, 32), 9),
        ("resnet18-imagenet", (3, 64, 64), 8),
        ("torchvision:resnet18", (3, 64, 64), 8),
        ("timm:resnet10t", (3, 64, 64), 4),
        ("timm:vit_tiny_patch16_224", (3, 224, 224), 24),
        ("transformers:resnet", (3, 64, 64), 16),
        ("transformers:ResNetForImageClassification", (3, 64, 64), 16),
    ],
)
def test_names_have_an_input_of_their_own(name: str, size: tuple[int, ...], units: int) -> None:
    library = name.partition(":")[0]
    if library in ("timm", "transformers"):
        pytest.importorskip(library)
    target = load_target(TargetOptions(target=name))
    assert (tuple(target.example.shape[1:]), len(target.units)) == (size, units)


def test_a_zoo_network_has_the_channels_of_the_data() -> None:
    target = load_target(TargetOptions(target="resnet20", data="digits", limit=50))
    assert target.example.shape == (2, 1, 8, 8)
    assert target.data is not None
    assert len(target.data) == 50
    assert not target.trained


def test_the_seed_makes_weights_and_input_and_leaves_the_callers_generator() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, again, other = (load_target(change(seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    for name, value in first.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])
    assert torch.equal(first.example, again.example)
    assert not torch.equal(first.model.head.weight, other.model.head.weight)
    assert not torch.equal(first.example, other.example)


@pytest.mark.parametrize("form", ["plain", "state_dict", "prefix", "safetensors", "counterless"])
def test_checkpoints(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    state = sample_nets.build().state_dict()
    content: object = state
    if form == "state_dict":
        content = {"epoch": 3, "state_dict": state}
    if form == "prefix":
        content = {"model": {f"module.{key}": value for key, value in state.items()}}
    if form == "counterless":
        content = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    path = tmp_path / "net"
    if form == "safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(content, path)
    target = load_target(change(checkpoint=path))
    assert target.trained
    assert torch.equal(target.model.layer2[1].conv2.weight, state["layer2.1.conv2.weight"])
    notes = {"state_dict": "entry 'state_dict'", "prefix": "entry 'model', without the prefix 'module.'"}
    assert notes.get(form, "") in capsys.readouterr().err


def labelled(path: Path, *, count: int = 6) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    labels = np.arange(count) % 10
    np.savez(path, images=images, labels=labels)
    return images, labels


def test_npz_is_scaled_and_normalised(tmp_path: Path) -> None:
    images, labels = labelled(tmp_path / "data.npz")
    options = change(input="", data=f"npz:{tmp_path / 'data.npz'}", mean="0.5,0.4,0.3", std="0.2")
    images_and_labels = load_target(options).data
    assert images_and_labels is not None
    data = images_and_labels.take(range(6))
    expected = (images.transpose(0, 3, 1, 2) / 255 - np.array([0.5, 0.4, 0.3]).reshape(3, 1, 1)) / 0.2
    np.testing.assert_allclose(data[0].numpy(), expected, atol=1e-6)
    assert (data[0].dtype, data[1].dtype) == (torch.float32, torch.int64)
    np.testing.assert_array_equal(data[1].numpy(), labels)


def test_a_checkpoints_header_may_hold_the_normalisation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, _ = labelled(tmp_path / "data.npz")
    state = sample_nets.build().state_dict()
    header = {"mean": "[0.5, 0.5, 0.5]", "std": "[0.25, 0.25, 0.25]"}
    safetensors.torch.save_file(state, tmp_path / "net.safetensors", header)
    options = change(input="", data=f"npz:{tmp_path / 'data.npz'}", checkpoint=tmp_path / "net.safetensors")
    data = load_target(options).data
    assert data is not None
    assert float(data.take([0])[0][0, 0, 0, 0]) == pytest.approx((images[0, 0, 0, 0] / 255 - 0.5) / 0.25, rel=1e-5)
    assert "--mean 0.5,0.5,0.5 --std 0.25,0.25,0.25, from the checkpoint's header" in capsys.readouterr().err
    given = load_target(dataclasses.replace(options, mean="0", std="1")).data
    assert given is not None
    assert float(given.take([0])[0][0, 0, 0, 0]) == pytest.approx(images[0, 0, 0, 0] / 255, rel=1e-5)


def test_a_limit_draws_by_the_seed(tmp_path: Path) -> None:
    _, labels = labelled(tmp_path / "data.npz", count=40)
    options = change(input="", data=f"npz:{tmp_path / 'data.npz'}", limit=20)
    drawn = [load_target(dataclasses.replace(options, seed=seed)).data for seed in (0, 0, 1)]
    chosen = [tuple(data.labels.tolist()) for data in drawn if data is not None]
    assert chosen[0] == chosen[1] != chosen[2]
    assert len(chosen[0]) == 20
    assert chosen[0] != tuple(labels[:20])


def test_an_image_folder_is_resized_and_cropped(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number, size in enumerate(((40, 20), (20, 40))):
            image.new("RGB", size, (255 * label, 0, 255)).save(tmp_path / "images" / name / f"{number}.png")
    data = load_target(change(data=f"imagefolder:{tmp_path / 'images'}")).data
    assert data is not None
    images, labels = data.take(range(4))
    assert images.shape == (4, 3, 16, 16)
    assert labels.tolist() == [0, 0, 1, 1]
    assert images[:, :, 8, 8].tolist() == [[0, 0, 1]] * 2 + [[1, 0, 1]] * 2


def test_cifar10_is_torchvisions_test_set(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[bool] = []

    class Fake:
        def __init__(self, root: str, *, train: bool, download: bool) -> None:
            assert (root, train) == ("somewhere", False)
            asked.append(download)
            print("Files already downloaded and verified")
            self.data, self.targets = np.full((4, 32, 32, 3), 255, dtype=np.uint8), [3, 1, 4, 1]

    monkeypatch.setattr("torchvision.datasets.CIFAR10", Fake)
    data = load_target(change(input="", data="cifar10:somewhere")).data
    assert data is not None
    assert data.labels.tolist() == [3, 1, 4, 1]
    assert torch.equal(data.take(range(4))[0], torch.ones(4, 3, 32, 32))
    assert load_target(change(input="", data="cifar10:somewhere", download=True)).data is not None
    assert asked == [False, True]
    assert capsys.readouterr().out == "", "standard output may be JSON"


def test_survival_is_given_or_declared() -> None:
    assert load_target(change(survival="linear:0.5")).survival == linear_decay(4, 0.5)
    declared = change(target="sample_nets:with_survival")
    assert load_target(declared).survival == (0.9, 0.8, 0.7, 0.6)
    assert load_target(dataclasses.replace(declared, survival="uniform:0.8")).survival == (0.8,) * 4
    assert load_target(change(survival="1,0.5,0.5,0.25")).survival == (1.0, 0.5, 0.5, 0.25)


def test_units_by_glob() -> None:
    assert [unit.name for unit in load_target(change(units=("layer2.*",))).units] == ["layer2.0", "layer2.1"]


def test_another_network_to_compare_with() -> None:
    target = load_target(change(against="sample_nets:instance"))
    assert target.against is not None
    assert target.against.model is sample_nets.instance
    assert target.against.example.shape == target.example.shape
    assert target.members[0].against is target.against


@given(st.tuples(*[st.integers(1, 9999)] * 3))
def test_sizes_are_read_as_they_are_written(size: tuple[int, int, int]) -> None:
    assert parse_input("x".join(map(str, size))) == size


@given(st.integers(1, 60), st.floats(0.01, 1.0))
def test_linear_decay_ends_at_its_last_probability(n: int, last: float) -> None:
    schedule = parse_survival(f"linear:{last!r}")(n)
    assert schedule == linear_decay(n, last)
    assert schedule[-1] == pytest.approx(last)
    assert parse_survival(",".join(map(repr, schedule)))(n) == schedule


def test_chance_is_the_commonest_class() -> None:
    balanced = torch.arange(10).repeat(20)
    assert below_chance(150, balanced)
    assert not below_chance(178, balanced), "within the interval of 90 %"
    lopsided = torch.tensor([0] * 160 + [1] * 40)
    assert not below_chance(39, lopsided), "20 % error is what naming 0 gives"
    assert below_chance(10, lopsided)
