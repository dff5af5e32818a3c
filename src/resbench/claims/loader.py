"""Claim files to claims: reading, validation, selection.

Every error is one line that names the file, the claim and the field.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from importlib.resources import files as resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

from resbench.claims.lock import check_locked, lock_path, read_lock
from resbench.claims.model import Claim, Comparator, Expectation, Paper, Source
from resbench.claims.rules import nearest, problems
from resbench.errors import UserError
from resbench.toml_files import read_toml

__all__ = [
    "catalogue_json",
    "check_quantities",
    "cite",
    "find",
    "load_claims",
    "resolve_quantity",
    "select",
]

T = TypeVar("T", Claim, Paper)

_COMPARATORS: dict[str, type[Any]] = {str(kind.__struct_config__.tag): kind for kind in get_args(Comparator)}
_EXPERIMENTS = "resbench.experiments"


def load_claims(files: Sequence[Path] | None = None) -> list[Claim]:
    """The claims of the package's files, or of ``files``, sorted by file name and then as they stand in the file.

    The package's own must be those of ``claims.lock``: a tolerance that somebody, or a disk, changed is not judged by.

    Raises:
        UserError: a file has a fault; the first is named.
    """
    chosen: list[Traversable | Path] = list(_package_files() if files is None else files)
    owners: dict[str, str] = {}
    claims: list[Claim] = []
    for file in sorted(chosen, key=lambda entry: entry.name):
        for claim in _read(file):
            if claim.id in owners:
                raise UserError(f"{file.name}: claim {claim.id}: id: is taken already in {owners[claim.id]}")
            owners[claim.id] = file.name
            claims.append(claim)
    if files is None:
        check_locked(claims, read_lock(lock_path()))
    return claims


def _package_files() -> Iterator[Traversable]:
    return (entry for entry in resources("resbench.claims").iterdir() if entry.name.endswith(".toml"))


def _read(file: Traversable | Path) -> Iterator[Claim]:
    raw = read_toml(file, file.name)
    # The head and each claim are converted on their own: an error then belongs to a claim whose id is known.
    entries = raw.get("claim")
    listed = isinstance(entries, list)
    head = _convert(raw | {"claim": []} if listed else raw, Paper, file.name)
    for number, entry in enumerate(entries if isinstance(entries, list) else [], start=1):
        name = entry.get("id") if isinstance(entry, dict) else None
        where = f"{file.name}: claim {_line(name) if name and isinstance(name, str) else f'number {number}'}"
        claim = _convert(entry, Claim, where)
        for field, problem in problems(claim):
            raise UserError(_line(f"{where}: {field}: {problem}"))
        yield msgspec.structs.replace(claim, paper=claim.paper or head.paper, source=claim.source or head.source)


def _convert(raw: object, kind: type[T], where: str) -> T:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        field, problem = _explain(str(error), raw, kind)
        raise UserError(_line(f"{where}: {field}: {problem}" if field else f"{where}: {problem}")) from None


def _line(text: str) -> str:
    return " ".join(text.split())


def _explain(message: str, raw: object, kind: type[Any]) -> tuple[str, str]:
    """msgspec's ``what is wrong - at `$.path``` as (field, what is wrong with it, with the nearest known word)."""
    what, _, path = message.partition(" - at `$")
    steps = re.findall(r"[a-z_]+|\d+", path)
    field = path.removesuffix("`").removeprefix(".")
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", what):
        known = list(_struct_at(kind, raw, steps).__struct_fields__)
        return _join(field, unknown[1]), f"unknown field{nearest(unknown[1], known)}"
    if missing := re.fullmatch(r"Object missing required field `(.*)`", what):
        return _join(field, missing[1]), "is missing"
    if wrong := re.fullmatch(r"Invalid (?:enum )?value '?(.*?)'?", what):
        known = list(_COMPARATORS) if steps[-1] == "op" else _choices(kind, raw, steps)
        return field, f"'{wrong[1]}' is none of {', '.join(known)}{nearest(wrong[1], known)}"
    return field, what[:1].lower() + what[1:]


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _struct_at(kind: type[Any], raw: Any, steps: list[str]) -> type[Any]:
    """The struct that the input's table at ``steps`` is read as."""
    for step in steps:
        raw = raw[int(step) if step.isdigit() else step]
    if steps[-1:] == ["compare"]:
        return _COMPARATORS[raw["op"]]
    if steps[-1:] == ["source"]:
        return Source
    return Expectation if steps else kind


def _choices(kind: type[Any], raw: Any, steps: list[str]) -> list[str]:
    """The words that the field at ``steps`` may hold."""
    hint = get_type_hints(_struct_at(kind, raw, steps[:-1]))[steps[-1]]
    return [str(choice) for choice in get_args(hint)]


def select(claims: Sequence[Claim], patterns: Sequence[str]) -> list[Claim]:
    """The claims whose id matches at least one of the globs, in catalogue order; all where there is no pattern.

    Raises:
        UserError: a pattern matches nothing.
    """
    ids = [claim.id for claim in claims]
    for pattern in patterns:
        if not any(fnmatchcase(id, pattern) for id in ids):
            raise UserError(f"no claim matches '{pattern}'; {_nearest_ids(pattern, ids)}")
    return [claim for claim in claims if not patterns or any(fnmatchcase(claim.id, pattern) for pattern in patterns)]


def find(claims: Sequence[Claim], id: str) -> Claim:
    """The claim with this id.

    Raises:
        UserError: there is none; the message has the nearest ids.
    """
    for claim in claims:
        if claim.id == id:
            return claim
    raise UserError(f"no claim has the id '{id}'; {_nearest_ids(id, [claim.id for claim in claims])}")


def _nearest_ids(pattern: str, ids: list[str]) -> str:
    close = get_close_matches(re.sub(r"[*?\[\]]", "", pattern), ids, n=3, cutoff=0.4)
    return f"nearest: {', '.join(close)}" if close else "`resbench claims` lists them all"


def cite(claim: Claim) -> str:
    """Where the statement stands, such as ``arXiv:1605.06431v2, section 3, figure 1``."""
    return f"arXiv:{claim.source.arxiv}{claim.source.version}, {claim.locus}" if claim.source else claim.locus


def catalogue_json(claims: Sequence[Claim]) -> list[dict[str, Any]]:
    """One JSON-ready row per claim."""
    return [
        {
            "id": claim.id,
            "version": claim.version,
            "paper": claim.paper,
            "source": cite(claim),
            "kind": claim.kind,
            "settings": claim.settings,
            "statement": claim.statement,
            "provenance": claim.provenance,
            "verified": claim.verified,
            "known_conflicts": claim.known_conflicts,
        }
        for claim in claims
    ]


def resolve_quantity(quantity: str) -> Callable[..., Any]:
    """The function that ``module.function`` of :mod:`resbench.experiments` names; imports that module.

    Raises:
        UserError: there is none.
    """
    module_name, _, name = quantity.partition(".")
    package = importlib.import_module(_EXPERIMENTS)
    modules = [module.name for module in pkgutil.iter_modules(package.__path__)]
    if module_name not in modules:
        raise UserError(f"{_EXPERIMENTS} has no module '{module_name}'{nearest(module_name, modules)}")
    module = importlib.import_module(f"{_EXPERIMENTS}.{module_name}")
    function = getattr(module, name, None)
    if not callable(function):
        known = [known for known, value in vars(module).items() if callable(value) and not known.startswith("_")]
        raise UserError(f"{_EXPERIMENTS}.{module_name} has no function '{name}'{nearest(name, known)}")
    found: Callable[..., Any] = function
    return found


def check_quantities(claims: Sequence[Claim]) -> None:
    """Resolve every claim's quantities and their parameters' names; imports torch, hence apart from loading.

    Raises:
        UserError: a quantity does not resolve; the first is named, with its claim.
    """
    for claim in claims:
        for index, expectation in enumerate(claim.expect):
            where = f"claim {claim.id}: expect[{index}]"
            try:
                function = resolve_quantity(expectation.quantity)
            except UserError as error:
                raise UserError(f"{where}.quantity: {error}") from None
            parameters = inspect.signature(function).parameters
            if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
                continue
            for name in expectation.params:
                if name not in parameters:
                    hint = nearest(name, list(parameters))
                    raise UserError(f"{where}.params.{name}: {expectation.quantity} takes no such parameter{hint}")
