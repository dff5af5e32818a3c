"""Recipes: which networks a setting trains and how, as data (``<setting>.toml`` beside this module)."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib import resources
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from resbench.errors import UserError
from resbench.networks.residual import NetworkSpec, PlainSpec

__all__ = ["Recipe", "load_recipes"]

Positive = Annotated[int, Meta(ge=1)]


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How one network of a setting is trained, and in which state it is tested.

    Exactly one of ``residual`` and ``plain`` is the architecture.  ``halves``: the halves of the data that it is
    trained on, one network each.  ``sampling``: the units a training pass uses: ``all``; stochastic depth, ``linear``
    or ``uniform`` with ``sampling_value`` = p_L; or ``exactly`` ``sampling_value`` units.  ``test_scaling``: whether
    the tested network's branches are multiplied by their probability (Huang 2016, equation 5).  ``reestimate``:
    whether its BN statistics are measured again with all units active.
    """

    residual: NetworkSpec | None = None
    plain: PlainSpec | None = None
    epochs: Positive = 60
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 1e-4
    batch: Positive = 64
    shift: Annotated[int, Meta(ge=0)] = 1
    schedule: Literal["one-cycle", "steps"] = "one-cycle"
    sampling: Literal["all", "linear", "uniform", "exactly"] = "all"
    sampling_value: float = 1.0
    test_scaling: bool = False
    reestimate: bool = False
    halves: tuple[Literal[0, 1], ...] = (0, 1)

    def __post_init__(self) -> None:
        if (self.residual is None) == (self.plain is None):
            raise ValueError("a recipe has exactly one of `residual` and `plain`")

    @property
    def network(self) -> NetworkSpec | PlainSpec:
        chosen = self.residual or self.plain
        assert chosen is not None
        return chosen

    @property
    def fingerprint(self) -> str:
        """A hash of every field; two networks of one fingerprint were to be trained alike."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()[:16]


class _Book(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: Literal[1]
    network: dict[str, Recipe]


@lru_cache
def load_recipes(setting: str) -> dict[str, Recipe]:
    """The recipes of ``setting`` by network name.

    Raises:
        UserError: no such setting, or a recipe file that does not fit the schema.
    """
    folder = resources.files("resbench.training")
    file = folder / f"{setting}.toml"
    if not file.is_file():
        known = sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))
        raise UserError(f"no setting {setting!r}: known are {', '.join(known)}")
    try:
        return msgspec.toml.decode(file.read_bytes(), type=_Book).network
    except msgspec.MsgspecError as error:
        raise UserError(f"{setting}.toml: {error}") from error
