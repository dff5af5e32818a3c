"""What one forward pass really does: every torch function it calls, which value feeds which, and in which module.

The pass is the model's own code, run once with hooks and a torch-function mode around it; nothing is retraced, so
control flow, scripts and data-dependent shapes are no obstacle.  A tensor that is modified in place becomes a new
value: a shortcut that an in-place ReLU has overwritten is therefore seen as what it then holds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name

from resbench.adapters.values import BufferRef, Call, Op, Recording, Ref, Value, map_tensors, refs_in, tensors_in

__all__ = ["is_addition", "record"]


def is_addition(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a torch function adds two tensors of one shape."""
    if function not in _ADDITIONS:
        return False
    added = [argument for argument in (*args, *kwargs.values()) if isinstance(argument, Tensor)]
    return len(added) == 2 and added[0].shape == added[1].shape


_ADDITIONS = (torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__iadd__, Tensor.__radd__)


def record(model: nn.Module, example_input: Tensor, keep: Collection[int] = ()) -> Recording:
    """Run ``model(example_input)`` once, in its present mode, without gradient, and say what it did.

    ``keep``: values (known from an earlier recording) of which the recording keeps a copy, as they were then.

    Raises:
        Exception: whatever the model's forward raises.
    """
    recorder = _Recorder(model, frozenset(keep))
    with torch.no_grad():
        start = recorder.start(example_input)  # before the mode is on: keeping a copy is no part of the pass
        with recorder:
            return recorder.finish(model(start))


class _Recorder(TorchFunctionMode):
    """Watches one pass.  Tensors are kept alive until its end, so that an ``id`` means one tensor."""

    def __init__(self, model: nn.Module, keep: frozenset[int]):
        super().__init__()
        self._keep = keep
        self._added: dict[int, int] = {}
        self.recording = Recording()
        self._current: dict[int, int] = {}
        self._alive: list[Tensor] = []
        self._versions: dict[int, int] = {}
        self._stored: dict[int, list[Tensor]] = {}
        self._stack: list[int] = []
        self._parameters: dict[int, tuple[nn.Parameter, ...]] = {}
        self._handles: list[Any] = []
        self._buffers: dict[int, BufferRef] = {}
        names: dict[nn.Module, str] = {}
        for name, module in model.named_modules():
            names.setdefault(module, name)
            for buffer_name, buffer in module._buffers.items():
                self._buffers[id(buffer)] = BufferRef(module, buffer_name)
        for module, name in names.items():
            self._handles.append(module.register_forward_pre_hook(self._entering(name), with_kwargs=True))
            self._handles.append(module.register_forward_hook(self._leaving, with_kwargs=True))

    def __exit__(self, *exception: Any) -> None:
        for handle in self._handles:
            handle.remove()
        super().__exit__(*exception)  # type: ignore[no-untyped-call]

    def start(self, example_input: Tensor) -> Tensor:
        copy = example_input.clone()
        self.recording.input = self._new(copy, None, from_input=True)
        return copy

    def finish(self, output: Any) -> Recording:
        self.recording.output = tuple(self._current[id(t)] for t in tensors_in(output) if id(t) in self._current)
        return self.recording

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = list(tensors_in((args, kwargs)))
        ordinal = self._count(func, args, kwargs)
        used = tuple(self._current[id(t)] for t in given if id(t) in self._current)
        parameters = self._parameters_of(given)
        if not used and not parameters:
            return func(*args, **kwargs)
        arguments = self._by_value((args, kwargs))
        versions = [t._version for t in given]
        result = func(*args, **kwargs)
        changed = tuple(i for i, (t, version) in enumerate(zip(given, versions, strict=True)) if t._version != version)
        # A function that returns its argument untouched (dropout in eval mode, contiguous) computes nothing.
        returned = [t for t in tensors_in(result) if not isinstance(t, nn.Parameter)]
        if changed or any(id(t) not in self._current for t in returned):
            self._add(func, arguments, used, parameters, [given[i] for i in changed], changed, returned)
            self.recording.ops[-1].ordinal = ordinal
        return result

    def _count(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
        if not self._stack or not is_addition(func, args, kwargs):
            return -1
        call = self._stack[-1]
        self._added[call] = self._added.get(call, -1) + 1
        return self._added[call]

    def _add(
        self,
        func: Callable[..., Any],
        arguments: Any,
        used: tuple[int, ...],
        parameters: tuple[nn.Parameter, ...],
        modified: list[Tensor],
        changed: tuple[int, ...],
        returned: list[Tensor],
    ) -> None:
        index = len(self.recording.ops)
        from_input = any(self.recording.values[value].from_input for value in used)
        name = resolve_name(func) or getattr(func, "__name__", str(func))
        views = [view for t in modified for view in self._views(t) if not any(view is other for other in modified)]
        before = [self._current[id(view)] for view in views]
        fresh = [t for t in returned if id(t) not in self._current and not any(t is m for m in modified)]
        produced = [*modified, *views, *fresh]
        outputs = tuple(self._new(t, index, from_input=from_input) for t in produced)
        after = [self._current[id(view)] for view in views]
        args, kwargs = arguments
        op = Op(index, name, func, args, kwargs, (*used, *before), outputs, tuple(self._stack), parameters)
        op.results = tuple(self._current[id(t)] for t in returned)
        op.changed, op.aliases = changed, dict(zip(after, before, strict=True))
        self.recording.ops.append(op)
        if not from_input:
            for t in produced:
                self._parameters[id(t)] = parameters

    def _views(self, changed: Tensor) -> list[Tensor]:
        """Other known tensors that share the storage of one that was modified: views of it, or its base."""
        known = self._stored.get(_storage(changed), [])
        return [t for t in known if t is not changed and t._version != self._versions[id(t)]]

    def _new(self, tensor: Tensor, op: int | None, *, from_input: bool) -> int:
        index = len(self.recording.values)
        self.recording.values.append(Value(index, op, tuple(tensor.shape), from_input))
        if id(tensor) not in self._current:
            self._alive.append(tensor)
            self._stored.setdefault(_storage(tensor), []).append(tensor)
        self._current[id(tensor)] = index
        self._versions[id(tensor)] = tensor._version
        if index in self._keep:
            self.recording.kept[index] = tensor.detach().clone()
        return index

    def _parameters_of(self, given: list[Tensor]) -> tuple[nn.Parameter, ...]:
        found: dict[int, nn.Parameter] = {}
        for t in given:
            for parameter in (t,) if isinstance(t, nn.Parameter) else self._parameters.get(id(t), ()):
                found[id(parameter)] = parameter
        return tuple(found.values())

    def _by_value(self, tree: Any) -> Any:
        def described(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            if id(leaf) in self._current:
                return Ref(self._current[id(leaf)])
            return self._buffers.get(id(leaf), leaf)

        return map_tensors(tree, described)

    def _entering(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            index = len(self.recording.calls)
            parent = self._stack[-1] if self._stack else None
            arguments, options = self._by_value((args, kwargs))
            self.recording.calls.append(Call(index, module, name, parent, arguments, options, len(self.recording.ops)))
            self._stack.append(index)

        return hook

    def _leaving(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        call = self.recording.calls[self._stack.pop()]
        unknown = [t for t in tensors_in(output) if id(t) not in self._current and not isinstance(t, nn.Parameter)]
        used = tuple(refs_in((call.args, call.kwargs)))
        if unknown and used and call.parent is not None:
            # Scripted or custom code: all that is known is that the result comes from the module's inputs.
            parameters = tuple(module.parameters())
            self._add(module, (call.args, call.kwargs), used, parameters, [], (), list(tensors_in(output)))
        call.end = len(self.recording.ops)
        call.result = self._by_value(output)


def _storage(tensor: Tensor) -> int:
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # no storage (meta, functional tensors)
        return id(tensor)
