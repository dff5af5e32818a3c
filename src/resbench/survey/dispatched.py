"""Residual additions of a network as torch's dispatcher sees them: a second opinion on what ``adapters`` finds.

Nothing of its recording or its search is used.  The dispatcher is called for every kernel, whatever module or script
asks for it.  For each stored tensor it is noted which earlier ones it was computed from.  An addition of two tensors of
one shape, both of which depend on the input, is *residual* if one of them was computed from the other: then one term
came past what the other went through (Veit 2016, equation 1).  Additions whose shortcut is a projection are not told
from parallel branches this way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from resbench.adapters.values import tensors_in

__all__ = ["Additions", "count_additions"]

_ADD = (torch.ops.aten.add.Tensor, torch.ops.aten.add_.Tensor)


@dataclass(frozen=True)
class Additions:
    """``all``: of two tensors of one shape that depend on the input; ``residual``: one was computed from the other."""

    all: int
    residual: int


def count_additions(model: nn.Module, images: Tensor) -> Additions:
    """The additions that one pass of ``model``, in its present mode, executes."""
    watch = _Watch(images.clone())
    with torch.no_grad(), watch:
        model(watch.images)
    return Additions(watch.every, watch.residual)


class _Watch(TorchDispatchMode):
    """Bit ``i`` of ``_behind[s]``: what storage ``s`` holds was computed from version ``i``, or is that version."""

    def __init__(self, images: Tensor):
        super().__init__()  # type: ignore[no-untyped-call]
        self.images = images
        self.every = self.residual = 0
        self._versions = 1
        self._behind = {_storage(images): 1}
        self._newest = {_storage(images): 0}
        self._alive: list[Any] = [images]

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = list(tensors_in((args, kwargs or {})))
        if func in _ADD:
            self._count([t for t in given[:2] if t.dim()])
        behind = 0
        for tensor in given:
            behind |= self._behind.get(_storage(tensor), 0)
        result = func(*args, **(kwargs or {}))
        if behind:
            self._note(given, result, behind, changes=func)
        return result

    def _count(self, terms: list[Tensor]) -> None:
        if len(terms) != 2 or terms[0].shape != terms[1].shape:
            return
        a, b = (_storage(term) for term in terms)
        if a not in self._behind or b not in self._behind:
            return
        self.every += 1
        if self._newest[a] != self._newest[b]:
            self.residual += bool(self._behind[a] >> self._newest[b] & 1 or self._behind[b] >> self._newest[a] & 1)

    def _note(self, given: list[Tensor], result: Any, behind: int, *, changes: Any) -> None:
        """The result's storages, and those that the function writes to, hold something new; views hold the same."""
        old = {_storage(tensor) for tensor in given}
        written = {_storage(t) for t, written in zip(given, _written(changes), strict=False) if written}
        new = {_storage(tensor): tensor for tensor in tensors_in(result)}
        for storage, tensor in new.items():
            if storage not in old:
                self._alive.append(tensor)  # so that no other tensor gets its storage
        for storage in {*written, *(set(new) - old)}:
            self._newest[storage] = self._versions
            self._behind[storage] = behind | 1 << self._versions
            self._versions += 1


def _written(func: Any) -> Iterator[bool]:
    """For each argument whether the function writes to it (the first ones, tensors mostly)."""
    for argument in func._schema.arguments:
        if "Tensor" in str(argument.type):
            yield argument.alias_info is not None and argument.alias_info.is_write


def _storage(tensor: Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address
