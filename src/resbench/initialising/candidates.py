"""Which functions and classes of a repository may give its network, read from their source without importing it.

A candidate is a function without required parameters that returns an ``nn.Module``, or a subclass of ``nn.Module``
without required constructor arguments.  Whether it really is one, :mod:`resbench.initialising.trial` finds out.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Candidate", "Found", "candidates"]

_BASES = frozenset({"Module", "Sequential", "LightningModule", "ResNet", "PreTrainedModel"})
"""Classes of libraries whose subclasses are networks, by their last name."""

_LIBRARIES = frozenset({"get_model", "create_model", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"})
"""Functions of torchvision and timm that build one."""

_USUAL = re.compile(r"(?:build|create|make|get)(?:_?(?:model|net|network))?|model|net|network", re.IGNORECASE)


@dataclass(frozen=True)
class Candidate:
    """``target``: ``MODULE:CALLABLE``.  ``needs``: parameters without a default, for want of which it is none."""

    target: str
    rank: tuple[int, int]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """``ready``: the likeliest first.  ``wanting``: networks that need arguments."""

    ready: tuple[Candidate, ...]
    wanting: tuple[Candidate, ...]


@dataclass
class _Module:
    name: str
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    functions: dict[str, ast.FunctionDef] = field(default_factory=dict)


def candidates(files: Iterable[tuple[str, Path]]) -> Found:
    """The candidates of ``files`` (module names with their paths); what is no Python is passed over."""
    modules = [module for name, path in files if (module := _parsed(name, path)) is not None]
    networks = _networks(modules)
    parts = _parts(networks)
    builders = {name for module in modules for name in module.functions}
    found: list[Candidate] = []
    for module in modules:
        depth = module.name.count(".")
        for name, function in module.functions.items():
            if _gives_network(function, networks, builders):
                rank = 0 if _USUAL.fullmatch(name) else 1
                found.append(Candidate(f"{module.name}:{name}", (rank, depth), _required(function)))
        for name, node in module.classes.items():
            if networks.get(name) is node:
                found.append(
                    Candidate(f"{module.name}:{name}", (2 + (name in parts), depth), _arguments(node, networks))
                )
    found.sort(key=lambda one: one.rank)
    return Found(tuple(one for one in found if not one.needs), tuple(one for one in found if one.needs))


def _parsed(name: str, path: Path) -> _Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its source, which is not ours to mend
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError, RecursionError, MemoryError):
        return None
    module = _Module(name)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            module.classes[node.name] = node
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith(("_", "test")):
            module.functions[node.name] = node
    return module


def _networks(modules: Sequence[_Module]) -> dict[str, ast.ClassDef]:
    """The classes that are networks, by name: of ``nn.Module``, or of another of them."""
    found: dict[str, ast.ClassDef] = {}
    classes = [(name, node) for module in modules for name, node in module.classes.items()]
    growing = True
    while growing:
        growing = False
        for name, node in classes:
            if name not in found and any(_last(base) in _BASES or _last(base) in found for base in node.bases):
                found[name], growing = node, True
    return found


def _parts(networks: dict[str, ast.ClassDef]) -> set[str]:
    """Networks that another one is made of: blocks."""
    used = set()
    for name, node in networks.items():
        inside = {each.id for child in node.body for each in ast.walk(child) if isinstance(each, ast.Name)}
        used |= (inside & set(networks)) - {name}
    return used


def _gives_network(function: ast.FunctionDef, networks: dict[str, ast.ClassDef], builders: set[str]) -> bool:
    """Whether its annotation, or what it returns, says so."""
    if any("fixture" in ast.unparse(decorator) for decorator in function.decorator_list):
        return False
    if function.returns is not None:
        said = {_last(node) for node in ast.walk(function.returns) if isinstance(node, ast.Name | ast.Attribute)}
        said |= {str(node.value) for node in ast.walk(function.returns) if isinstance(node, ast.Constant)}
        return bool(said & (_BASES | set(networks)))
    made = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            made[node.targets[0].id] = node.value
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and node.value is not None:
            value = made.get(node.value.id, node.value) if isinstance(node.value, ast.Name) else node.value
            if isinstance(value, ast.Call) and _last(value.func) in _BASES | _LIBRARIES | set(networks):
                return True
    return False


def _required(function: ast.FunctionDef, skipped: int = 0) -> tuple[str, ...]:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args][skipped:]
    free = len(positional) - min(len(arguments.defaults), len(positional))
    only = [
        one.arg for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default is None
    ]
    return (*(one.arg for one in positional[:free]), *only)


def _arguments(node: ast.ClassDef, networks: dict[str, ast.ClassDef]) -> tuple[str, ...]:
    """What its constructor needs, or that of the class that it inherits it from."""
    seen = set()
    while node.name not in seen:
        seen.add(node.name)
        for child in node.body:
            if isinstance(child, ast.FunctionDef) and child.name == "__init__":
                return _required(child, skipped=1)
        node = next((networks[name] for base in node.bases if (name := _last(base)) in networks), node)
    return ()


def _last(node: ast.expr) -> str:
    """``Module`` of ``torch.nn.Module`` and of ``Module[T]``; empty where it is no name."""
    if isinstance(node, ast.Subscript):
        return _last(node.value)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
