"""``[tool.resbench]`` of a project's ``pyproject.toml``: what its claims are judged on where nothing else is said.

    [tool.resbench]
    target = "mypackage.models:build"
    input = "3x32x32"

`resbench check` and the pytest plugin read it; an option that is given wins.  Paths in it start from its folder.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec

from resbench.errors import UserError
from resbench.records.places import up_to_repository
from resbench.targets.options import TargetOptions
from resbench.toml_files import read_toml

__all__ = ["NAME", "TABLE", "Configuration", "find_configuration", "read_configuration"]

NAME = "pyproject.toml"
TABLE = "[tool.resbench]"

_OF_A_TARGET = (
    *("target", "checkpoint", "data", "mean", "std", "limit", "thorough", "input", "units", "survival"),
    *("against", "against_checkpoint", "device"),
)
"""Keys that describe the user's network: they count together, or not at all."""

_Words = str | list[str]
_Numbers = str | list[float]


class _Keys(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    target: str = ""
    checkpoint: str = ""
    data: str = ""
    mean: _Numbers = ""
    std: _Numbers = ""
    limit: int | None = None
    thorough: bool = False
    input: str = ""
    units: _Words = []
    survival: _Numbers = ""
    against: str = ""
    against_checkpoint: str = ""
    device: str = ""
    select: _Words = []
    kinds: _Words = []
    settings: _Words = []
    strict: bool = False
    sequential: bool = False
    alpha: float | None = None
    waivers: str = ""


KEYS = tuple(field.encode_name for field in msgspec.structs.fields(_Keys))
"""What can stand in the table, as it is written there."""


class Configuration:
    """The table of the file ``path``.

    ``select``, ``kinds``, ``settings``: of the claims, as for `resbench check`.  ``keys``: what is said, as written.
    """

    def __init__(self, path: Path, table: dict[str, Any]):
        self.path, self.keys = path, tuple(table)
        self._keys = _converted(path, table)
        self.target = self._keys.target
        self.select, self.kinds, self.settings = (_listed(getattr(self._keys, key)) for key in _CHOOSING)
        self.strict, self.sequential, self.alpha = self._keys.strict, self._keys.sequential, self._keys.alpha
        if self.target and set(self.settings) - {"target"}:
            raise UserError(f"{self}: settings are those of resbench's own networks; leave them out, or target")
        if self.alpha is not None and not self.sequential:
            raise UserError(f"{self}: alpha goes with sequential = true")
        self._check_target()

    def __str__(self) -> str:
        return f"{TABLE} of {self.path.name}"

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def roots(self) -> tuple[Path, ...]:
        """Where the target's module is looked for: beside the file, and in ``src``."""
        return tuple(folder for folder in (self.folder, self.folder / "src") if folder.is_dir())

    @property
    def waivers(self) -> Path | None:
        return self.folder / self._keys.waivers if self._keys.waivers else None

    def _check_target(self) -> None:
        values = {name: self._of_target(name) for name in self.of_target(())}
        try:
            TargetOptions(**values).check("")
        except UserError as error:
            raise UserError(f"{self}: {error}") from None

    def for_target(self, given: TargetOptions, named: Collection[str]) -> TargetOptions:
        """``given``, with what this says of the target wherever the user has ``named`` no option.

        Another target than this one's gets nothing: its input, weights and images are its own.
        """
        if not self.target or ("target" in named and given.target != self.target):
            return given
        values = {name: self._of_target(name) for name in self.of_target(named)}
        return replace(given, **values, roots=(*given.roots, *self.roots))

    def of_target(self, named: Collection[str]) -> list[str]:
        """The fields of the target that this says something of, without those ``named``."""
        return [name for name in _OF_A_TARGET if name.replace("_", "-") in self.keys and name not in named]

    def _of_target(self, name: str) -> Any:
        value = getattr(self._keys, name)
        if name in ("checkpoint", "against_checkpoint"):
            return self.folder / value
        if name == "data":
            kind, colon, place = value.partition(":")
            return f"{kind}:{self.folder / place}" if colon else kind
        if name == "units":
            return _listed(value)
        return ",".join(map(repr, value)) if isinstance(value, list) else value


_CHOOSING = ("select", "kinds", "settings")
assert set(_OF_A_TARGET) <= {field.name for field in fields(TargetOptions)}


def find_configuration(start: Path) -> Configuration | None:
    """The table that counts in ``start``: there or in a folder above it, no further than that of the repository.

    Raises:
        UserError: as :func:`read_configuration`.
    """
    for folder in up_to_repository(start):
        if (folder / NAME).is_file():
            found = read_configuration(folder / NAME)
            if found is not None:
                return found
    return None


def read_configuration(path: Path) -> Configuration | None:
    """The table of a file, None where it has none.

    Raises:
        UserError: it cannot be read, is no TOML, or the table has unknown keys or values of the wrong kind.
    """
    document = read_toml(path, str(path))
    tools = document.get("tool")
    table = tools.get("resbench") if isinstance(tools, dict) else None
    if table is None:
        return None
    if not isinstance(table, dict):
        raise UserError(f"{path}: tool.resbench is no table; write {TABLE} above its keys")
    return Configuration(path, table)


def _converted(path: Path, table: dict[str, Any]) -> _Keys:
    where = f"{TABLE} of {path.name}"
    for key in table:
        if key not in KEYS:
            near = get_close_matches(key.replace("_", "-"), KEYS, n=1, cutoff=0.0)[0]
            raise UserError(f"{where}: no key {key!r}; nearest: {near} (all: {', '.join(KEYS)})")
    try:
        return msgspec.convert(table, _Keys)
    except msgspec.ValidationError as error:
        what, _, field = str(error).partition(" - at `$")
        raise UserError(f"{where}: {field.strip('`.')}: {what[:1].lower()}{what[1:]}") from None


def _listed(value: _Words) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
