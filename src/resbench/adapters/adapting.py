"""Any network becomes a list of residual units."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Any

from torch import Tensor, nn

from resbench.adapters.errors import CannotAdapt
from resbench.adapters.finding import Found, find_units
from resbench.adapters.unit import ResidualUnit
from resbench.adapters.values import tensors_in

__all__ = ["adapt", "evaluating", "found_in", "output_of"]

GROUP = "resbench.adapters"
"""Entry points of this group are called as ``adapter(model)``: modules or names of units, or None for "not mine"."""


def adapt(model: nn.Module, example_input: Tensor, *, units: Sequence[str] = ()) -> list[ResidualUnit]:
    """The residual units of ``model``, in the order of execution.

    Where they are, by order of preference: ``units``, globs of module names in which ``*`` stands for one level and
    ``**`` for any (``layer*.*``); the model's own ``residual_units()`` (modules or names); a registered adapter (entry
    point group ``resbench.adapters``); else the additions that join a shortcut with a branch, found in one traced pass.

    Args:
        model: left as it was: mode, weights, buffers, hooks.
        example_input: ``(N, C, H, W)``, at least two images, on the model's device.
        units: globs that choose the units.

    Raises:
        CannotAdapt: the forward pass fails, a glob matches nothing, or no residual addition is found.

    Examples:
        >>> units = adapt(torchvision.models.resnet18(), torch.randn(2, 3, 64, 64))
        >>> [unit.name for unit in units][:3]
        ['layer1.0', 'layer1.1', 'layer2.0']
    """
    return found_in(model, example_input, units).units


def found_in(model: nn.Module, example_input: Tensor, units: Sequence[str] = ()) -> Found:
    """What :func:`adapt` finds, and where in a recorded pass it is.

    Raises:
        CannotAdapt: as :func:`adapt`.
    """
    chosen = _by_glob(model, units) if units else _declared(model)
    try:
        with evaluating(model):
            found = find_units(model, example_input, chosen)
    except CannotAdapt:
        raise
    except Exception as error:
        shape = "x".join(map(str, example_input.shape))
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        raise CannotAdapt(
            f"the model's forward fails on an input of {shape} ({reason}); give another --input"
        ) from error
    if not found.units:
        count = sum(1 for _ in model.modules()) - 1
        raise CannotAdapt(
            f"no residual addition found in {count} modules; VGG-style? Choose units by name with --units GLOB"
        )
    return found


def output_of(output: Any) -> Tensor:
    """The logits in what a model returns: a tensor, an object with ``logits``, or the first tensor of a container.

    Raises:
        CannotAdapt: there is no tensor in it.
    """
    if isinstance(output, Tensor):
        return output
    logits = getattr(output, "logits", None)
    if isinstance(logits, Tensor):
        return logits
    for tensor in tensors_in(output):
        return tensor
    raise CannotAdapt(f"the model returns no tensor but {type(output).__name__}")


@contextmanager
def evaluating(model: nn.Module) -> Generator[None]:
    """Eval mode, and afterwards for every module the mode that it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _declared(model: nn.Module) -> list[nn.Module]:
    """The units that the model or a registered adapter names; empty where neither does."""
    declare = getattr(model, "residual_units", None)
    if callable(declare):
        return _modules(model, declare(), "its residual_units()")
    for point in entry_points(group=GROUP):
        adapter: Callable[[nn.Module], Any] = point.load()
        found = adapter(model)
        if found is not None:
            return _modules(model, found, f"the adapter {point.name}")
    return []


def _modules(model: nn.Module, given: Any, source: str) -> list[nn.Module]:
    named = dict(model.named_modules())
    known = {id(module) for module in named.values()}
    found = []
    for item in given:
        module = named.get(item) if isinstance(item, str) else item
        if not isinstance(module, nn.Module) or id(module) not in known:
            raise CannotAdapt(f"{source} names {item!r:.60}, which is no module of the model")
        found.append(module)
    if not found:
        raise CannotAdapt(f"{source} names no unit")
    return found


def _by_glob(model: nn.Module, globs: Sequence[str]) -> list[nn.Module]:
    """The modules that the globs match; of nested ones the outermost."""
    named = [(name, module) for name, module in model.named_modules() if name]
    chosen: dict[str, nn.Module] = {}
    for glob in globs:
        matched = {name: module for name, module in named if _matches(name.split("."), glob.split("."))}
        if not matched:
            some = ", ".join(name for name, _ in named[:: max(1, len(named) // 6)])
            raise CannotAdapt(f"--units {glob!r} matches no module; there are {some}, ...")
        chosen |= matched
    return [m for name, m in chosen.items() if not any(name.startswith(f"{other}.") for other in chosen)]


def _matches(name: Sequence[str], glob: Sequence[str]) -> bool:
    if not glob:
        return not name
    if glob[0] == "**":
        return any(_matches(name[skipped:], glob[1:]) for skipped in range(len(name) + 1))
    return bool(name) and fnmatch.fnmatchcase(name[0], glob[0]) and _matches(name[1:], glob[1:])
