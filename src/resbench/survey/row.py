"""One row of the survey: one architecture, built with random weights, adapted, checked and judged."""

from __future__ import annotations

import random
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn

from resbench.adapters import CannotAdapt, ResidualUnit, adapt
from resbench.errors import UserError
from resbench.survey.dispatched import count_additions
from resbench.survey.drops import declared_survival
from resbench.survey.handles import check_handles
from resbench.survey.selection import Family
from resbench.survey.verdicts import judge
from resbench.targets.load import example_for
from resbench.targets.models import library, load_model, one_line
from resbench.targets.target import UserTarget

__all__ = ["LARGEST", "Row", "blank_row", "survey_row"]

Row = dict[str, str]

LARGEST = 150e6
"""Networks with more parameters are not run: their checks in float64 take minutes and many gigabytes each."""

_CUT, _LAYERS = 70e6, 4
"""Networks of transformers with more parameters are cut to so many layers: they are alike, and so are their units."""

_SEED = 0


def blank_row(family: Family) -> Row:
    """What is known of a row beforehand: the family, and the versions it is surveyed with."""
    return {
        "library": family.package,
        "version": version(family.package),
        "torch": torch.__version__.split("+")[0],
        "family": family.name,
        "networks": str(len(family.networks)),
    }


def survey_row(family: Family) -> Row:
    """The row of the family's smallest network; what cannot be done is said in ``why not``, never raised."""
    row = blank_row(family)
    warnings.simplefilter("ignore")  # libraries speak of random weights, deprecations, ...; nobody reads it here
    try:
        name, size = _smallest(family)
        row |= {"network": name, "parameters": f"{size / 1e6:.3g}"}
        build = partial(load_model, f"{family.package}:{name}")
        if size > _CUT and family.package == "transformers":
            build = partial(_shallow, name)
            size = _parameters(build)
            row |= {"network": f"{name} ({_LAYERS} layers)", "parameters": f"{size / 1e6:.3g}"}
        if size > LARGEST:
            return row | {"adapted": "not run", "why not": f"{size / 1e6:.0f} M parameters"}
        random.seed(_SEED)
        torch.manual_seed(_SEED)
        model = build().float().eval()
        _surveyed(row, model, example_for(model, f"{family.package}:{name}"))
    except Exception as error:  # whatever a library's code raises is a fact about that network
        row.setdefault("adapted", "not run")
        row["why not"] = " ".join(str(error).split()) if isinstance(error, UserError) else one_line(error)
    return row


def _smallest(family: Family) -> tuple[str, int]:
    """The network with the fewest parameters, of equal ones the first by name."""
    sizes: dict[str, int] = {}
    failure: Exception | None = None
    for name in family.networks:
        try:
            sizes[name] = _parameters(partial(load_model, f"{family.package}:{name}"))
        except Exception as error:  # it needs a missing package, its defaults do not fit each other, ...
            failure = error
    if failure is not None and not sizes:
        raise failure
    return min(sizes.items(), key=lambda item: (item[1], item[0]))


def _parameters(build: Callable[[], nn.Module]) -> int:
    """How many parameters a network has; without memory for them where it can be built so."""
    try:
        with torch.device("meta"):
            model = build()
    except (NotImplementedError, RuntimeError):  # it reads numbers while it is built
        model = build()
    return sum(parameter.numel() for parameter in model.parameters())


def _shallow(name: str) -> nn.Module:
    """A class of transformers with its default configuration, but for the depth."""
    kind: Any = getattr(library("transformers"), name)
    config = kind.config_class()
    for part in (config, getattr(config, "vision_config", None)):
        if part is not None and hasattr(part, "num_hidden_layers"):
            part.num_hidden_layers = _LAYERS
    network: nn.Module = kind(config)
    return network


def _surveyed(row: Row, model: nn.Module, example: Tensor) -> None:
    """Fill ``row`` in, as far as it goes."""
    row["input"] = "x".join(map(str, example.shape[1:]))
    additions = count_additions(model, example)
    row |= {"additions": str(additions.all), "residual additions": str(additions.residual)}
    try:
        units = adapt(model, example)
    except CannotAdapt as error:
        row |= {"adapted": "no", "why not": " ".join(str(error).split())}
        return
    row |= {"adapted": "yes", **_structure(units)}
    row["handles"] = check_handles(model, units, example) or "ok"
    survival = declared_survival(model, units, example)
    row["drops"] = str(0 if survival is None else sum(p < 1 for p in survival))
    row |= judge(UserTarget(row["network"], model, example, units, survival, None, trained=False, seed=_SEED))


def _structure(units: Sequence[ResidualUnit]) -> Row:
    """Counts of units by what they are and allow."""
    shortcuts = Counter(unit.shortcut_kind for unit in units)
    after = Counter(unit.after_kind for unit in units)
    counts = {
        "units": len(units),
        "deletable": sum(unit.deletable for unit in units),
        "exchangeable": sum(unit.group is not None for unit in units),
        "changing shape": sum(unit.changes_shape for unit in units),
    }
    counts |= {kind: shortcuts[kind] for kind in ("identity", "projection", "padding", "altered", "opaque")}
    counts |= {f"after {kind}": after[kind] for kind in ("identity", "relu", "other")}
    return {column: str(count) for column, count in counts.items()}
