"""CIFAR-10 from every source is one data set, and what is not CIFAR-10 is refused in one line.

A small data set of the same shape stands for it, with facts of its own; the last tests use the real one.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tests.data import make_sketch

from resbench.data.cifar10 import Expected, ImageSet, cifar10_expected, load_cifar10, split
from resbench.data.sketch import Sketch, keys_of, sampled
from resbench.errors import UserError

Part = tuple[NDArray[np.uint8], NDArray[np.int64]]


def part(count: int, seed: int) -> Part:
    """Images ``(N, 32, 32, 3)``, a tenth of each class."""
    images = np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)
    return images, np.arange(count) % 10


TRAIN, TEST = part(200, 0), part(100, 1)


def in_planes(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def sketch(part: Part) -> Sketch:
    """Of all images, since a thirty-second of few is none."""
    return Sketch(len(part[1]), keys_of(in_planes(part[0]), part[1]))


FACTS = Expected("CIFAR-10", (3, 32, 32), 10, sketch(TRAIN), sketch(TEST))


def save(folder: Path, train: Part = TRAIN, test: Part = TEST) -> str:
    """The two as npz files; what names them."""
    folder.mkdir(exist_ok=True)
    for name, (images, labels) in (("train", train), ("test", test)):
        np.savez(folder / f"{name}.npz", images=images, labels=labels)
    return f"npz:{folder}"


def load(spec: str) -> ImageSet:
    return load_cifar10(spec, expected=FACTS)


def save_batches(root: Path, train: Part, test: Part, patch: pytest.MonkeyPatch) -> str:
    """The two as the batches that torchvision reads, which it is told the MD5 sums of; what names them."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)

    def write(name: str, content: Any) -> list[str]:
        packed = pickle.dumps(content)
        (folder / name).write_bytes(packed)
        return [name, hashlib.md5(packed).hexdigest()]

    def batch(name: str, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> list[str]:
        return write(name, {"data": in_planes(images).reshape(-1, 3072), "labels": labels.tolist()})

    fifths = zip(*(np.array_split(array, 5) for array in train), strict=True)
    target = "torchvision.datasets.CIFAR10"
    patch.setattr(f"{target}.train_list", [batch(f"data_batch_{n}", *fifth) for n, fifth in enumerate(fifths, 1)])
    patch.setattr(f"{target}.test_list", [batch("test_batch", *test)])
    name, md5 = write("batches.meta", {"label_names": list("abcdefghij")})
    patch.setattr(f"{target}.meta", {"filename": name, "key": "label_names", "md5": md5})
    return f"cifar10:{root}"


@pytest.fixture
def refused() -> Callable[..., str]:
    def call(spec: str, **options: Any) -> str:
        with pytest.raises(UserError) as raised:
            load_cifar10(spec, **{"expected": FACTS, **options})
        line = str(raised.value)
        assert "\n" not in line
        return line

    return call


def same(first: ImageSet, second: ImageSet) -> bool:
    pairs = ((getattr(first, name), getattr(second, name)) for name in ("train", "train_labels", "test", "test_labels"))
    return all(torch.equal(*pair) for pair in pairs)


def test_images_labels_and_moments(tmp_path: Path) -> None:
    data = load(save(tmp_path))
    assert (data.train.dtype, tuple(data.train.shape)) == (torch.uint8, (200, 3, 32, 32))
    assert (data.test.dtype, tuple(data.test.shape)) == (torch.uint8, (100, 3, 32, 32))
    assert data.train.is_contiguous()
    assert data.train_labels.dtype == data.test_labels.dtype == torch.int64
    assert (data.name, data.classes, data.known, len(data.fingerprint)) == ("cifar10", 10, 1.0, 16)
    given = {image.tobytes(): label for image, label in zip(in_planes(TRAIN[0]), TRAIN[1], strict=True)}
    assert {
        image.numpy().tobytes(): int(label) for image, label in zip(data.train, data.train_labels, strict=True)
    } == given
    scaled = TRAIN[0] / 255
    assert data.mean == pytest.approx(scaled.mean((0, 1, 2)), rel=1e-12)
    assert data.std == pytest.approx(scaled.std((0, 1, 2)), rel=1e-12)


def test_every_source_and_order_is_the_same_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load(save(tmp_path / "npz"))
    order = np.random.default_rng(2).permutation(200)
    shuffled = load(save(tmp_path / "shuffled", (TRAIN[0][order], TRAIN[1][order].astype(np.uint8))))
    batches = load(save_batches(tmp_path / "root", TRAIN, TEST, monkeypatch))
    for other in (shuffled, batches):
        assert same(data, other)
        assert (data.fingerprint, data.mean, data.std) == (other.fingerprint, other.mean, other.std)


def test_few_other_images_pass_with_another_fingerprint(tmp_path: Path) -> None:
    images, labels = TRAIN[0].copy(), TRAIN[1].copy()
    images[5, 0, 0, 0] ^= 1
    other = load(save(tmp_path / "pixel", (images, labels)))
    assert other.known == 0.995
    labels[7] = (labels[7] + 1) % 10
    relabelled = load(save(tmp_path / "label", (TRAIN[0], labels)))
    prints = {data.fingerprint for data in (other, relabelled, load(save(tmp_path / "own")))}
    assert len(prints) == 3


def test_changed_images_are_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    brighter = TRAIN[0] ^ 1
    line = refused(save(tmp_path, (brighter, TRAIN[1])))
    assert "the training images are not CIFAR-10's: of a sample of those, 0.0% are there, pixel by pixel" in line
    assert "JPEG" in line
    two = TEST[0].copy()
    two[:2] ^= 1
    assert "the test images are not CIFAR-10's: of a sample of those, 98.0% are" in refused(
        save(tmp_path, TRAIN, (two, TEST[1]))
    )
    swapped = np.ascontiguousarray(TEST[0][..., ::-1])  # blue first
    assert "the test images are not CIFAR-10's" in refused(save(tmp_path, TRAIN, (swapped, TEST[1])))


def test_changed_labels_are_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    line = refused(save(tmp_path, (TRAIN[0], (TRAIN[1] + 1) % 10)))
    assert "the training images are CIFAR-10's, but only 0.0% of those looked at have its labels" in line
    line = refused(save(tmp_path, (TRAIN[0], TRAIN[1] * 10)))
    assert "the training images have labels 0 to 90; CIFAR-10's are 0 to 9" in line
    assert "labels -1 to 8" in refused(save(tmp_path, TRAIN, (TEST[0], TEST[1] - 1)))


def test_other_counts_are_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    fewer = (TRAIN[0][:150], TRAIN[1][:150])
    assert "150 training images; CIFAR-10 has 200, all are needed" in refused(save(tmp_path, fewer))
    assert "the training images are 0x32x32x3" in refused(save(tmp_path, (TRAIN[0][:0], TRAIN[1][:0])))
    repeated = (np.concatenate([fewer[0], fewer[0][:50]]), np.concatenate([fewer[1], fewer[1][:50]]))
    assert "75.0% are there" in refused(save(tmp_path, repeated))
    assert "training images are where the test images should be" in refused(save(tmp_path, TEST, TRAIN))


def test_other_shapes_are_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    small = (TRAIN[0][:, :28, :28], TRAIN[1])
    assert "the training images are 200x28x28x3; CIFAR-10's are N x 32x32x3" in refused(save(tmp_path, small))
    line = refused(save(tmp_path, (in_planes(TRAIN[0]), TRAIN[1])))
    assert "images are uint8 200x3x32x32; they must be uint8, N x height x width x 1 or 3" in line
    floats: Any = (TRAIN[0] / np.float32(255), TRAIN[1])
    assert "images are float32 200x32x32x3; they must be uint8" in refused(save(tmp_path, floats))
    assert "labels are int64 199; they must be 200 integers" in refused(save(tmp_path, (TRAIN[0], TRAIN[1][1:])))


def test_damaged_files_are_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    spec = save(tmp_path)
    whole = (tmp_path / "test.npz").read_bytes()
    (tmp_path / "test.npz").write_bytes(whole[: len(whole) // 2])
    assert f"{spec}/test.npz: not an npz file of plain arrays, or truncated" in refused(spec)
    np.savez(tmp_path / "test.npz", images=TEST[0])
    assert "test.npz: no array 'labels' (there is images)" in refused(spec)
    np.savez(tmp_path / "test.npz", images=np.array([None, 1], dtype=object), labels=TEST[1])
    assert "not an npz file of plain arrays" in refused(spec)


def test_where_is_looked_is_said(refused: Callable[..., str], tmp_path: Path) -> None:
    looked = "train.npz and test.npz are looked for in it"
    assert f"npz:{tmp_path}/x: no such folder; {looked}" in refused(f"npz:{tmp_path}/x")
    assert f"no train.npz and no test.npz there; {looked}" in refused(f"npz:{tmp_path}")
    save(tmp_path)
    assert f"a file, a folder is wanted; {looked}" in refused(f"npz:{tmp_path}/train.npz")
    (tmp_path / "test.npz").unlink()
    line = refused(f"npz:{tmp_path}")
    assert f": no test.npz there; {looked}" in line
    assert "--data cifar10:ROOT --download fetches the original" in line
    line = refused(f"cifar10:{tmp_path}")
    assert f"no CIFAR-10 there: its folder cifar-10-batches-py is looked for in {tmp_path}; --download fetches" in line


def test_a_form_that_is_none(refused: Callable[..., str]) -> None:
    for spec in ("", "digits", "npz:", "imagefolder:x"):
        assert f"--data {spec}: CIFAR-10 is wanted; write cifar10:ROOT" in refused(spec)
    assert "--download goes with --data cifar10:ROOT" in refused("npz:x", download=True)


def test_batches_with_other_bytes(refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = save_batches(tmp_path, TRAIN, TEST, monkeypatch)
    batch = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    batch.write_bytes(batch.read_bytes()[:-1])
    assert "the CIFAR-10 in its folder cifar-10-batches-py is damaged or a part of it (MD5)" in refused(spec)


def test_the_split_has_equal_classes_and_is_the_same_for_everybody(tmp_path: Path) -> None:
    data = load(save(tmp_path / "a"))
    train, validation = split(data, 50)
    assert sorted([*train.tolist(), *validation.tolist()]) == list(range(200))
    assert torch.equal(train, train.sort().values)
    assert torch.bincount(data.train_labels[validation]).tolist() == [5] * 10
    assert torch.bincount(data.train_labels[train]).tolist() == [15] * 10
    images = TRAIN[0].copy()
    images[3] ^= 1
    other = load(save(tmp_path / "b", (images, TRAIN[1])))
    held = [{image.numpy().tobytes() for image in each.train[split(each, 50)[1]]} for each in (data, other)]
    assert len(held[0] - held[1]) <= 1
    assert [len(indices) for indices in split(data, 0)] == [200, 0]


@pytest.mark.parametrize("validation", [-10, 45, 200, 1000])
def test_a_split_that_cannot_be(validation: int, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{validation} validation images: it takes a multiple of 10"):
        split(load(save(tmp_path)), validation)


def test_the_sketches_are_the_same_small_sample_for_everybody() -> None:
    facts = cifar10_expected()
    for part, expected in ((facts.train, 50_000 / 32), (facts.test, 10_000 / 32)):
        assert sampled(part.keys).all()
        assert len(np.unique(part.keys)) == len(part.keys) == pytest.approx(expected, rel=0.1)
        assert (part.keys & np.uint64(255) < 10).all()


@pytest.fixture(scope="module")
def real() -> Path:
    folder = os.environ.get("RESBENCH_CIFAR10")
    if not folder:
        pytest.skip("RESBENCH_CIFAR10 names no folder with CIFAR-10 (train.npz, test.npz)")
    return Path(folder)


def test_the_real_images_in_both_forms(real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_cifar10(f"npz:{real}")
    assert data.known >= 0.999
    assert [round(value, 3) for value in (*data.mean, *data.std)] == [0.491, 0.482, 0.447, 0.247, 0.243, 0.262]
    assert torch.bincount(data.train_labels[split(data, 5000)[1]]).tolist() == [500] * 10
    parts: list[Part] = []
    for name in ("train", "test"):
        with np.load(real / f"{name}.npz") as arrays:
            parts.append((arrays["images"][::-1], arrays["labels"][::-1]))
    batches = load_cifar10(save_batches(tmp_path, *parts, monkeypatch))
    assert batches.fingerprint == data.fingerprint
    assert same(batches, data)


def test_real_images_that_went_through_jpeg(real: Path, refused: Callable[..., str], tmp_path: Path) -> None:
    with np.load(real / "test.npz") as arrays:
        images, labels = arrays["images"], arrays["labels"]
    for number, image in enumerate(images):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=95)
        images[number] = np.asarray(Image.open(file))
    np.savez(tmp_path / "test.npz", images=images, labels=labels)
    (tmp_path / "train.npz").symlink_to(real / "train.npz")
    line = refused(f"npz:{tmp_path}", expected=None)
    assert "the test images are not CIFAR-10's: of a sample of those, 0." in line
    assert make_sketch.from_jpeg(in_planes(images[:100]), 95).mean() > 0.9


def test_the_sketch_is_that_of_the_real_images(real: Path) -> None:
    facts = cifar10_expected()
    for name, part in (("train", facts.train), ("test", facts.test)):
        assert np.array_equal(make_sketch.sketch(real / f"{name}.npz"), part.keys)
