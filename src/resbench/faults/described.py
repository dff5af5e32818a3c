"""A fault from the function that injects it: its name is the function's, what is wrong is the function's docstring."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from resbench.faults.fault import Fault, Where

__all__ = ["Function", "Injected", "described"]

Injected = AbstractContextManager[None]
Function = Callable[..., Any]


def described(where: Where, inject: Callable[[], Injected], *claims: str, tests: tuple[str, ...] = ()) -> Fault:
    """``inject``: named in snake case like the fault in kebab case; the first paragraph of its docstring is ``what``.

    Raises:
        ValueError: it has no docstring, or is seen by nothing.
    """
    what = " ".join((inspect.getdoc(inject) or "").split("\n\n")[0].split())
    name = inject.__name__.replace("_", "-")
    if not what:
        raise ValueError(f"the fault {name} does not say what is wrong")
    return Fault(name, where, what, inject, claims, tests)
