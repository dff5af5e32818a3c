"""Intercepts chosen additions while the model runs, by the module that adds and which of its additions it is."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.overrides import TorchFunctionMode

from resbench.adapters.recording import is_addition

__all__ = ["Watcher"]

Handler = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


class Watcher(TorchFunctionMode):
    """Calls a handler in place of a chosen addition; the handler's result is the addition's.

    Additions are counted as :func:`resbench.adapters.recording.record` counts them: within one call of the innermost
    module, from 0.
    """

    def __init__(self, root: nn.Module):
        super().__init__()
        self._root = root
        self._handlers: dict[tuple[int, int], Handler] = {}
        self._stack: list[list[int]] = []
        self._hooks: list[Any] = []
        self._pauses = 0

    @property
    def watched(self) -> bool:
        return bool(self._handlers)

    def watch(self, module: nn.Module, ordinal: int, handler: Handler) -> None:
        """Let ``handler`` do addition ``ordinal`` of ``module``."""
        self._handlers[id(module), ordinal] = handler

    @contextmanager
    def paused(self) -> Generator[None]:
        """Nothing is intercepted meanwhile (a handler that runs parts of the model)."""
        self._pauses += 1
        try:
            yield
        finally:
            self._pauses -= 1

    def __enter__(self) -> Watcher:
        for module in self._root.modules():
            self._hooks.append(module.register_forward_pre_hook(self._entering))
            self._hooks.append(module.register_forward_hook(self._leaving))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *exception: Any) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        super().__exit__(*exception)  # type: ignore[no-untyped-call]

    def _entering(self, module: nn.Module, _: Any) -> None:
        if module is self._root:
            self._stack.clear()  # an earlier pass may have ended in an exception
        self._stack.append([id(module), -1])

    def _leaving(self, *_: Any) -> None:
        if self._stack:
            self._stack.pop()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._pauses or not self._stack or not is_addition(func, args, kwargs):
            return func(*args, **kwargs)
        innermost = self._stack[-1]
        innermost[1] += 1
        handler = self._handlers.get((innermost[0], innermost[1]))
        return func(*args, **kwargs) if handler is None else handler(func, args, kwargs)
