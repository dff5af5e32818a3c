"""Faults of what training leaves out: stochastic depth (Huang 2016) and effective paths (Veit 2016)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from resbench.faults.fault import Fault
from resbench.faults.patching import replaced, wrapped

if TYPE_CHECKING:
    from torch import Tensor

    from resbench.networks.residual import ResidualNetwork
    from resbench.networks.units import ComposedUnit

__all__ = ["FAULTS"]

Injected = AbstractContextManager[None]

_SAMPLING = "resbench.networks.sampling"


# --- draws ----------------------------------------------------------------------------------------------------------


def _draws(edit: Callable[[Tensor], Tensor]) -> Injected:
    from resbench.networks.sampling import Survival

    return wrapped(Survival, "draw", lambda original: lambda self: edit(original(self)))


def _never_drops() -> Injected:
    return _draws(lambda draw: draw.new_ones(draw.shape))


def _always_drops() -> Injected:
    return _draws(lambda draw: draw.new_zeros(draw.shape))


def _never_drawn_anew() -> Injected:
    from resbench.networks.sampling import Survival

    def faulty(original: Callable[[Survival], Tensor]) -> Callable[[Survival], Tensor]:
        def draw(self: Survival) -> Tensor:
            states = self.states()
            drawn = original(self)
            self.restore(states)
            return drawn

        return draw

    return wrapped(Survival, "draw", faulty)


def _drops_per_image() -> Injected:
    import torch

    from resbench.networks.residual import ResidualNetwork
    from resbench.networks.sampling import Survival

    def faulty(original: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def forward(self: ResidualNetwork, x: Tensor) -> Tensor:
            if not self.training or self.copies > 1 or not isinstance(self.sampler, Survival):
                return original(self, x)
            draws = torch.cat([self.sampler.draw() for _ in range(len(x))])
            self.last_draw = draws[:1]
            x = self.stem(x)
            for unit, keep in zip(self.residual_units(), draws.unbind(1), strict=True):
                x = unit.after(unit.shortcut(x) + unit.branch(x) * keep.view(-1, 1, 1, 1).to(x))
            return self.head(x)

        return forward

    return wrapped(ResidualNetwork, "forward", faulty)


def _dropped_branch_computed() -> Injected:
    from resbench.networks.units import ComposedUnit

    def faulty(original: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def forward(self: ComposedUnit, x: Tensor, active: Tensor | None = None) -> Tensor:
            if active is not None and len(active) == 0:
                return self.after(self.shortcut(x) + 0.0 * self.branch(x))
            return original(self, x, active)

        return forward

    return wrapped(ComposedUnit, "forward", faulty)


# --- schedules ------------------------------------------------------------------------------------------------------

Rule = Callable[[int, float], tuple[float, ...]]


def _linear(faulty: Callable[[Rule], Rule]) -> Injected:
    return wrapped(_SAMPLING, "linear_decay", faulty)


def _from_first() -> Injected:
    def rule(n: int, p_last: float) -> tuple[float, ...]:
        return tuple(1.0 - (unit / max(1, n - 1)) * (1.0 - p_last) for unit in range(n))

    return _linear(lambda _: rule)


def _reversed() -> Injected:
    return _linear(lambda original: lambda n, p_last: original(n, p_last)[::-1])


def _p_last_ignored() -> Injected:
    return _linear(lambda original: lambda n, p_last: original(n, 0.5))


# --- test time ------------------------------------------------------------------------------------------------------


def _scales(scale: Callable[[ComposedUnit], float]) -> Injected:
    from resbench.networks.units import ComposedUnit

    return replaced(ComposedUnit, "scale", property(scale))


def _no_test_scaling() -> Injected:
    return _scales(lambda unit: unit.branch_scale)


def _scaled_twice() -> Injected:
    return _scales(lambda unit: unit.branch_scale * (1.0 if unit.training else unit.test_scale**2))


def _scaled_in_training() -> Injected:
    return _scales(lambda unit: unit.branch_scale * (unit.test_scale if unit.training else 1.0))


# --- effective paths ------------------------------------------------------------------------------------------------


def _units_used(more: int) -> Injected:
    from resbench.networks.sampling import ExactlyK

    def faulty(original: Callable[..., None]) -> Callable[..., None]:
        def build(self: ExactlyK, n: int, k: int, seeds: Sequence[int]) -> None:
            original(self, n, min(n, max(0, k + more)), seeds)

        return build

    return wrapped(ExactlyK, "__init__", faulty)


def _one_more() -> Injected:
    return _units_used(1)


def _one_less() -> Injected:
    return _units_used(-1)


FAULTS: tuple[Fault, ...] = (
    Fault(
        "drop-never",
        "network",
        "No unit is ever dropped, as where the distribution object and not its draw is tested for truth.",
        _never_drops,
        ("huang-update", "huang-survival-linear", "huang-expected-depth", "unit-drop-frequency"),
    ),
    Fault(
        "drop-always",
        "network",
        "Every unit is dropped in every pass: the comparison with the random number is the wrong way round at its end.",
        _always_drops,
        ("huang-update", "huang-survival-linear", "huang-time-saving-25", "huang-test-rule", "unit-drop-frequency"),
    ),
    Fault(
        "drop-never-drawn-anew",
        "network",
        "The same units are dropped in every mini-batch: the generator is seeded again before each draw.",
        _never_drawn_anew,
        ("huang-update", "huang-survival-uniform", "unit-drop-frequency"),
    ),
    Fault(
        "drop-per-image",
        "network",
        "Each image of a mini-batch has a draw of its own, as in most libraries' drop path.",
        _drops_per_image,
        ("huang-update", "huang-time-saving-25"),
    ),
    Fault(
        "dropped-branch-computed",
        "network",
        "A dropped branch is computed and multiplied by zero, which saves no time.",
        _dropped_branch_computed,
        ("huang-time-saving-25", "huang-speed-consistent-25"),
    ),
    Fault(
        "schedule-from-first",
        "network",
        "Survival decays with (l - 1) / (L - 1), so that the first unit always survives, as in timm.",
        _from_first,
        ("huang-survival-linear", "huang-test-rule", "unit-drop-frequency", "unit-test-is-expectation"),
    ),
    Fault(
        "schedule-reversed",
        "network",
        "The first units are dropped most, the last least.",
        _reversed,
        ("huang-survival-linear", "huang-test-rule", "unit-drop-frequency"),
    ),
    Fault(
        "schedule-ignores-p-last",
        "network",
        "Survival decays to 1/2 whatever p_L is asked for.",
        _p_last_ignored,
        ("huang-survival-linear", "huang-time-saving-40"),
    ),
    Fault(
        "test-scaling-missing",
        "network",
        "Branches are not multiplied by their survival probability at test time.",
        _no_test_scaling,
        ("huang-test-rule", "unit-test-is-expectation"),
    ),
    Fault(
        "test-scaling-twice",
        "network",
        "Branches are multiplied by their survival probability twice: in the unit and in its preparation.",
        _scaled_twice,
        ("huang-test-rule", "unit-test-is-expectation"),
    ),
    Fault(
        "test-scaling-in-training",
        "network",
        "Branches are multiplied by their survival probability in training and not at test time.",
        _scaled_in_training,
        ("huang-update", "huang-test-rule"),
    ),
    Fault(
        "paths-one-unit-more",
        "network",
        "Effective-path training uses k + 1 units in a mini-batch.",
        _one_more,
        ("veit-23-modules",),
    ),
    Fault(
        "paths-one-unit-less",
        "network",
        "Effective-path training uses k - 1 units in a mini-batch.",
        _one_less,
        ("veit-23-modules",),
    ),
)
