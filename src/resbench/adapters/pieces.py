"""Parts of a recorded pass as functions that can be called again, on the live modules and weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from resbench.adapters.values import BufferRef, Call, Op, Recording, Ref, map_tensors, refs_in, tensors_in

__all__ = ["NotSelfContained", "Piece", "piece"]


class NotSelfContained(ValueError):
    """The wanted value depends on more than the given one."""


@dataclass(frozen=True)
class _Step:
    order: int
    callee: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    results: tuple[int, ...]
    changed: tuple[tuple[int, int], ...] = ()
    aliases: Mapping[int, int] | None = None


class Piece:
    """What leads from one value of a recorded pass to another; called with a new first value, it gives the last.

    Where a module of the model computes a step as a whole, that module is called, in its present mode and with its
    present weights; the operations in between are repeated as they were recorded.
    """

    def __init__(self, start: int, end: int, steps: list[_Step]):
        self._start, self._end, self._steps = start, end, steps

    @property
    def trivial(self) -> bool:
        """Whether the piece returns its argument."""
        return not self._steps

    def __call__(self, x: Tensor) -> Tensor:
        if self.trivial:
            return x
        # An operation of the piece may modify its input in place; the caller keeps what it gave.
        known: dict[int, Any] = {self._start: x.clone()}

        def given(leaf: Any) -> Any:
            if isinstance(leaf, BufferRef):
                return leaf.tensor
            return known[leaf.value] if isinstance(leaf, Ref) else leaf

        for step in self._steps:
            args, kwargs = map_tensors((step.args, dict(step.kwargs)), given)
            result = step.callee(*args, **kwargs)
            tensors = list(tensors_in((args, kwargs)))
            known.update({value: tensors[position] for position, value in step.changed})
            known.update({after: known[before] for after, before in (step.aliases or {}).items()})
            known.update(zip(step.results, tensors_in(result), strict=True))
        value: Tensor = known[self._end]
        return value


def piece(recording: Recording, start: int, end: int, scope: int | None) -> Piece:
    """The piece from value ``start`` to value ``end``; modules called inside the module call ``scope`` are used whole.

    Raises:
        NotSelfContained: ``end`` depends on something of the model's input that does not pass ``start``.
    """
    builder = _Builder(recording, start, scope)
    builder.need(end)
    return Piece(start, end, sorted(builder.steps.values(), key=lambda step: step.order))


class _Builder:
    def __init__(self, recording: Recording, start: int, scope: int | None):
        self.recording, self.start, self.scope = recording, start, scope
        self.steps: dict[tuple[str, int], _Step] = {}
        self._known = {start}
        self._start_op = recording.values[start].op

    def need(self, value: int) -> None:
        if value in self._known:
            return
        if value == self.recording.input:
            raise NotSelfContained("depends on the model's input directly")
        op = self.recording.op_of(value)
        call = self._whole_call(op, value)
        if call is not None:
            before = dict(self.steps), set(self._known)
            try:
                self._add_call(call, value)
                return
            except NotSelfContained:
                self.steps, self._known = before
        self._add_op(op)

    def _whole_call(self, op: Op, value: int) -> Call | None:
        """The outermost module call within the scope whose result ``value`` is, and that begins after ``start``."""
        calls = (
            op.calls
            if self.scope is None
            else op.calls[op.calls.index(self.scope) + 1 :]
            if self.scope in op.calls
            else ()
        )
        for index in calls:
            call = self.recording.calls[index]
            began_before = self._start_op is not None and call.start <= self._start_op < call.end
            if call.result == Ref(value) and not began_before and call.parent is not None:
                return call
        return None

    def _add_call(self, call: Call, value: int) -> None:
        self._known.add(value)
        for used in refs_in((call.args, call.kwargs)):
            self.need(used)
        self.steps["call", call.index] = _Step(call.start, call.module, call.args, call.kwargs, (value,))

    def _add_op(self, op: Op) -> None:
        if ("op", op.index) in self.steps:
            return
        for used in op.inputs:
            self.need(used)
        self._known.update(op.outputs)
        changed = tuple(zip(op.changed, op.outputs, strict=False))
        self.steps["op", op.index] = _Step(op.index, op.function, op.args, op.kwargs, op.results, changed, op.aliases)
