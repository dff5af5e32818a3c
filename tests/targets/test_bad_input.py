"""Every way in which a target can be wrong: one line on standard error, a way out, exit code 2."""

from __future__ import annotations

import sys
import tarfile
from http.client import IncompleteRead
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import safetensors.torch
import sample_nets
import torch
from PIL import Image

from conftest import Run

NET = ("--target", "sample_nets:build")
SIZE = ("--input", "3x16x16")


@pytest.fixture
def refused(run: Run) -> Any:
    """Run `check`, expect it to end before anything is judged, and give its one line."""

    def call(*arguments: str) -> str:
        code, out, err = run("check", "--select", "unit-t*", *arguments)
        assert (code, out) == (2, "")
        *notes, line = err.splitlines()
        assert all(note.startswith("resbench: --mean") for note in notes)
        assert line.startswith("resbench: ")
        return line

    return call


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--target", "nowhere.models:build"), "no module 'nowhere' in the current directory or the environment"),
        (("--target", "sample_nets:biuld"), "module sample_nets has no 'biuld'; nearest: build"),
        (("--target", "sample_nets:Nested.biuld"), "Nested has no 'biuld'; nearest: build"),
        (("--target", "sample_nets.py:build"), "written as in an import: sample_nets:build"),
        (("--target", "models/sample_nets.py:build"), "written as in an import: models.sample_nets:build"),
        (("--target", "sample_nets:"), "write MODULE:CALLABLE"),
        (("--target", "sample_nets:number"), "number is a int, neither callable nor an nn.Module"),
        (("--target", "sample_nets:needs_depth"), "needs arguments (depth, width)"),
        (("--target", "sample_nets:raises"), "RuntimeError: the width must be even (sample_nets.py, line "),
        (("--target", "sample_nets:returns_class"), "returned the class Net, not a network; call it"),
        (("--target", "sample_nets:returns_list"), "returned a list, not an nn.Module"),
        (("--target", "sample_nets:returns_nothing"), "returned nothing, not an nn.Module"),
        (("--target", "sample_nets:build"), "give --input 3x32x32 (the size of its input), or --data"),
        (
            ("--target", "sample_nets:ForwardRaises", *SIZE),
            "raised for an input of 3x16x16: ValueError: not for images",
        ),
        (("--target", "sample_nets:Sums", *SIZE), "2 images give an output of a single value, not one row each"),
        (("--target", "sample_nets:plain", *SIZE), "no residual addition found in 6 modules; VGG-style?"),
        (("--target", "resnt20"), "no network of the zoo; nearest: resnet20"),
        (("--target", "torchvision:resnet5"), "no classification network of torchvision; nearest: resnet50"),
        (("--target", "torchvision:fasterrcnn_resnet50_fpn"), "no classification network of torchvision"),
        ((*NET, "--input", "16x16"), "--input 16x16: not channels x height x width; write --input 3x32x32"),
        ((*NET, "--input", "0x16x16"), "not channels x height x width"),
        ((*NET, "--input", "1x16x16"), "its forward pass raised for an input of 1x16x16"),
        ((*NET, *SIZE, "--units", "stage*.*"), "stage*.*"),
        ((*NET, *SIZE, "--survival", "linear"), "write linear:0.5, uniform:0.8 or"),
        ((*NET, *SIZE, "--survival", "cosine:0.5"), "write linear:0.5, uniform:0.8 or"),
        ((*NET, *SIZE, "--survival", "linear:1.5"), "a survival probability lies in (0, 1]"),
        ((*NET, *SIZE, "--survival", "0.9,0.8,0.7"), "gives 3 probabilities, the target has 4 units"),
        (("--target", "sample_nets:with_wrong_survival", *SIZE), "are 2, it has 4 units"),
        ((*NET, *SIZE, "--device", "cuda:99"), "--device cuda:99: not usable here"),
        ((*NET, *SIZE, "--checkpoint", "nowhere.pt"), "--checkpoint nowhere.pt: No such file"),
        ((*NET, "--data", "mnist"), "write digits, cifar10:ROOT, imagefolder:ROOT or npz:FILE"),
        (
            (*NET, "--data", "cifar10:nowhere"),
            "no CIFAR-10 there: its folder cifar-10-batches-py is looked for in nowhere",
        ),
        ((*NET, "--data", "digits", "--download"), "--download goes with --data cifar10:ROOT"),
        ((*NET, *SIZE, "--download"), "--download goes with --data cifar10:ROOT"),
        (("--download",), "--download goes with --target"),
        ((*NET, "--data", "npz:nowhere.npz"), "No such file"),
        ((*NET, "--data", "imagefolder:nowhere", *SIZE), "no folder of one folder a class"),
        ((*NET, "--data", "imagefolder:nowhere"), "needs the size of the input: give --input"),
        ((*NET, "--data", "digits"), "its forward pass raised for an input of 1x8x8"),
        ((*NET, *SIZE, "--data", "digits"), "the images are 1x8x8, --input says 3x16x16"),
        ((*NET, *SIZE, "--mean", "0.5"), "--mean and --std go together"),
        ((*NET, *SIZE, "--mean", "0.5", "--std", "0.5"), "--mean and --std go with --data"),
        ((*NET, "--data", "digits", "--mean", "a", "--std", "1"), "--mean a: not a number for each channel"),
        ((*NET, "--data", "digits", "--mean", "0", "--std", "0"), "a standard deviation is above 0"),
        ((*NET, *SIZE, "--limit", "9"), "--limit goes with --data"),
        ((*NET, *SIZE, "--retrain"), "--retrain is for resbench's own networks and excludes --target"),
        ((*NET, *SIZE, "--checkpoints", "."), "--checkpoints is for resbench's own networks and excludes --target"),
        ((*NET, *SIZE, "--setting", "any"), "the setting 'any' is one of resbench's own networks"),
        ((*NET, *SIZE, "--against", "sample_nets:biuld"), "nearest: build"),
        ((*NET, *SIZE, "--against-checkpoint", "x.pt"), "--against-checkpoint goes with --against"),
        ((), "they speak of your own network: give --target"),
        (("--checkpoint", "x.pt"), "--checkpoint goes with --target"),
        (("--data", "digits"), "--data goes with --target"),
        (("--survival", "linear:0.5"), "--survival goes with --target"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_one_line_and_exit_2(refused: Any, arguments: tuple[str, ...], message: str) -> None:
    assert message in refused(*arguments)


def test_a_module_that_does_not_import(refused: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lacks_something.py").write_text("import not_installed_anywhere\n")
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit('no GPU')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    line = refused("--target", "lacks_something:build")
    assert "importing lacks_something raised ModuleNotFoundError: No module named 'not_installed_anywhere'" in line
    assert "importing leaves raised SystemExit: no GPU" in refused("--target", "leaves:build")


def test_a_library_that_is_not_installed(refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("timm", "transformers"):
        monkeypatch.setitem(sys.modules, name, None)
        assert f"{name} is not installed: pip install {name}" in refused("--target", f"{name}:resnet18")


class Pickled:
    """Something that a checkpoint must not bring with it."""


def test_checkpoints_that_do_not_fit(refused: Any, tmp_path: Path) -> None:
    def line(content: object) -> str:
        torch.save(content, tmp_path / "net.pt")
        found: str = refused(*NET, *SIZE, "--checkpoint", str(tmp_path / "net.pt"))
        return found

    state = sample_nets.build().state_dict()
    renamed = {key.replace("head", "linear"): value for key, value in state.items()}
    assert "2 missing: head.weight, head.bias; 2 unexpected: linear.weight, linear.bias" in line(renamed)
    assert "1 shapes: head.weight 7x16 for 10x16" in line(state | {"head.weight": torch.zeros(7, 16)})
    assert "holds no tensors by name, but list" in line([1, 2])
    assert "'epoch' is no tensor, and there is no state_dict" in line({"epoch": 3})
    assert "holds more than tensors" in line(sample_nets.build())
    assert "is not unpickled" in line({"state_dict": Pickled()})


def test_damaged_checkpoints(refused: Any, tmp_path: Path) -> None:
    state = sample_nets.build().state_dict()
    safetensors.torch.save_file(state, tmp_path / "net.safetensors")
    torch.save(state, tmp_path / "net.pt")
    (tmp_path / "noise.pt").write_bytes(b"\x80\x02 nothing of the kind")
    (tmp_path / "empty.pt").write_bytes(b"")
    for name in ("net.safetensors", "net.pt"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    for path in tmp_path.iterdir():
        reason = "is not a checkpoint of tensors" if path.name == "noise.pt" else "truncated or not"
        assert reason in refused(*NET, *SIZE, "--checkpoint", str(path))
    assert "Is a directory" in refused(*NET, *SIZE, "--checkpoint", str(tmp_path))


IMAGES = np.zeros((4, 16, 16, 3), dtype=np.uint8)
LABELS = np.arange(4)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": IMAGES}, "no array 'labels' (there is images)"),
        ({"images": IMAGES.astype(np.float32), "labels": LABELS}, "images are float32 4x16x16x3; they must be uint8"),
        ({"images": IMAGES.transpose(0, 3, 1, 2), "labels": LABELS}, "images are uint8 4x3x16x16"),
        ({"images": IMAGES[0], "labels": LABELS}, "images are uint8 16x16x3"),
        ({"images": IMAGES, "labels": LABELS[:3]}, "labels are int64 3; they must be 4 integers"),
        ({"images": IMAGES, "labels": LABELS / 2}, "labels are float64 4"),
        ({"images": IMAGES, "labels": np.int64(3)}, "labels are int64 a single value"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "0 images; at least 2 are needed"),
        ({"images": IMAGES, "labels": LABELS + 7}, "labels go from 7 to 10, the target has 10 outputs"),
        ({"images": IMAGES, "labels": LABELS - 1}, "labels go from -1 to 2"),
        ({"images": np.array([None, 1], dtype=object), "labels": LABELS}, "not an npz file of plain arrays"),
    ],
)
def test_arrays_that_are_no_data(refused: Any, tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    assert message in refused(*NET, "--data", f"npz:{tmp_path / 'data.npz'}")


def test_data_of_another_size_or_normalisation(refused: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", images=IMAGES, labels=LABELS)
    data = ("--data", f"npz:{tmp_path / 'data.npz'}")
    assert "the images are 3x16x16, --input says 3x32x32" in refused(*NET, *data, "--input", "3x32x32")
    assert "--mean has 2 numbers, the images have 3" in refused(*NET, *data, "--mean", "0,0", "--std", "1,1")
    assert "--data needs a classifier; its output is 2x8x16x16" in refused("--target", "sample_nets:Segments", *data)


def test_more_data_than_memory(refused: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "data.npz", images=IMAGES, labels=LABELS)
    monkeypatch.setattr("resbench.targets.data._MOST_BYTES", 3 * 3 * 16 * 16)
    assert "4 images take 0 GiB; give --limit 3 or less" in refused(*NET, "--data", f"npz:{tmp_path / 'data.npz'}")


def test_files_that_are_no_data(refused: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "whole.npz", images=IMAGES, labels=LABELS)
    whole = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.npz").write_text("images and labels")
    (tmp_path / "empty.npz").write_bytes(b"")
    np.save(tmp_path / "array.npy", IMAGES)
    np.savez_compressed(tmp_path / "packed.npz", images=IMAGES, labels=LABELS)
    packed = bytearray((tmp_path / "packed.npz").read_bytes())
    packed[60:70] = b"\xff" * 10
    (tmp_path / "packed.npz").write_bytes(packed)
    for name in ("half.npz", "packed.npz", "text.npz", "empty.npz", "array.npy"):
        assert "not an npz file of plain arrays, or truncated" in refused(*NET, "--data", f"npz:{tmp_path / name}")
    assert "Is a directory" in refused(*NET, "--data", f"npz:{tmp_path}")


def test_an_image_that_cannot_be_read(refused: Any, tmp_path: Path) -> None:
    (tmp_path / "images" / "cat").mkdir(parents=True)
    (tmp_path / "images" / "cat" / "one.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    line = refused(*NET, *SIZE, "--data", f"imagefolder:{tmp_path / 'images'}")
    assert "one.png is not readable" in line


def picture_folder(root: Path, *classes: str, images: int = 3) -> str:
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for number in range(images):
            Image.new("RGB", (20, 16), (80 * label, number, 0)).save(root / name / f"{number}.png")
    return f"imagefolder:{root}"


def test_folders_that_are_no_data(refused: Any, tmp_path: Path) -> None:
    spec = picture_folder(tmp_path / "one", "cat", images=1)
    assert "1 images; at least 2 are needed" in refused(*NET, *SIZE, "--data", spec)
    spec = picture_folder(tmp_path / "two", "cat", "dog")
    wrong = ("--mean", "0,0", "--std", "1,1")
    assert "--mean has 2 numbers, the images have 3 channels" in refused(*NET, *SIZE, "--data", spec, *wrong)
    assert "images have 1 or 3 channels, not 2" in refused(*NET, "--input", "2x16x16", "--data", spec)
    (tmp_path / "two" / "ant").mkdir()
    (tmp_path / "two" / "ant" / "notes.txt").write_text("none yet")
    assert "no image in the folder of class 'ant'" in refused(*NET, *SIZE, "--data", spec)
    spec = picture_folder(tmp_path / "many", *"abcdefghijk", images=1)
    assert "labels go from 0 to 10, the target has 10 outputs" in refused(*NET, *SIZE, "--data", spec)


def test_an_image_that_breaks_in_the_midst_of_a_sweep(run: Run, tmp_path: Path) -> None:
    spec = picture_folder(tmp_path / "images", "cat", "dog")
    last = tmp_path / "images" / "dog" / "2.png"
    last.write_bytes(last.read_bytes()[:-30])
    torch.save(sample_nets.build().state_dict(), tmp_path / "net.pt")  # said to be trained: nothing is read at first
    trained = (*NET, *SIZE, "--checkpoint", str(tmp_path / "net.pt"), "--data", spec)
    code, out, err = run("check", "--select", "veit-single-*", *trained)
    assert (code, out) == (2, "")
    assert "2.png is not readable" in err.splitlines()[-1]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_arguments: object, **_options: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)


@pytest.mark.usefixtures("no_network")
def test_a_download_without_a_network(refused: Any, tmp_path: Path) -> None:
    line = refused(*NET, "--data", f"cifar10:{tmp_path / 'new'}", "--download")
    assert "not fetched (URLError: <urlopen error Name or service not known>); that takes a network" in line


@pytest.mark.usefixtures("no_network")
def test_a_download_to_where_nothing_can_be_written(refused: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        line = refused(*NET, "--data", f"cifar10:{place}", "--download")
        assert "not fetched (" in line
        assert "a folder that can be written" in line


def test_a_download_that_breaks_off(refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (IncompleteRead(b""), RuntimeError("File not found or corrupted."), tarfile.ReadError("not a gzip")):

        def broken(*_arguments: object, error: Exception = error, **_options: object) -> None:
            raise error

        monkeypatch.setattr("torchvision.datasets.CIFAR10", broken)
        assert f"not fetched ({type(error).__name__}" in refused(*NET, "--data", "cifar10:x", "--download")
