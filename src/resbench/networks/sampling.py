"""Which units a training pass uses: survival schedules (Huang 2016) and effective-path training (Veit 2016).

A sampler draws one boolean per unit and mini-batch (Huang, equation 2: one Bernoulli draw per block and
mini-batch, not per image).  Draws come from one generator per copy, so a copy's draws do not depend on which
other copies train beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor

__all__ = [
    "ExactlyK",
    "Sampler",
    "Schedule",
    "Survival",
    "linear_decay",
    "linear_decay_from_first",
    "make_sampler",
    "uniform",
]

Schedule = Literal["linear", "linear-from-first", "uniform", "exactly"]
"""The schedules by name, each with one value: p_L of the survival schedules, k of ``exactly``."""


def linear_decay(n: int, p_last: float) -> tuple[float, ...]:
    """Survival probabilities ``p_l = 1 - (l / L) (1 - p_L)``, ``l = 1..n`` (Huang, equation 4).

    The *input* survives surely (``p_0 = 1``), so the first unit already has ``p_1 < 1``.
    """
    _check_probability(p_last)
    return tuple(1.0 - (unit / n) * (1.0 - p_last) for unit in range(1, n + 1))


def linear_decay_from_first(n: int, p_last: float) -> tuple[float, ...]:
    """``p_l = 1 - ((l - 1) / (L - 1)) (1 - p_L)``: the first unit always survives.

    **Not** Huang's rule, nor that of the authors' code (both are :func:`linear_decay`): timm's and many other
    reimplementations decay so.  A lone unit survives surely.
    """
    _check_probability(p_last)
    return tuple(1.0 - (unit / max(1, n - 1)) * (1.0 - p_last) for unit in range(n))


def uniform(n: int, p_last: float) -> tuple[float, ...]:
    """``p_l = p_L`` for every unit."""
    _check_probability(p_last)
    return (p_last,) * n


def _check_probability(p: float) -> None:
    if not 0.0 < p <= 1.0:
        raise ValueError(f"a survival probability lies in (0, 1], not {p}")


class Sampler(Protocol):
    """Draws the units that one training pass uses."""

    def draw(self) -> Tensor:
        """Booleans ``(copies, units)``: True where the branch is computed."""
        ...

    def inclusion(self) -> tuple[float, ...]:
        """The probability of each unit to be used, length ``units``."""
        ...


class _Seeded:
    """Draws from one generator a copy, which can be kept and restored."""

    def __init__(self, seeds: Sequence[int]):
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def states(self) -> list[Tensor]:
        """What the next draws depend on, uint8, one tensor a copy."""
        return [generator.get_state() for generator in self._generators]

    def restore(self, states: Sequence[Tensor]) -> None:
        """Go on from :meth:`states`."""
        for generator, state in zip(self._generators, states, strict=True):
            generator.set_state(state)


class Survival(_Seeded):
    """Stochastic depth: unit ``l`` survives with probability ``p_l``, independently (Huang, equation 2)."""

    def __init__(self, probabilities: Sequence[float], seeds: Sequence[int]):
        for p in probabilities:
            _check_probability(p)
        super().__init__(seeds)
        self._probabilities = torch.tensor(tuple(probabilities), dtype=torch.float64)

    def draw(self) -> Tensor:
        n = len(self._probabilities)
        uniforms = torch.stack([torch.rand(n, generator=g, dtype=torch.float64) for g in self._generators])
        return uniforms < self._probabilities

    def inclusion(self) -> tuple[float, ...]:
        return tuple(self._probabilities.tolist())


class ExactlyK(_Seeded):
    """Effective-path training: exactly ``k`` of ``n`` units, drawn uniformly (Veit, section 5: 23 of 54)."""

    def __init__(self, n: int, k: int, seeds: Sequence[int]):
        if not 0 <= k <= n:
            raise ValueError(f"cannot use exactly {k} of {n} units")
        super().__init__(seeds)
        self._n, self._k = n, k

    def draw(self) -> Tensor:
        keep = torch.zeros(len(self._generators), self._n, dtype=torch.bool)
        for row, generator in zip(keep, self._generators, strict=True):
            row[torch.randperm(self._n, generator=generator)[: self._k]] = True
        return keep

    def inclusion(self) -> tuple[float, ...]:
        return (self._k / self._n,) * self._n


def make_sampler(schedule: Schedule, n: int, value: float, seeds: Sequence[int]) -> Sampler:
    """The sampler of a named schedule over ``n`` units, one generator a copy.

    ``exactly`` is effective-path training with ``k = value``; the others are stochastic depth with ``p_L = value``.
    A list of probabilities of one's own goes to :class:`Survival` directly.
    """
    if schedule == "exactly":
        return ExactlyK(n, int(value), seeds)
    rules = {"linear": linear_decay, "linear-from-first": linear_decay_from_first, "uniform": uniform}
    return Survival(rules[schedule](n, value), seeds)
