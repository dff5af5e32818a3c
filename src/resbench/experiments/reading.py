"""How a quantity names the experiments whose results it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from resbench.records.results import Request

__all__ = ["reads", "requests_of"]

F = TypeVar("F", bound=Callable[..., Any])


def reads(*sources: tuple[str, str]) -> Callable[[F], F]:
    """Declare what a quantity reads: pairs (experiment, name of the parameter that holds the network's name).

    The quantity is called with one ``Result`` for each pair, in order, then with its parameters by name.  Where the
    parameter is a list of names the quantity gets a list of results in its place.
    """

    def mark(function: F) -> F:
        function.__dict__["sources"] = sources
        return function

    return mark


def requests_of(function: Callable[..., Any], params: Mapping[str, Any]) -> list[Request | list[Request]]:
    """The requests of ``function`` called with ``params``; empty for a quantity that reads no experiment."""
    sources: Iterable[tuple[str, str]] = getattr(function, "sources", ())
    requests: list[Request | list[Request]] = []
    for experiment, parameter in sources:
        named = params[parameter]
        if isinstance(named, str):
            requests.append(Request(experiment, named))
        else:
            requests.append([Request(experiment, str(name)) for name in named])
    return requests
