"""Broken networks go red: every fault is VIOLATED on the claims that it should break."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn

from resbench.claims import load_claims, select
from resbench.experiments import schedules, structure_draws, structure_he, structure_huang, structure_veit
from resbench.judge import Status
from resbench.networks import sampling, units
from resbench.plan import Run, items_of


def statuses(*ids: str) -> dict[str, Status]:
    """Verdicts on the structural and exact parts of the claims ``ids``."""
    for module in (structure_draws, structure_he, structure_huang, structure_veit):
        for member in vars(module).values():
            if hasattr(member, "cache_clear"):  # what was measured before the fault must not answer for it
                member.cache_clear()
    items = items_of(select(load_claims(), ids), kinds=("exact", "structural"))
    assert items
    return {verdict.id: verdict.status for verdict in Run(items).verdicts()}


def scaled_shortcut(patch: pytest.MonkeyPatch) -> None:
    original = units._skip
    patch.setattr(units, "_skip", lambda *args: nn.Sequential(original(*args), units.Scale(0.9)))


def detached_shortcut(patch: pytest.MonkeyPatch) -> None:
    class Detached(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.detach()

    original = units._skip
    patch.setattr(units, "_skip", lambda *args: nn.Sequential(original(*args), Detached()))


def never_drops(patch: pytest.MonkeyPatch) -> None:
    """As a public reimplementation does that tests the distribution object, not a draw, for truth."""
    draw = sampling.Survival.draw
    patch.setattr(sampling.Survival, "draw", lambda self: torch.ones_like(draw(self)))


def schedule_off_by_one(patch: pytest.MonkeyPatch) -> None:
    def shifted(n: int, p_last: float) -> tuple[float, ...]:
        return tuple(1.0 - (unit / (n - 1)) * (1.0 - p_last) for unit in range(n))

    patch.setattr(sampling, "linear_decay", shifted)
    for module in ("resbench.training.loop", "resbench.experiments.structure_draws"):
        patch.setattr(f"{module}.linear_decay", shifted, raising=False)


def dropped_branch_is_computed(patch: pytest.MonkeyPatch) -> None:
    forward = units.ComposedUnit.forward

    def wasteful(self: units.ComposedUnit, x: Tensor, active: Tensor | None = None) -> Tensor:
        if active is not None and len(active) == 0:
            return self.after(self.skip(self.entry(x)) + 0.0 * self.residual(self.entry(x)))
        return forward(self, x, active)

    patch.setattr(units.ComposedUnit, "forward", wasteful)


def no_test_scaling(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(units.ComposedUnit, "scale", property(lambda self: self.branch_scale))


def exact_off_by_one(patch: pytest.MonkeyPatch) -> None:
    original = schedules.survival
    patch.setattr(schedules, "survival", lambda *a, **k: original(*a, **k) + Fraction(1, 1000))


FAULTS: list[tuple[Callable[[pytest.MonkeyPatch], None], tuple[str, ...]]] = [
    (scaled_shortcut, ("he-forward-additive", "he-backward-decomp")),
    (detached_shortcut, ("he-backward-decomp", "he-no-vanish-small-weights")),
    (never_drops, ("huang-update", "huang-expected-depth")),
    (schedule_off_by_one, ("huang-survival-linear",)),
    (dropped_branch_is_computed, ("huang-time-saving-25",)),
    (no_test_scaling, ("huang-test-rule",)),
    (exact_off_by_one, ("huang-expected-depth",)),
]


@pytest.mark.parametrize(("fault", "ids"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_faults_are_violations(
    fault: Callable[[pytest.MonkeyPatch], None], ids: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = statuses(*ids)
    assert set(before.values()) == {Status.HOLDS}
    fault(monkeypatch)
    after = statuses(*ids)
    assert {id: status for id, status in after.items() if status is not Status.VIOLATED} == {}
