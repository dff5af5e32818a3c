"""Random crops: each batch against crops cut one by one, every choice used, every epoch for itself."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from resbench.training.crops import Crops

N, SIDE, SHIFT = 24, 6, 2
PIXELS = torch.randint(0, 256, (N, 3, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(N)
"""Each image its own label: a batch says which images it has."""
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def crops(**changes: object) -> Crops:
    options = {"mean": MEAN, "std": STD, "batch": 8, "shift": SHIFT, "flip": True, "seed": 1} | changes
    return Crops(PIXELS, LABELS, **options)  # type: ignore[arg-type]


def variants(index: int) -> dict[tuple[int, int, bool], Tensor]:
    """Every crop of one image, cut by hand, in percent of the 8 bits."""
    image = PIXELS[index].float()
    border = torch.tensor([round(255 * value) for value in MEAN]).view(3, 1, 1).float()
    padded = F.pad(image - border, (SHIFT,) * 4) + border
    found = {}
    for dy in range(2 * SHIFT + 1):
        for dx in range(2 * SHIFT + 1):
            window = padded[:, dy : dy + SIDE, dx : dx + SIDE]
            found[dy, dx, False], found[dy, dx, True] = window, window.flip(2)
    return found


def choice(image: Tensor, label: int) -> tuple[int, int, bool]:
    pixels = (image * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)) * 255
    (made,) = (key for key, value in variants(label).items() if torch.allclose(value, pixels, atol=1e-3))
    return made


def test_every_image_is_one_of_its_crops_and_all_choices_are_used() -> None:
    batches = crops()
    seen = []
    for epoch in range(12):
        labels = []
        for index in range(batches.per_epoch):
            images, found = batches.make(epoch, index)
            assert images.is_contiguous(memory_format=torch.channels_last)
            seen += [choice(image, int(label)) for image, label in zip(images, found, strict=True)]
            labels += found.tolist()
        assert sorted(labels) == list(range(N)), "an epoch has every image once"
    assert {dy for dy, _, _ in seen} == {dx for _, dx, _ in seen} == set(range(2 * SHIFT + 1))
    assert 0.4 < sum(flip for _, _, flip in seen) / len(seen) < 0.6


def test_a_batch_depends_on_seed_and_epoch_alone() -> None:
    one, other = crops(), crops()
    other.make(0, 2)
    for epoch, index in ((3, 1), (0, 0)):
        for ours, theirs in zip(one.make(epoch, index), other.make(epoch, index), strict=True):
            assert torch.equal(ours, theirs)
    orders = {tuple(crops(seed=seed).make(epoch, 0)[1].tolist()) for seed in (1, 2) for epoch in (0, 1)}
    assert len(orders) == 4


def test_without_augmentation_images_stay_as_they_are() -> None:
    images, labels = crops(shift=0, flip=False).make(0, 0)
    expected = (PIXELS[labels] / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    torch.testing.assert_close(images, expected, atol=1e-5, rtol=0)


def test_the_last_incomplete_batch_is_left_out() -> None:
    assert crops(batch=7).per_epoch == 3


def test_processes_share_each_batch() -> None:
    whole = crops().make(2, 1)
    parts = [crops(share=(rank, 2)).make(2, 1) for rank in range(2)]
    for index in range(2):
        assert torch.equal(torch.cat([part[index] for part in parts]), whole[index])
