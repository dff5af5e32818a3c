"""What real architectures do that small examples did not show; each model is the smallest that does it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resbench.adapters import adapt, deleted, exchanged


def _conv(channels: int = 4) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())


class _Caching(nn.Module):
    """Like LeViT's attention biases: computed by the first pass in test mode, forgotten at every change of mode."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.ones(4, 1, 1))
        self.cached: Tensor | None = None
        self.conv = _conv()

    def train(self, mode: bool = True) -> _Caching:
        self.cached = None
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        if self.cached is None:
            self.cached = self.bias * 2 + 1
        return x + self.conv(x * self.cached)


class _Gated(nn.Module):
    """Like CSATv2's block: the branch is multiplied by a small network that has residual units of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.first, self.second = _conv(), _conv(1), _conv(1)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.conv(x)
        gate = branch.mean(1, keepdim=True)
        gate = gate + self.first(gate)
        gate = gate + self.second(gate)
        return x + branch * gate


class _Scaled(nn.Module):
    """Like the MetaFormers: a learnt scale on the shortcut, 1 at first, beside a branch without weight layers."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.norm = nn.Parameter(torch.ones(4, 1, 1)), nn.GroupNorm(1, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        return x * self.scale + (F.avg_pool2d(y, 3, 1, 1) - y)


class _Parallel(nn.Module):
    """Like PNASNet's cells: a convolution beside a pooling, which is no shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = _conv()

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, 1, 1) + self.conv(x)


class _Layouts(nn.Module):
    """Like timm's Swin: units on images (H, W, C) take turns with units on sequences (H * W, C)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(3, 3) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        n, h, w, c = x.shape
        for number, layer in enumerate(self.layers):
            x = x.reshape(n, h, w, c) if number % 2 == 0 else x.reshape(n, h * w, c)
            x = x + layer(x).relu()
        return x.mean(1)


def test_a_first_pass_may_differ_from_the_others() -> None:
    model, images = nn.Sequential(nn.Conv2d(3, 4, 1), _Caching(), _Caching()).train(), torch.randn(2, 3, 8, 8)
    units = adapt(model, images)
    assert [unit.name for unit in units] == ["1", "2"]
    with torch.no_grad():
        x = model[0](images)
        for unit, module in zip(units, model[1:], strict=True):
            torch.testing.assert_close(unit.example, x)
            x = module(x)


def test_units_beside_the_way_do_not_make_a_group() -> None:
    units = adapt(nn.Sequential(nn.Conv2d(3, 4, 1), _Gated(), _Gated()), torch.randn(2, 3, 8, 8))
    assert [unit.name for unit in units] == ["1", "2"]


def test_a_long_skip_over_units_is_still_none() -> None:
    class Long(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.units = nn.Sequential(_Gated(), _Gated(), _Gated())

        def forward(self, x: Tensor) -> Tensor:
            return x + self.units(x)

    units = adapt(nn.Sequential(nn.Conv2d(3, 4, 1), Long()), torch.randn(2, 3, 8, 8))
    assert [unit.name for unit in units] == ["1.units.0", "1.units.1", "1.units.2"]


def test_a_learnt_scale_is_no_identity_although_it_is_one() -> None:
    units = adapt(nn.Sequential(nn.Conv2d(3, 4, 1), _Scaled()), torch.randn(2, 3, 8, 8))
    assert [(unit.name, unit.shortcut_kind) for unit in units] == [("1", "altered")]


def test_a_pooling_beside_a_convolution_is_no_unit() -> None:
    units = adapt(nn.Sequential(nn.Conv2d(3, 4, 1), _Parallel(), _Gated()), torch.randn(2, 3, 8, 8))
    assert [unit.name for unit in units] == ["2"]


def test_a_change_of_layout_begins_no_stage() -> None:
    model, images = _Layouts(), torch.randn(2, 3, 4, 4)
    units = adapt(model, images)
    assert [unit.stage for unit in units] == [0, 0, 0, 0]
    assert units[0].group == units[2].group != units[1].group == units[3].group
    with exchanged(units, [2, 3, 0, 1]):
        lesioned = model(images)
    assert lesioned.shape == model(images).shape
    assert not torch.equal(lesioned, model(images))


def test_the_first_unit_may_begin_at_the_image() -> None:
    class First(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convs = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1) for _ in range(2))

        def forward(self, x: Tensor) -> Tensor:
            for conv in self.convs:
                x = x + conv(x).relu()
            return x

    model, images = First(), torch.randn(2, 3, 8, 8)
    first, second = adapt(model, images)
    assert torch.equal(first.example, images)
    with torch.no_grad():
        torch.testing.assert_close(second.example, images + model.convs[0](images).relu())
        with deleted([first, second], [0, 1]):
            assert torch.equal(model(images), images)
