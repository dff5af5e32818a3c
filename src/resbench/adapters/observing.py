"""What each unit really does in a pass of the live model, in its present mode: nothing recorded, nothing replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from resbench.adapters.unit import ResidualUnit
from resbench.adapters.values import tensors_in
from resbench.adapters.watching import Watcher

__all__ = ["Seen", "observe"]


@dataclass
class Seen:
    """One unit's pass, each ``(N, ...)``: its input as it was before, both sides of the addition, its output.

    ``shortcut`` and ``branch`` are None where the addition was not executed (a skipped branch).  ``x`` is None for a
    unit within a module whose shortcut is not the input itself; ``output`` is the sum for units within a module.
    """

    x: Tensor | None
    output: Tensor
    shortcut: Tensor | None = None
    branch: Tensor | None = None


def observe(model: nn.Module, units: Sequence[ResidualUnit], images: Tensor) -> list[Seen | None]:
    """Run ``model(images)`` once and see every unit; None for units that were not called.

    Differentiable where gradients are enabled.  A unit gets a clone of its input, so that ``x`` stays what it was.
    """
    seen: list[Seen | None] = [None] * len(units)
    sides: dict[int, tuple[Tensor, Tensor]] = {}
    watcher = Watcher(model)
    hooks: list[Any] = []
    try:
        for unit in units:
            if unit.place.whole:
                hooks += _watch_module(unit, seen)
            for number, (module, ordinal, position) in enumerate(unit.place.additions):
                watcher.watch(module, ordinal, _seeing(unit, number, position, seen, sides))
        with watcher:
            model(images)
    finally:
        for hook in hooks:
            hook.remove()
    for unit in units:
        found = seen[unit.index]
        if found is not None and unit.index in sides:
            found.shortcut, found.branch = sides[unit.index]
    return seen


def _watch_module(unit: ResidualUnit, seen: list[Seen | None]) -> list[Any]:
    key = unit.place.argument
    inputs: list[Tensor] = []

    def entering(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        x: Tensor = args[key] if isinstance(key, int) else kwargs[key]
        inputs[:] = [x]
        if isinstance(key, int):
            return (*args[:key], x.clone(), *args[key + 1 :]), kwargs
        return args, {**kwargs, key: x.clone()}

    def leaving(_: nn.Module, __: Any, output: Any) -> None:
        seen[unit.index] = Seen(inputs[0], next(tensors_in(output)))

    module = unit.place.module
    return [module.register_forward_pre_hook(entering, with_kwargs=True), module.register_forward_hook(leaving)]


def _seeing(
    unit: ResidualUnit, number: int, position: int, seen: list[Seen | None], sides: dict[int, tuple[Tensor, Tensor]]
) -> Callable[..., Any]:
    last = number == len(unit.place.additions) - 1

    def handle(add: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # Copies: the addition may be done in place, in either of its operands.
        operands = [a.clone() for a in (*args, *kwargs.values()) if isinstance(a, Tensor)]
        if position >= 0:  # otherwise branches are summed here, which the shortcut joins later
            kept, added = operands[position], operands[1 - position]
            before = sides.get(unit.index) if number else None
            sides[unit.index] = (kept, added) if before is None else (before[0], before[1] + added)
        total = add(*args, **kwargs)
        if last and not unit.place.whole:
            kept = sides[unit.index][0]
            seen[unit.index] = Seen(kept if unit.shortcut_kind == "identity" else None, total)
        return total

    return handle
