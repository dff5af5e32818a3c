"""Lesions on the live model: units deleted, exchanged, repeated or sampled while a context lasts, and then restored.

No weight is copied.  A unit that is a whole module is edited by replacing its ``forward``; one of several within a
module by intercepting its addition (its branch is computed then, but contributes nothing).
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from resbench.adapters.unit import ResidualUnit
from resbench.adapters.watching import Watcher

__all__ = ["deleted", "duplicated", "edited", "exchanged", "sampled"]

Plan = Sequence[Sequence[int]]
Forward = Callable[..., Any]

_locks: weakref.WeakKeyDictionary[nn.Module, threading.RLock] = weakref.WeakKeyDictionary()


@contextmanager
def edited(units: Sequence[ResidualUnit], plan: Plan) -> Generator[None]:
    """While it lasts the model runs ``plan``: at position ``i`` the units ``plan[i]`` one after another.

    ``(i,)`` leaves the position as it is, ``()`` deletes its unit (``after(shortcut(x))`` remains), ``(i, i)`` applies
    it twice, ``(j,)`` puts unit ``j`` in its place.  The model is restored at the end, also after an exception.  One
    thread at a time edits a model; others wait.

    Raises:
        ValueError: a plan of another length, a unit that is not deletable or not exchangeable there.
    """
    steps = [tuple(step) for step in plan]
    _check(units, steps)
    with _Edit(units, lambda: steps):
        yield


@contextmanager
def deleted(units: Sequence[ResidualUnit], indices: Iterable[int]) -> Generator[None]:
    """:func:`edited` without the units of these indices (Veit 2016, sections 4.1 and 4.2)."""
    gone = _known(units, indices)
    with edited(units, [() if i in gone else (i,) for i in range(len(units))]):
        yield


@contextmanager
def duplicated(units: Sequence[ResidualUnit], indices: Iterable[int]) -> Generator[None]:
    """:func:`edited` with the units of these indices applied twice."""
    twice = _known(units, indices)
    with edited(units, [(i, i) if i in twice else (i,) for i in range(len(units))]):
        yield


@contextmanager
def exchanged(units: Sequence[ResidualUnit], order: Sequence[int]) -> Generator[None]:
    """:func:`edited` with unit ``order[i]`` at position ``i`` (Veit 2016, section 4.3)."""
    with edited(units, [(j,) for j in order]):
        yield


@contextmanager
def sampled(units: Sequence[ResidualUnit], draw: Callable[[], Sequence[bool]]) -> Generator[None]:
    """While it lasts every forward pass of the model uses only the units for which ``draw()`` then says True."""
    _check(units, [()] * len(units))
    root = units[0].place.root
    steps: list[tuple[int, ...]] = []

    def renew(*_: Any) -> None:
        keep = list(draw())
        if len(keep) != len(units):
            raise ValueError(f"the draw has {len(keep)} entries for {len(units)} units")
        steps[:] = [(i,) if kept else () for i, kept in enumerate(keep)]

    handle = root.register_forward_pre_hook(renew)
    try:
        with _Edit(units, lambda: steps):
            yield
    finally:
        handle.remove()


def _known(units: Sequence[ResidualUnit], indices: Iterable[int]) -> set[int]:
    chosen = set(indices)
    wrong = sorted(i for i in chosen if not 0 <= i < len(units))
    if wrong:
        raise ValueError(f"there is no unit {wrong[0]}: the model has {len(units)}, counted from 0")
    return chosen


def _check(units: Sequence[ResidualUnit], steps: Sequence[Sequence[int]]) -> None:
    if not units or len(steps) != len(units):
        raise ValueError(f"a plan of {len(steps)} positions for {len(units)} units")
    for position, step in enumerate(steps):
        unit = units[position]
        _known(units, step)
        if tuple(step) == (position,):
            continue
        if not step and not unit.deletable:
            raise ValueError(f"unit {unit.name} cannot be deleted: {unit.reason}")
        for other in step:
            if units[other].group is None or units[other].group != unit.group:
                raise ValueError(f"unit {units[other].name} cannot stand in the place of {unit.name}")


class _Edit:
    """The patches of one context.  ``steps`` is asked in every pass, so that a sampler can change it."""

    def __init__(self, units: Sequence[ResidualUnit], steps: Callable[[], Sequence[tuple[int, ...]]]):
        self._units, self._steps = units, steps
        self._root = units[0].place.root
        self._forward: dict[int, Forward] = {}
        self._stack = ExitStack()

    def __enter__(self) -> None:
        with ExitStack() as stack:
            stack.enter_context(_locks.setdefault(self._root, threading.RLock()))
            for unit in self._units:
                if unit.place.whole and unit.deletable:
                    self._patch(unit, stack)
            watcher = Watcher(self._root)
            for unit in self._units:
                if not unit.place.whole and unit.deletable:
                    self._watch(unit, watcher)
            if watcher.watched:
                stack.enter_context(watcher)
            self._stack = stack.pop_all()

    def __exit__(self, *exception: Any) -> None:
        self._stack.close()

    def _patch(self, unit: ResidualUnit, stack: ExitStack) -> None:
        module, own = unit.place.module, "forward" in unit.place.module.__dict__
        original: Forward = module.forward
        self._forward[unit.index] = original

        def forward(*args: Any, **kwargs: Any) -> Any:
            step = self._step(unit)
            if step == (unit.index,):
                return original(*args, **kwargs)
            return self._replaced(unit, step, args, kwargs)

        def restore() -> None:
            if own:
                module.__dict__["forward"] = original
            else:
                del module.__dict__["forward"]

        module.__dict__["forward"] = forward
        stack.callback(restore)

    def _step(self, unit: ResidualUnit) -> tuple[int, ...]:
        return self._steps()[unit.index]

    def _replaced(
        self, unit: ResidualUnit, step: tuple[int, ...], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Tensor:
        key = unit.place.argument
        x: Tensor = args[key] if isinstance(key, int) else kwargs[key]
        if not step:
            return unit.without_branch(x)
        for index in step:
            x = self._applied(index, unit, x, args, kwargs)
        return x

    def _applied(
        self, index: int, unit: ResidualUnit, x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Tensor:
        """Unit ``index`` in the place of ``unit``, with the further arguments that stand there."""
        key = unit.place.argument
        if index not in self._forward or self._units[index].place.argument != key:
            return self._units[index].run(x)
        if isinstance(key, int):
            return self._forward[index](*args[:key], x, *args[key + 1 :], **kwargs)  # type: ignore[no-any-return]
        return self._forward[index](*args, **{**kwargs, key: x})  # type: ignore[no-any-return]

    def _watch(self, unit: ResidualUnit, watcher: Watcher) -> None:
        last = len(unit.place.additions) - 1

        def handle(number: int, add: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            step = self._step(unit)
            if step == (unit.index,):
                return add(*args, **kwargs)
            operands = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)]
            position = unit.place.additions[number][2]
            kept = operands[position if position >= 0 else 0]
            if not step or number < last:
                return kept if not step else add(*args, **kwargs)
            if step[0] == unit.index:
                x, rest = add(*args, **kwargs), step[1:]
            else:
                x, rest = kept, step
            with watcher.paused():
                for index in rest:
                    x = self._units[index].run(x)
            return x

        for number, (module, ordinal, _) in enumerate(unit.place.additions):
            watcher.watch(module, ordinal, lambda *given, number=number: handle(number, *given))
