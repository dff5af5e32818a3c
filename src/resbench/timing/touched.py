"""Which cases a change can touch: the files that a case's code can import, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from resbench.timing.worker.case import Case

__all__ = ["reachable", "touched"]

_ENTRY = {"unit": "resbench.networks.variants", "net": "resbench.targets.models"}
_ENGINES = {"lesion": "resbench.experiments.lesion", "paths": "resbench.experiments.path_gradients"}
_EVERYTHING = ("pyproject.toml",)
"""Dependencies: any case may run on another version of them."""


def touched(cases: Sequence[Case], files: Sequence[str], sources: Sequence[Path]) -> list[Case]:
    """The cases whose code can import one of the changed ``files`` (paths from the repository's top).

    ``sources``: the folders that hold the ``resbench`` package on either side.  A case of a peer's block changes with
    the dependencies only.
    """
    if any(name in _EVERYTHING for name in files):
        return list(cases)
    changed = {module for module in map(_module, files) if module is not None}
    closures: dict[str, set[str]] = {}
    found = []
    for case in cases:
        for entry in _entries(case):
            if entry not in closures:
                closures[entry] = set[str]().union(*(reachable(entry, source) for source in sources))
            if closures[entry] & changed:
                found.append(case)
                break
    return found


def _entries(case: Case) -> Iterator[str]:
    if case.kind == "engine":
        yield "resbench.networks.zoo"
        yield _ENGINES[case.name.partition("-")[0]]
    elif case.kind == "net" and ":" not in case.name:
        yield "resbench.networks.zoo"
    elif case.kind in _ENTRY:
        yield _ENTRY[case.kind]


def _module(file: str) -> str | None:
    """``src/resbench/networks/units.py`` to ``resbench.networks.units``; other files than the package's to None."""
    parts = PurePosixPath(file).parts
    if "resbench" not in parts or not file.endswith(".py"):
        return None
    names = list(parts[parts.index("resbench") :])
    names[-1] = names[-1].removesuffix(".py")
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


def reachable(entry: str, source: Path) -> set[str]:
    """The modules of resbench that importing ``entry`` and calling its functions may import, itself included.

    ``source`` holds the package.  Imports inside functions count; so do the packages around every module.
    """
    found: set[str] = set()
    waiting = [entry]
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        path = _path(module, source)
        if path is None:
            continue
        found.add(module)
        if "." in module:
            waiting.append(module.rpartition(".")[0])
        waiting += _imports(path, module)
    return found


def _path(module: str, source: Path) -> Path | None:
    base = source.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def _imports(path: Path, module: str) -> Iterator[str]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in _executed(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = node.module or ""
            if node.level:
                parts = package.split(".")
                start = ".".join([*parts[: len(parts) - node.level + 1], *([start] if start else [])])
            names = [start, *(f"{start}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "resbench")


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker sees."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _executed(child)
