"""Another function in the place of one, wherever it is held, for as long as a context is open."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import ModuleType
from typing import Any

__all__ = ["replaced", "together", "wrapped"]

_ABSENT = object()


@contextmanager
def replaced(owner: type | ModuleType | str, name: str, faulty: Any) -> Iterator[None]:
    """``faulty`` in the place of ``owner.name`` while the context is open.

    Args:
        owner: a class, a module, or a module's name.
        name: an attribute of it.  Of a class a method, property or constant.  Of a module a function, class or
            constant: every module of resbench and every test module that holds the very object, under whatever name,
            gets the faulty one, modules that are imported meanwhile too.  What holds it elsewhere (a dictionary, a
            default argument, a decorated function) keeps the original.

    Raises:
        AttributeError: the owner has no such attribute: the fault is of another version of the code.
        ValueError: a module holds ``faulty`` already, so that it could not be told apart afterwards.
    """
    if isinstance(owner, str):
        owner = importlib.import_module(owner)
    if isinstance(owner, type):
        with _class_attribute(owner, name, faulty):
            yield
    else:
        with _module_attribute(owner, name, faulty):
            yield


def wrapped(owner: type | ModuleType | str, name: str, faulty: Callable[[Any], Any]) -> AbstractContextManager[None]:
    """:func:`replaced` by ``faulty(original)``; a property is passed as its getter and made a property again."""
    if isinstance(owner, str):
        owner = importlib.import_module(owner)
    original = inspect.getattr_static(owner, name)
    if isinstance(original, property):
        return replaced(owner, name, property(faulty(original.fget)))
    return replaced(owner, name, faulty(original))


@contextmanager
def together(*contexts: AbstractContextManager[None]) -> Iterator[None]:
    """All of ``contexts``: a fault of more than one edit."""
    with ExitStack() as stack:
        for each in contexts:
            stack.enter_context(each)
        yield


@contextmanager
def _class_attribute(owner: type, name: str, faulty: Any) -> Iterator[None]:
    inspect.getattr_static(owner, name)
    own = vars(owner).get(name, _ABSENT)
    setattr(owner, name, faulty)
    try:
        yield
    finally:
        if own is _ABSENT:
            delattr(owner, name)
        else:
            setattr(owner, name, own)


@contextmanager
def _module_attribute(owner: ModuleType, name: str, faulty: Any) -> Iterator[None]:
    if name not in vars(owner):
        raise AttributeError(f"{owner.__name__} has no {name}")
    original = vars(owner)[name]
    # A small integer or a string is the same object wherever it occurs: only the owner's is meant.
    shared = callable(original)
    held = _holders(original) if shared else [(owner, name)]
    if shared and _holders(faulty):
        raise ValueError(f"{owner.__name__}.{name}: {faulty!r} has a place of its own; wrap it in a function")
    for module, attribute in held:
        setattr(module, attribute, faulty)
    try:
        yield
    finally:
        # Also in the modules that were imported meanwhile.
        for module, attribute in _holders(faulty) if shared else held:
            setattr(module, attribute, original)


def _holders(value: object) -> list[tuple[ModuleType, str]]:
    return [
        (module, name)
        for key, module in list(sys.modules.items())
        if isinstance(module, ModuleType) and _ours(key)
        for name, held in list(vars(module).items())
        if held is value
    ]


def _ours(module: str) -> bool:
    """Modules of resbench, except those that hold the faults, and of its tests."""
    own = module.split(".")[0] == "resbench" and not module.startswith(__package__)
    return own or module.split(".")[-1].startswith("test_")
