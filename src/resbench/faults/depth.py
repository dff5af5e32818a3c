"""Faults of what training leaves out: stochastic depth (Huang 2016) and effective paths (Veit 2016)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from resbench.faults.described import Injected, described
from resbench.faults.fault import Fault
from resbench.faults.patching import replaced, wrapped
from resbench.networks import sampling
from resbench.networks.residual import ResidualNetwork
from resbench.networks.sampling import ExactlyK, Survival
from resbench.networks.units import ComposedUnit

__all__ = ["FAULTS"]

# --- draws ----------------------------------------------------------------------------------------------------------


def _draws(edit: Callable[[Tensor], Tensor]) -> Injected:

    return wrapped(Survival, "draw", lambda original: lambda self: edit(original(self)))


def drop_never() -> Injected:
    """No unit is ever dropped, as where the distribution object and not its draw is tested for truth."""
    return _draws(lambda draw: draw.new_ones(draw.shape))


def drop_always() -> Injected:
    """Every unit is dropped in every pass: the comparison with the random number is the wrong way round at its end."""
    return _draws(lambda draw: draw.new_zeros(draw.shape))


def drop_never_drawn_anew() -> Injected:
    """The same units are dropped in every mini-batch: the generator is seeded again before each draw."""

    def faulty(original: Callable[[Survival], Tensor]) -> Callable[[Survival], Tensor]:
        def draw(self: Survival) -> Tensor:
            states = self.states()
            drawn = original(self)
            self.restore(states)
            return drawn

        return draw

    return wrapped(Survival, "draw", faulty)


def drop_per_image() -> Injected:
    """Each image of a mini-batch has a draw of its own, as in most libraries' drop path."""

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


def dropped_branch_computed() -> Injected:
    """A dropped branch is computed and multiplied by zero, which saves no time."""

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
    return wrapped(sampling, "linear_decay", faulty)


def schedule_from_first() -> Injected:
    """Survival decays with (l - 1) / (L - 1), so that the first unit always survives, as in timm."""
    return _linear(lambda _: lambda n, p_last: sampling.linear_decay_from_first(n, p_last))


def schedule_reversed() -> Injected:
    """The first units are dropped most, the last least."""
    return _linear(lambda original: lambda n, p_last: original(n, p_last)[::-1])


def schedule_ignores_p_last() -> Injected:
    """Survival decays to 1/2 whatever p_L is asked for."""
    return _linear(lambda original: lambda n, p_last: original(n, 0.5))


# --- test time ------------------------------------------------------------------------------------------------------


def _scales(scale: Callable[[ComposedUnit], float]) -> Injected:

    return replaced(ComposedUnit, "scale", property(scale))


def test_scaling_missing() -> Injected:
    """Branches are not multiplied by their survival probability at test time."""
    return _scales(lambda unit: unit.branch_scale)


def test_scaling_twice() -> Injected:
    """Branches are multiplied by their survival probability twice: in the unit and in its preparation."""
    return _scales(lambda unit: unit.branch_scale * (1.0 if unit.training else unit.test_scale**2))


def test_scaling_in_training() -> Injected:
    """Branches are multiplied by their survival probability in training and not at test time."""
    return _scales(lambda unit: unit.branch_scale * (unit.test_scale if unit.training else 1.0))


# --- effective paths ------------------------------------------------------------------------------------------------


def _units_used(more: int) -> Injected:

    def faulty(original: Callable[..., None]) -> Callable[..., None]:
        def build(self: ExactlyK, n: int, k: int, seeds: Sequence[int]) -> None:
            original(self, n, min(n, max(0, k + more)), seeds)

        return build

    return wrapped(ExactlyK, "__init__", faulty)


def paths_one_unit_more() -> Injected:
    """Effective-path training uses k + 1 units in a mini-batch."""
    return _units_used(1)


def paths_one_unit_less() -> Injected:
    """Effective-path training uses k - 1 units in a mini-batch."""
    return _units_used(-1)


def paths_ignore_k() -> Injected:
    """Effective-path training uses all units in every mini-batch, whatever k."""
    return wrapped(ExactlyK, "draw", lambda original: lambda self: torch.ones_like(original(self)))


FAULTS: tuple[Fault, ...] = (
    described(
        "network",
        drop_never,
        "huang-update@any",
        "huang-survival-linear",
        "huang-expected-depth@target",
        "unit-drop-frequency",
    ),
    described(
        "network",
        drop_always,
        "huang-update@any",
        "huang-survival-linear",
        "huang-time-saving-25@any",
        "huang-test-rule",
        "unit-drop-frequency",
    ),
    described("network", drop_never_drawn_anew, "huang-update@any", "huang-survival-uniform", "unit-drop-frequency"),
    described("network", drop_per_image, "huang-update@any", "huang-time-saving-25@any"),
    described("network", dropped_branch_computed, "huang-time-saving-25@any", "huang-speed-consistent-25@digits"),
    described(
        "network",
        schedule_from_first,
        "huang-survival-linear",
        "huang-test-rule",
        "unit-drop-frequency",
        "unit-test-is-expectation",
    ),
    described("network", schedule_reversed, "huang-survival-linear", "huang-test-rule", "unit-drop-frequency"),
    described("network", schedule_ignores_p_last, "huang-survival-linear", "huang-time-saving-40"),
    described("network", test_scaling_missing, "huang-test-rule", "unit-test-is-expectation"),
    described("network", test_scaling_twice, "huang-test-rule", "unit-test-is-expectation"),
    described("network", test_scaling_in_training, "huang-update@any", "huang-test-rule"),
    described("network", paths_one_unit_more, "veit-23-modules"),
    described("network", paths_one_unit_less, "veit-23-modules"),
    described("network", paths_ignore_k, "veit-23-modules@any", "huang-grad-caveat"),
)
