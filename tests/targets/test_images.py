"""Images are read, moved and normalised batch by batch, and are the same numbers as all at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from resbench.errors import UserError
from resbench.targets import image_files
from resbench.targets.images import Images, as_images

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
GENERATOR = torch.Generator().manual_seed(0)
PIXELS = torch.randint(256, (23, 5, 6, 3), dtype=torch.uint8, generator=GENERATOR)
LABELS = torch.arange(23) % 10


def plain(pixels: Tensor, mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD) -> Tensor:
    """What anyone would write, all images at once; ``pixels`` are NHWC."""
    scaled = pixels.permute(0, 3, 1, 2).float() / 255.0
    return (scaled - torch.tensor(mean).view(1, -1, 1, 1)) / torch.tensor(std).view(1, -1, 1, 1)


def made(kind: str = "nhwc") -> Images:
    if kind == "given":
        return Images.of_tensors(plain(PIXELS), LABELS)
    pixels = PIXELS if kind == "nhwc" else PIXELS.permute(0, 3, 1, 2).contiguous()
    return Images.of_pixels(pixels, LABELS, mean=MEAN, std=STD, channels_last=kind == "nhwc")


KINDS = ("nhwc", "nchw", "given")


@pytest.mark.parametrize("kind", KINDS)
def test_the_numbers_are_those_of_a_plain_computation_bit_for_bit(kind: str) -> None:
    images, labels = made(kind).take(range(23))
    assert torch.equal(images, plain(PIXELS))
    assert torch.equal(labels, LABELS)
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)


def test_every_value_of_a_pixel_and_every_form_of_normalisation() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(2, 16, 16, 3).contiguous()
    for mean, std in ((MEAN, STD), ((0.5,), (0.25,)), (MEAN, (0.3,))):
        images = Images.of_pixels(pixels, torch.arange(2), mean=mean, std=std, channels_last=True)
        assert torch.equal(images.take([0, 1])[0], plain(pixels, mean, std))
    bare = Images.of_pixels(pixels, torch.arange(2), channels_last=True)
    assert torch.equal(bare.take([0, 1])[0], pixels.permute(0, 3, 1, 2).float() / 255.0)


@pytest.mark.parametrize("channels", [1, 3])
def test_batches_are_contiguous_whatever_the_pixels_are(channels: int) -> None:
    pixels = PIXELS[..., :channels].contiguous()
    for images, _ in Images.of_pixels(pixels, LABELS, channels_last=True).batches(4):
        _, c, h, w = images.shape
        assert images.stride() == (c * h * w, h * w, w, 1)


@given(st.sampled_from(KINDS), st.integers(1, 40))
def test_batches_together_are_the_whole(kind: str, size: int) -> None:
    batches = list(made(kind).batches(size))
    assert [len(labels) for _, labels in batches] == [size] * (23 // size) + [23 % size] * (23 % size > 0)
    assert torch.equal(torch.cat([images for images, _ in batches]), plain(PIXELS))
    assert torch.equal(torch.cat([labels for _, labels in batches]), LABELS)


@given(st.sampled_from(KINDS), st.lists(st.integers(0, 22), min_size=1, max_size=30), st.data())
def test_a_subset_is_what_indexing_gives(kind: str, chosen: list[int], data: st.DataObject) -> None:
    subset = made(kind).subset(chosen)
    again = data.draw(st.lists(st.integers(0, len(chosen) - 1), min_size=1))
    for part, expected in ((subset, chosen), (subset.subset(torch.tensor(again)), [chosen[i] for i in again])):
        assert len(part) == len(expected)
        assert torch.equal(part.labels, LABELS[expected])
        images, labels = part.take(range(len(part)))
        assert torch.equal(images, plain(PIXELS)[expected])
        assert torch.equal(labels, LABELS[expected])


def test_given_tensors_keep_their_type_and_no_graph() -> None:
    images = Images.of_tensors(plain(PIXELS).double().requires_grad_(), LABELS.to(torch.uint8))
    batch, labels = images.take([1])
    assert (batch.dtype, batch.requires_grad, labels.dtype) == (torch.float64, False, torch.int64)
    assert as_images(images) is images


def test_fingerprints_tell_data_apart() -> None:
    one = made().fingerprint()
    assert len(one) == 64
    other_pixel, other_label = PIXELS.clone(), LABELS.clone()
    other_pixel[22, 4, 5, 2] ^= 1
    other_label[22] += 1

    def of(pixels: Tensor = PIXELS, labels: Tensor = LABELS, mean: object = MEAN, std: object = STD) -> str:
        return Images.of_pixels(pixels, labels, mean=mean, std=std, channels_last=True).fingerprint()  # type: ignore[arg-type]

    different = [
        one,
        of(other_pixel),
        of(labels=other_label),
        of(mean=(0.4914, 0.4822, 0.4466)),
        of(std=(0.2470, 0.2435, 0.2617)),
        of(mean=(), std=()),
        of(PIXELS.transpose(1, 2).contiguous()),
        of(PIXELS[:22], LABELS[:22]),
        made().subset(torch.arange(23).flip(0)).fingerprint(),
        made("given").fingerprint(),
    ]
    assert len(set(different)) == len(different)


def test_fingerprints_are_of_the_data_alone() -> None:
    whole = made()
    for size in (1, 7, 23):
        list(whole.batches(size))
        assert whole.fingerprint() == made().fingerprint()
    assert made("nchw").fingerprint() == whole.fingerprint()
    assert whole.subset(range(23)).fingerprint() == whole.fingerprint()
    one, three = (Images.of_pixels(PIXELS, LABELS, mean=m, std=m, channels_last=True) for m in ((0.5,), (0.5,) * 3))
    assert one.fingerprint() == three.fingerprint()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Images.of_pixels(PIXELS.int(), LABELS), "pixels are int32 23x5x6x3; they must be uint8"),
        (lambda: Images.of_pixels(PIXELS[0], LABELS), "pixels are uint8 5x6x3"),
        (lambda: Images.of_pixels(PIXELS, LABELS[:3]), "the labels are int64 3; they must be 23 integers"),
        (lambda: Images.of_pixels(PIXELS, LABELS / 2), "the labels are float32 23"),
        (lambda: Images.of_pixels(PIXELS, LABELS, mean=(0.5,), std=(1, 1), channels_last=True), "--std has 2 numbers"),
        (lambda: Images.of_pixels(PIXELS, LABELS, std=(1, 1, 1), channels_last=True), "--mean has 0 numbers"),
        (lambda: as_images((PIXELS, LABELS)), "the images are uint8 23x5x6x3; they must be normalised"),
        (lambda: as_images((plain(PIXELS), LABELS, LABELS)), "not a pair of tensors"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_data(make: Callable[[], Images], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """24 images of 8 x 6 pixels."""
    rng = np.random.default_rng(1)
    paths = [tmp_path / f"{number:02}.png" for number in range(24)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (8, 6, 3), dtype=np.uint8)).save(path)
    return paths


def of_files(files: list[Path], size: tuple[int, int, int] = (3, 8, 8)) -> Images:
    numbers = (MEAN, STD) if size[0] == 3 else ((0.5,), (0.25,))
    return Images.of_files(files, torch.arange(len(files)), size, mean=numbers[0], std=numbers[1], where="the folder")


@pytest.mark.parametrize("channels", [1, 3])
def test_files_are_resized_cropped_and_normalised(files: list[Path], channels: int) -> None:
    from torchvision import transforms

    steps = [transforms.Grayscale()] if channels == 1 else []
    steps += [transforms.Resize(8), transforms.CenterCrop((8, 8)), transforms.ToTensor()]
    expected = torch.stack([transforms.Compose(steps)(Image.open(file).convert("RGB")) for file in files])
    mean, std = (MEAN, STD) if channels == 3 else ((0.5,), (0.25,))
    expected = (expected - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
    images = of_files(files, (channels, 8, 8))
    assert torch.equal(torch.cat([batch for batch, _ in images.batches(7)]), expected)
    assert torch.equal(images.subset([5, 3]).take([1, 0])[0], expected[[3, 5]])


def test_a_folder_is_decoded_a_few_batches_ahead(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    decoded, lock, load = 0, threading.Lock(), image_files.Files._decoded

    def counted(self: image_files.Files, position: int) -> Tensor:
        nonlocal decoded
        with lock:
            decoded += 1
        return load(self, position)

    monkeypatch.setattr(image_files.Files, "_decoded", counted)
    images = of_files(files)
    assert decoded == 0
    for number, _ in enumerate(images.batches(2)):
        assert 2 * (number + 1) <= decoded <= 2 * (number + 1 + image_files._AHEAD)
    assert decoded == 24
    for _ in images.batches(2):
        break  # who stops reading stops the decoding
    assert decoded - 24 <= 2 * (1 + image_files._AHEAD)


def test_no_thread_is_left(files: list[Path]) -> None:
    before = threading.active_count()
    for _ in of_files(files).batches(2):
        break
    list(of_files(files).batches(5))
    assert threading.active_count() == before


def test_a_broken_file_is_named_when_it_is_read(files: list[Path]) -> None:
    whole = files[13].read_bytes()
    images = of_files(files)
    before = images.fingerprint()
    for content in (whole[: len(whole) // 2], b"", b"no image"):
        files[13].write_bytes(content)
        batches = images.batches(4)
        for _ in range(3):
            next(batches)
        with pytest.raises(UserError, match=r"the folder: 13\.png is not readable \("):
            next(batches)
    assert of_files(files).fingerprint() != before
    files[13].unlink()
    with pytest.raises(UserError, match=r"the folder: 13\.png is not readable"):
        of_files(files).fingerprint()


def test_the_fingerprint_of_files_has_the_size(files: list[Path]) -> None:
    different = [of_files(files).fingerprint(), of_files(files, (3, 6, 6)).fingerprint()]
    different += [of_files(files, (1, 8, 8)).fingerprint(), of_files(files[1:] + files[:1]).fingerprint()]
    assert len(set(different)) == 4
    assert of_files(files).fingerprint() == different[0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_has_the_pixels_once_and_the_same_numbers(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images = made(kind)
    resident = torch.cat([batch.cpu() for batch, _ in images.batches(5, "cuda")])
    assert torch.equal(resident, plain(PIXELS))
    monkeypatch.setattr("resbench.targets.images._SHARE_OF_FREE", 0.0)
    streamed, labels = made(kind).take(range(23), "cuda")
    assert streamed.device == labels.device == torch.device("cuda", torch.cuda.current_device())
    assert torch.equal(streamed.cpu(), plain(PIXELS))
