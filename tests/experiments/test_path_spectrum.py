"""The exact gradient by path length against every path of small networks, multiplied out by hand in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from resbench.experiments.linearised import Linearised, Map, linear_units
from resbench.experiments.path_spectrum import coefficients, signal_by_length, through_units

WIDTH, IMAGES = 3, 2
STAGES = [0, 0, 1, 1, 2]
N = len(STAGES)


class Unit(nn.Module):
    """``after(shortcut(x) + branch(x))`` on vectors; ``shortcut``: None for the identity."""

    def __init__(
        self, scale: float = 1.0, shortcut: nn.Module | None = None, after: Callable[[Tensor], Tensor] = torch.tanh
    ):
        super().__init__()
        self.scale, self.kept, self.last = scale, shortcut, after
        self.one, self.two = nn.Linear(WIDTH, 5), nn.Linear(5, WIDTH)

    def shortcut(self, x: Tensor) -> Tensor:
        return x if self.kept is None else self.kept(x)

    def branch(self, x: Tensor) -> Tensor:
        return self.scale * self.two(torch.tanh(self.one(x)))

    def after(self, x: Tensor) -> Tensor:
        return self.last(x)


class Zero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def network(seed: int = 0, dtype: torch.dtype = torch.float64) -> list[Unit]:
    torch.manual_seed(seed)
    shortcuts = [None, nn.Linear(WIDTH, WIDTH), None, None, nn.Linear(WIDTH, WIDTH, bias=False)]
    return [Unit(1.0 + i / 4, shortcut).to(dtype) for i, shortcut in enumerate(shortcuts)]


def pass_of(units: list[Unit], dtype: torch.dtype = torch.float64) -> Linearised:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(IMAGES, WIDTH, generator=generator, dtype=torch.float64).to(dtype)
    gradient = torch.randn(IMAGES, WIDTH, generator=generator, dtype=torch.float64).to(dtype)
    found, _ = linear_units(units, x)
    return Linearised(Map(x, x), found, gradient)


def jacobians(units: list[Unit]) -> list[list[tuple[Tensor, Tensor]]]:
    """For each image and unit the matrices of its shortcut and of its branch, each with what follows the addition."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(IMAGES, WIDTH, generator=generator, dtype=torch.float64)
    found = []
    for x in images:
        found.append([])
        for unit in units:
            total = unit.shortcut(x) + unit.branch(x)
            after = torch.func.jacrev(unit.after)(total)
            found[-1].append((after @ torch.func.jacrev(unit.shortcut)(x), after @ torch.func.jacrev(unit.branch)(x)))
            x = unit.after(total)
    return found


def by_hand(units: list[Unit]) -> Iterator[tuple[tuple[int, ...], Tensor]]:
    """Every path and its gradient: the transposed matrices from the last unit to the first."""
    gradient, found = pass_of(units).gradient, jacobians(units)
    for path in product((0, 1), repeat=len(units)):
        rows = []
        for image, row in zip(found, gradient, strict=True):
            for unit, through in zip(reversed(image), reversed(path), strict=True):
                row = unit[through].T @ row
            rows.append(row)
        yield path, torch.stack(rows)


def added(units: list[Unit], chosen: Callable[[tuple[int, ...]], bool]) -> Tensor:
    return torch.stack([row for path, row in by_hand(units) if chosen(path)]).sum(0)


def test_every_length_is_the_sum_of_its_paths() -> None:
    units = network()
    rows = coefficients(pass_of(units)).plain()
    assert len(rows) == N + 1
    for length, row in enumerate(rows):
        expected = added(units, lambda path, k=length: sum(path) == k)
        torch.testing.assert_close(row, expected, rtol=1e-11, atol=1e-13)


def test_the_lengths_sum_to_the_ordinary_gradient() -> None:
    units = network()
    full = pass_of(units)
    start = x = full.units[0].shortcut.source.detach().clone().requires_grad_()
    for unit in units:
        x = unit.after(unit.shortcut(x) + unit.branch(x))
    (expected,) = torch.autograd.grad(x, start, full.gradient)
    rows = coefficients(full)
    torch.testing.assert_close(rows.total(), expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(through_units(full, STAGES).total, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("longest", [0, 1, 3, 4, 5, 9])
def test_longer_paths_are_gathered_in_one_row(longest: int) -> None:
    full = pass_of(network())
    every = coefficients(full).plain()
    rows = coefficients(full, longest=longest).plain()
    assert len(rows) == min(longest + 2, N + 1)
    torch.testing.assert_close(rows[: longest + 1], every[: longest + 1], rtol=1e-12, atol=0)
    if longest < N:
        torch.testing.assert_close(rows[-1], every[longest + 1 :].sum(0), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("longest", [None, 2])
def test_blocks_change_nothing(longest: int | None) -> None:
    full = pass_of(network())
    row = WIDTH * IMAGES * 8
    whole = coefficients(full, longest=longest, block_bytes=100 * row).plain()
    for rows in (1, 2, 3):
        parts = coefficients(full, longest=longest, block_bytes=rows * row).plain()
        torch.testing.assert_close(parts, whole, rtol=1e-13, atol=0)
    one, other = (through_units(full, STAGES, block_bytes=rows * row) for rows in (1, 100))
    torch.testing.assert_close(one.units, other.units, rtol=1e-13, atol=0)


def test_participation_is_the_sum_of_the_paths_through_a_unit_and_past_a_stage() -> None:
    units = network()
    found = through_units(pass_of(units), STAGES)
    for index in range(N):
        expected = added(units, lambda path, i=index: path[i] == 1)
        torch.testing.assert_close(found.units[index], expected, rtol=1e-11, atol=1e-13)
    for stage in range(3):
        expected = added(
            units, lambda path, s=stage: not any(p for p, own in zip(path, STAGES, strict=True) if own == s)
        )
        torch.testing.assert_close(found.without[stage], expected, rtol=1e-11, atol=1e-13)


def test_units_sum_to_the_mean_number_of_branches() -> None:
    """Each path counts once for every branch on it: the derivative of the polynomial at one."""
    full = pass_of(network())
    lengths = torch.arange(N + 1, dtype=torch.float64)
    expected = torch.tensordot(lengths, coefficients(full).plain(), dims=1)
    torch.testing.assert_close(through_units(full, STAGES).units.sum(0), expected, rtol=1e-11, atol=1e-13)


def test_forward_signals_by_length() -> None:
    units = network()
    full = pass_of(units)
    tangent = torch.randn(IMAGES, WIDTH, dtype=torch.float64)
    rows = signal_by_length(full.units, tangent).plain()
    for length in range(N + 1):
        expected = torch.zeros(IMAGES, WIDTH, dtype=torch.float64)
        for path in (path for path in product((0, 1), repeat=N) if sum(path) == length):
            for index, image in enumerate(jacobians(units)):
                row = tangent[index]
                for unit, through in zip(image, path, strict=True):
                    row = unit[through] @ row
                expected[index] += row
        torch.testing.assert_close(rows[length], expected, rtol=1e-11, atol=1e-13)
    # Forwards and backwards are each other's transpose.
    backward = coefficients(full).plain()
    for forth, back in zip(rows, backward, strict=True):
        assert float((forth * full.gradient).sum()) == pytest.approx(float((back * tangent).sum()), rel=1e-10)
    torch.testing.assert_close(
        signal_by_length(full.units, tangent, longest=1).plain()[2], rows[2:].sum(0), rtol=1e-11, atol=1e-13
    )


def deep(dtype: torch.dtype, shortcut: nn.Module | None, n: int = 40) -> Linearised:
    torch.manual_seed(0)
    units = [Unit(1e-3, shortcut, lambda x: 1.0 * x).double() for _ in range(n)]
    return pass_of([unit.to(dtype) for unit in units], dtype)


def test_long_paths_do_not_underflow_in_single_precision() -> None:
    """40 branches of 1e-3 are 1e-120, below float32; the number of paths of length 20 is 1e11."""
    logs = {dtype: coefficients(deep(dtype, None)).log_norms() for dtype in (torch.float32, torch.float64)}
    assert float(logs[torch.float64][-1].max()) < math.log(1e-120)
    torch.testing.assert_close(logs[torch.float32], logs[torch.float64], rtol=0, atol=1e-4)


def test_without_shortcuts_there_is_one_path() -> None:
    for dtype in (torch.float32, torch.float64):
        logs = coefficients(deep(dtype, Zero())).log_norms()
        assert bool(torch.isneginf(logs[:-1]).all())
        assert bool(logs[-1].isfinite().all())
        assert float(logs[-1].max()) < math.log(1e-120)


def test_a_row_of_zeros_sets_no_scale() -> None:
    """The last 30 units have no shortcut: every path has length 30 at least, and arrives at the others with 1e-90."""
    logs = {}
    for dtype in (torch.float32, torch.float64):
        torch.manual_seed(0)
        units = [Unit(1e-3, None if i < 10 else Zero(), lambda x: 1.0 * x).double() for i in range(40)]
        logs[dtype] = coefficients(pass_of([unit.to(dtype) for unit in units], dtype)).log_norms()
    assert bool(torch.isneginf(logs[torch.float32][:30]).all())
    torch.testing.assert_close(logs[torch.float32][30:], logs[torch.float64][30:], rtol=0, atol=1e-4)


def test_norms_are_those_of_each_image() -> None:
    rows = coefficients(pass_of(network()))
    torch.testing.assert_close(rows.log_norms().exp(), rows.plain().norm(dim=2), rtol=1e-12, atol=0)


def test_bad_arguments() -> None:
    full = pass_of(network())
    with pytest.raises(ValueError, match="length of 0 or more"):
        coefficients(full, longest=-1)
    with pytest.raises(ValueError, match="2 stages for 5 units"):
        through_units(full, [0, 1])
