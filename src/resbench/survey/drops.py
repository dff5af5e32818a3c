"""The survival probabilities that a network's own modules for stochastic depth declare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from resbench.adapters import ResidualUnit
from resbench.adapters.watching import Watcher

__all__ = ["declared_survival"]


def declared_survival(model: nn.Module, units: Sequence[ResidualUnit], example: Tensor) -> tuple[float, ...] | None:
    """One probability a unit, 1 for those without such a module; None where nothing is ever dropped.

    A unit's module is the one whose output its addition adds, in test mode: torchvision's ``StochasticDepth``, timm's
    ``DropPath`` and those of transformers, by their class names.
    """
    results: dict[int, tuple[float, Tensor]] = {}  # by memory; the tensors are kept so that it is not used again

    def finished(rate: float) -> Callable[..., None]:
        def hook(module: nn.Module, given: Any, output: Tensor) -> None:
            results[output.untyped_storage().data_ptr()] = rate, output

        return hook

    rates = [0.0] * len(units)

    def adding(index: int) -> Callable[..., Any]:
        def handle(add: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            for operand in (*args, *kwargs.values()):
                if isinstance(operand, Tensor):
                    rate, _ = results.get(operand.untyped_storage().data_ptr(), (0.0, None))
                    rates[index] = max(rate, rates[index])
            return add(*args, **kwargs)

        return handle

    watcher = Watcher(model)
    for unit in units:
        for module, ordinal, _ in unit.place.additions:
            watcher.watch(module, ordinal, adding(unit.index))
    hooks = [module.register_forward_hook(finished(rate)) for module in model.modules() if (rate := _drop_rate(module))]
    try:
        with torch.no_grad(), watcher:
            model(example.clone())
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(1.0 - rate for rate in rates) if any(rates) else None


def _drop_rate(module: Any) -> float:
    """The probability with which a module for stochastic depth drops; 0 for any other module."""
    kind = type(module).__name__
    if not ("StochasticDepth" in kind or "DropPath" in kind):
        return 0.0
    return float(getattr(module, "p", None) or getattr(module, "drop_prob", None) or 0.0)
