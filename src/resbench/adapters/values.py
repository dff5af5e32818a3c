"""A recorded pass as data: values, the operations and module calls that made them, and nested arguments of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

__all__ = ["BufferRef", "Call", "Op", "Recording", "Ref", "Value", "map_tensors", "refs_in", "tensors_in"]


@dataclass(frozen=True)
class Ref:
    """Stands for a recorded value in recorded arguments."""

    value: int


@dataclass(frozen=True)
class BufferRef:
    """Stands for a buffer in recorded arguments: a conversion of the model replaces the tensor, not its place."""

    module: nn.Module
    name: str

    @property
    def tensor(self) -> Tensor | None:
        return self.module._buffers[self.name]


@dataclass
class Value:
    """One version of one tensor.  ``shape`` includes the batch; ``from_input``: it depends on the model's input."""

    index: int
    op: int | None
    shape: tuple[int, ...]
    from_input: bool


@dataclass
class Op:
    """One call of a torch function; ``args`` and ``kwargs`` hold :class:`Ref` where values of the pass stood.

    ``calls``: the module calls under way, outermost first.  ``parameters``: those among the arguments, also by way of
    computations on parameters alone (weight standardisation).  ``results``: the values of the tensors that the function
    returned, in order.  ``changed``: which of the tensors among its arguments it modified in place; ``aliases``: the
    new value of a view of one of those, and its value before.  ``ordinal``: which addition of two tensors it is within
    the innermost module call, from 0; -1 for other functions.  ``function`` is a module where a module computed
    without torch functions (a scripted one).
    """

    index: int
    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    calls: tuple[int, ...]
    parameters: tuple[nn.Parameter, ...]
    results: tuple[int, ...] = ()
    changed: tuple[int, ...] = ()
    ordinal: int = -1
    aliases: Mapping[int, int] = field(default_factory=dict)

    @property
    def in_place(self) -> bool:
        return bool(self.changed)


@dataclass
class Call:
    """One call of a module: its arguments and result by values, and the operations ``start .. end`` within it."""

    index: int
    module: nn.Module
    name: str
    parent: int | None
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    start: int
    end: int = -1
    result: Any = None


@dataclass
class Recording:
    """A whole pass.  ``input``, ``output``: the values of the model's input and result; ``kept``: as asked for."""

    values: list[Value] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    input: int = 0
    output: tuple[int, ...] = ()
    kept: dict[int, Tensor] = field(default_factory=dict)

    def inputs_of(self, value: int) -> tuple[int, ...]:
        """The values that ``value`` was computed from."""
        op = self.values[value].op
        return () if op is None else self.ops[op].inputs

    def op_of(self, value: int) -> Op:
        op = self.values[value].op
        if op is None:
            raise ValueError(f"value {value} is the model's input")
        return self.ops[op]


def tensors_in(tree: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists, dictionaries (and model outputs, which are dictionaries)."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, tuple | list):
        for item in tree:
            yield from tensors_in(item)
    elif isinstance(tree, Mapping):
        for item in tree.values():
            yield from tensors_in(item)


def map_tensors(tree: Any, replace: Callable[[Any], Any]) -> Any:
    """``tree`` with ``replace`` applied to its leaves; containers of other types are leaves."""
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(map_tensors(item, replace) for item in tree))
    if type(tree) in (tuple, list):
        return type(tree)(map_tensors(item, replace) for item in tree)
    if type(tree) is dict:
        return {key: map_tensors(item, replace) for key, item in tree.items()}
    if type(tree) is slice:
        return slice(*(map_tensors(part, replace) for part in (tree.start, tree.stop, tree.step)))
    return replace(tree)


def refs_in(tree: Any) -> Iterator[int]:
    """The recorded values in recorded arguments."""
    if isinstance(tree, Ref):
        yield tree.value
    elif isinstance(tree, tuple | list):
        for item in tree:
            yield from refs_in(item)
    elif isinstance(tree, Mapping):
        for item in tree.values():
            yield from refs_in(item)
    elif isinstance(tree, slice):
        yield from refs_in((tree.start, tree.stop, tree.step))
