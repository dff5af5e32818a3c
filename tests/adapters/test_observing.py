"""observe: what units really do, in any mode."""

from __future__ import annotations

import pytest
import torch
from small_models import Block, Chain, Flat, Function, PreactUnit, conv, images
from torch import Tensor, nn

from resbench.adapters import adapt, observe


@pytest.mark.parametrize(
    "model", [Chain(PreactUnit(4), PreactUnit(4)), Chain(Block(4)), Flat()], ids=["pre", "two", "flat"]
)
@torch.no_grad()
def test_sides_of_the_addition(model: nn.Module) -> None:
    model.eval()
    x = images(3)
    units = adapt(model, images())
    before = model(x)
    for unit, seen in zip(units, observe(model, units, x), strict=True):
        assert seen is not None
        assert seen.branch is not None
        assert seen.shortcut is not None
        given = seen.x if seen.x is not None else seen.shortcut
        if seen.x is not None:
            torch.testing.assert_close(seen.branch, unit.branch(given))
            torch.testing.assert_close(seen.shortcut, unit.shortcut(given))
        total = seen.shortcut + seen.branch
        torch.testing.assert_close(unit.after(total) if unit.place.whole else total, seen.output)
    assert torch.equal(model(x), before)


@torch.no_grad()
def test_branches_that_are_summed_first() -> None:
    model = Chain(Function(lambda self, x: self.a(x) + self.b(x) + x, a=conv(4, 4), b=conv(4, 4))).eval()
    units = adapt(model, images())
    (seen,) = observe(model, units, images())
    assert seen is not None
    assert seen.x is not None
    assert seen.branch is not None
    torch.testing.assert_close(seen.branch, model.units[0].a(seen.x) + model.units[0].b(seen.x))
    model = Chain(Function(lambda self, x: x + self.a(x) + self.b(x), a=conv(4, 4), b=conv(4, 4))).eval()
    units = adapt(model, images())
    (seen,) = observe(model, units, images())
    assert seen is not None
    assert seen.x is not None
    assert seen.branch is not None
    torch.testing.assert_close(seen.branch, model.units[0].a(seen.x) + model.units[0].b(seen.x))


class Dropping(nn.Module):
    """Skips its branch every second training pass."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.passes = conv(4, 4), 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += self.training
        if self.training and self.passes % 2:
            return x
        return x + self.conv(x)


@torch.no_grad()
def test_skipped_branches() -> None:
    model = Chain(Dropping(), Dropping()).eval()
    units = adapt(model, images())
    model.train()
    first, second = observe(model, units, images()), observe(model, units, images())
    assert all(seen is not None and seen.branch is None and torch.equal(seen.output, seen.x) for seen in first if seen)
    assert all(seen is not None and seen.branch is not None for seen in second)


@torch.no_grad()
def test_inputs_before_they_are_overwritten() -> None:
    model = Chain(PreactUnit(4, "in-place")).eval()
    units = adapt(model, images())
    (seen,) = observe(model, units, images())
    assert seen is not None
    assert seen.x is not None
    assert seen.shortcut is not None
    assert (seen.x < 0).any()
    assert torch.equal(seen.shortcut, seen.x.relu())


def test_gradients_reach_the_inputs() -> None:
    model = Chain(PreactUnit(4), PreactUnit(4)).eval()
    units = adapt(model, images())
    first, second = observe(model, units, images())
    assert first is not None
    assert second is not None
    vector = torch.randn(second.output.shape)
    (gradient,) = torch.autograd.grad(second.output, first.x, vector)
    assert gradient.abs().sum() > 0


def test_units_that_are_not_called() -> None:
    model = Function(lambda self, x: self.a(self.stem(x)) if self.training else self.b(self.a(self.stem(x))),
                     stem=conv(3, 4), a=PreactUnit(4), b=PreactUnit(4))  # fmt: skip
    units = adapt(model, images())
    assert len(units) == 2
    model.train()
    assert observe(model, units, images())[1] is None
