"""Recipes: which networks a setting trains and how, as data (``books/*.toml`` beside this module, one file a paper).

A file says its ``setting``.  ``[defaults]`` holds what its networks share, fields of :class:`Recipe`; each
``[[family]]`` names its ``source``, its own ``defaults`` over the file's, and its networks, which say only what is
theirs.  ``[network]`` stands for a family without defaults.  ``[short]`` makes a second setting of the same networks,
``<setting>-short``: its ``changes`` go over every recipe, and ``departures`` says in words how they differ from the
paper.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import resources
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from resbench.errors import UserError
from resbench.networks.residual import NetworkSpec, PlainSpec

__all__ = ["Recipe", "load_recipes"]

Positive = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[int, Meta(ge=0)]
Table = dict[str, Any]

_LATER = ("iterations", "drops", "warmup", "warmup_lr", "flip", "validation", "tested", "dropout")
"""Fields younger than the first recorded networks: no part of a fingerprint where they have their default."""

_ALTERNATIVES = (("iterations", "epochs"), ("residual", "plain"))
_DEFAULT_EPOCHS = 60


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How one network of a setting is trained, and in which state it is tested.

    Exactly one of ``residual`` and ``plain`` is the architecture.  ``halves``: the halves of the data that it is
    trained on, one network each (a data set with test images of its own has one network, half 0).

    Training takes ``iterations`` mini-batches where they are given, else ``epochs``.  ``schedule``: ``one-cycle``;
    ``steps``, two drops at one half and three quarters; or ``drops``: the learning rate is divided by ten at each of
    ``drops``, which are iterations (counted from 0) where ``iterations`` is given, else epochs (counted from 1).  The
    first ``warmup`` iterations of ``drops`` have ``warmup_lr``.

    ``shift`` (pixels, to any side) and ``flip`` (left to right, with probability 1/2) are the augmentation.
    ``sampling``: the units a training pass uses: ``all``; stochastic depth, ``linear`` or ``uniform`` with
    ``sampling_value`` = p_L; or ``exactly`` ``sampling_value`` units.

    ``validation``: training images held out; with ``tested = "best-validation"`` the network of the epoch with the
    lowest error on them is the one that counts, else the last.  ``test_scaling``: whether the tested network's
    branches are multiplied by their probability (Huang 2016, equation 5).  ``reestimate``: whether its BN statistics
    are measured again with all units active.

    ``departures``: in which ways a short recipe is not the paper's, in words.

    Raises:
        ValueError: fields that contradict each other.
    """

    residual: NetworkSpec | None = None
    plain: PlainSpec | None = None
    epochs: Positive = _DEFAULT_EPOCHS
    iterations: Positive | None = None
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 1e-4
    batch: Positive = 64
    shift: NotNegative = 1
    flip: bool = False
    schedule: Literal["one-cycle", "steps", "drops"] = "one-cycle"
    drops: tuple[int, ...] = ()
    warmup: NotNegative = 0
    warmup_lr: float = 0.01
    sampling: Literal["all", "linear", "uniform", "exactly"] = "all"
    sampling_value: float = 1.0
    validation: NotNegative = 0
    tested: Literal["last", "best-validation"] = "last"
    test_scaling: bool = False
    reestimate: bool = False
    halves: tuple[Literal[0, 1], ...] = (0, 1)
    departures: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.residual is None) == (self.plain is None):
            raise ValueError("a recipe has exactly one of `residual` and `plain`")
        if self.iterations is not None and self.epochs != _DEFAULT_EPOCHS:
            raise ValueError("a recipe has `iterations` or `epochs`, not both")
        if self.tested == "best-validation" and not self.validation:
            raise ValueError('`tested = "best-validation"` needs `validation` images')
        _check_schedule(self)
        _check_sampling(self)

    @property
    def network(self) -> NetworkSpec | PlainSpec:
        chosen = self.residual or self.plain
        assert chosen is not None
        return chosen

    @property
    def fingerprint(self) -> str:
        """A hash of every field but the departures; two networks of one fingerprint were to be trained alike."""
        content = _hashed(self)
        content.pop("departures")
        return hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:16]


def _check_schedule(recipe: Recipe) -> None:
    """Raises: ValueError where schedule, drops and warm-up do not fit each other or the length of training."""
    drops = recipe.drops
    if (recipe.schedule == "drops") != bool(drops):
        raise ValueError('`drops` and `schedule = "drops"` go together')
    if recipe.warmup and not drops:
        raise ValueError(f'`warmup` needs `schedule = "drops"`, not "{recipe.schedule}"')
    if any(later <= earlier for earlier, later in zip((0, *drops), drops, strict=False)):
        raise ValueError(f"drops {list(drops)} do not increase from above 0")
    # Iterations are counted from 0, epochs from 1.
    last, unit = (recipe.epochs, "epochs") if recipe.iterations is None else (recipe.iterations - 1, "iterations")
    if drops and drops[-1] > last:
        raise ValueError(f"the drop at {drops[-1]} is beyond the end: {recipe.iterations or recipe.epochs} {unit}")
    if recipe.iterations is not None and drops and recipe.warmup > drops[0]:
        raise ValueError(f"a warm-up of {recipe.warmup} iterations is longer than the first drop waits ({drops[0]})")


def _check_sampling(recipe: Recipe) -> None:
    """Raises: ValueError where the sampling does not fit the network, or its value the sampling."""
    if recipe.sampling == "all":
        return
    if recipe.residual is None:
        raise ValueError(f'sampling "{recipe.sampling}" needs residual units; a plain network has none')
    value, units = recipe.sampling_value, recipe.residual.n_units
    if recipe.sampling == "exactly" and not (value == int(value) and 0 <= value <= units):
        raise ValueError(f"a pass cannot use exactly {value:g} of {units} units")
    if recipe.sampling != "exactly" and not 0.0 < value <= 1.0:
        raise ValueError(f"a survival probability lies in (0, 1], not {value:g}")


def _hashed(part: msgspec.Struct) -> Table:
    """The fields that a fingerprint covers by name, in the order of their definition, which is part of it."""
    content: Table = {}
    for field in msgspec.structs.fields(part):
        value = getattr(part, field.name)
        if not (field.name in _LATER and value == field.default):
            content[field.name] = _hashed(value) if isinstance(value, msgspec.Struct) else value
    return content


class _Family(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    source: str
    network: dict[str, Table]
    defaults: Table = {}


class _Short(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    departures: tuple[str, ...]
    changes: Table


class _Book(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: Literal[2]
    setting: str
    defaults: Table = {}
    network: dict[str, Table] = {}
    family: tuple[_Family, ...] = ()
    short: _Short | None = None


@lru_cache
def load_recipes(setting: str) -> dict[str, Recipe]:
    """The recipes of ``setting`` by network name, from all the files of that setting.

    ``<setting>-short`` has the same networks with each file's short training.

    Raises:
        UserError: no such setting, a file that does not fit the schema, or a network that two of them train.
    """
    books = {entry.name: entry.read_bytes() for entry in _folder().iterdir() if entry.name.endswith(".toml")}
    return _recipes({name: books[name] for name in sorted(books)}, setting)


def _folder() -> Any:
    return resources.files("resbench.training") / "books"


def _recipes(contents: Mapping[str, bytes], setting: str) -> dict[str, Recipe]:
    """The recipes of ``setting`` out of files by name."""
    books = {file: _read(file, content) for file, content in contents.items()}
    recipes: dict[str, Recipe] = {}
    for file, book in books.items():
        for short in (False, True):
            if setting != (f"{book.setting}-short" if short else book.setting) or (short and book.short is None):
                continue
            for name, table in _tables(book, short=short):
                if name in recipes:
                    raise UserError(f"{file}: network {name} has a recipe already")
                recipes[name] = _convert(f"{file}: network {name}", table)
    if not recipes:
        known = {book.setting for book in books.values()}
        known |= {f"{book.setting}-short" for book in books.values() if book.short is not None}
        raise UserError(f"no setting {setting!r}: known are {', '.join(sorted(known))}")
    return recipes


def _read(file: str, content: bytes) -> _Book:
    try:
        return msgspec.toml.decode(content, type=_Book)
    except msgspec.MsgspecError as error:
        raise UserError(f"{file}: {error}") from error


def _convert(where: str, table: Table) -> Recipe:
    try:
        return msgspec.convert(table, Recipe)
    except msgspec.MsgspecError as error:
        raise UserError(f"{where}: {error}") from error


def _tables(book: _Book, *, short: bool) -> Iterator[tuple[str, Table]]:
    """Every network of ``book`` with its whole table: defaults, its family's, its own, those of the short training."""
    for family in (_Family("", book.network), *book.family):
        for name, own in family.network.items():
            table = _over(_over(book.defaults, family.defaults), own)
            if short and book.short is not None:
                table = _over(table, book.short.changes) | {"departures": list(book.short.departures)}
            yield name, table


def _over(table: Table, changes: Table) -> Table:
    """``table`` with ``changes``, tables in tables likewise; of alternatives, the one that ``changes`` names stays."""
    merged = dict(table)
    for one, other in (*_ALTERNATIVES, *(pair[::-1] for pair in _ALTERNATIVES)):
        if one in changes:
            merged.pop(other, None)
    for key, value in changes.items():
        below = merged.get(key)
        merged[key] = _over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
