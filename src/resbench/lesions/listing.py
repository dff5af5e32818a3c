"""Which lesions a study makes: its modes and draws as a list of plans, each with what it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resbench.errors import NotMeasured, UserError
from resbench.lesions.plans import Plan, deleted, duplicated, pairs, random_orders, random_subsets, reordered, whole

if TYPE_CHECKING:
    from resbench.adapters import ResidualUnit

__all__ = ["MODES", "PRECISIONS", "Drawing", "Lesion", "excluded_units", "list_lesions"]

MODES = ("single", "multi", "reorder", "duplicate", "pairs")
PRECISIONS = ("float32", "screened", "bfloat16", "tf32")


@dataclass(frozen=True)
class Drawing:
    """What is drawn at random: ``ks`` units are deleted (or duplicated), ``swaps`` pairs exchanged, ``draws`` times.

    The numbers are the paper's: up to 20 deletions (Veit 2016, figure 5a) and, in the authors' published runs, up to 10
    exchanges (figure 5b).
    """

    ks: tuple[int, ...] = tuple(range(1, 21))
    swaps: tuple[int, ...] = tuple(range(1, 11))
    draws: int = 10
    seed: int = 0


@dataclass(frozen=True)
class Lesion:
    """One lesion.  ``known``: what its record says of it before it is measured (``{"k": 3, "deleted": [...]}``)."""

    mode: str
    plan: Plan
    known: dict[str, Any]


def excluded_units(units: Sequence[ResidualUnit], named: Sequence[str] | None) -> tuple[int, ...]:
    """The units that random lesions leave alone: by name or number from 1; the first of every stage where None.

    ``none`` stands for no unit.

    Raises:
        UserError: there is no such unit.
    """
    if named is None:
        return tuple(u.index for u in units if u.index == 0 or u.stage != units[u.index - 1].stage)
    numbers = {unit.name: unit.index for unit in units} | {str(unit.index + 1): unit.index for unit in units}
    found = set()
    for name in named:
        if name == "none":
            continue
        if name not in numbers:
            raise UserError(f"--exclude {name}: no such unit; give a number from 1 to {len(units)}, or a name "
                            f"such as {units[0].name}")  # fmt: skip
        found.add(numbers[name])
    return tuple(sorted(found))


def list_lesions(
    units: Sequence[ResidualUnit], modes: Sequence[str], drawing: Drawing, excluded: Sequence[int], *, chosen: bool
) -> list[Lesion]:
    """The lesions of ``modes``, the whole network first.

    ``chosen``: the user chose the excluded units; then pairs leave them alone too, otherwise only random lesions do.

    Raises:
        NotMeasured: a mode of which this network has no lesion.
    """
    found = [Lesion("whole", whole(len(units)), {})]
    # The interaction of two units is told from their single deletions.
    for mode in ("single", *modes) if "pairs" in modes and "single" not in modes else modes:
        made = _MAKERS[mode](units, drawing, set(excluded), chosen)
        if not made:
            reason = next((f" ({u.name}: {u.reason})" for u in units if u.reason), "")
            raise NotMeasured(f"--mode {mode}: no unit of this network can be lesioned so{reason}; see resbench units")
        found += made
    return found


def _single(units: Sequence[ResidualUnit], _: Drawing, excluded: set[int], chosen: bool) -> list[Lesion]:
    """Each unit: the paper's figure 3 leaves none out."""
    left_out = excluded if chosen else set()
    return [
        Lesion("single", deleted(len(units), [unit.index]), {"index": unit.index, "name": unit.name})
        for unit in units
        if unit.deletable and unit.index not in left_out
    ]


def _multi(units: Sequence[ResidualUnit], drawing: Drawing, excluded: set[int], _: bool) -> list[Lesion]:
    pool = [unit.index for unit in units if unit.deletable and unit.index not in excluded]
    return [
        Lesion("multi", deleted(len(units), gone), {"k": len(gone), "draw": draw, "deleted": list(gone)})
        for draw, gone in _numbered(pool, drawing, 41)
    ]


def _duplicate(units: Sequence[ResidualUnit], drawing: Drawing, excluded: set[int], _: bool) -> list[Lesion]:
    pool = [unit.index for unit in units if unit.group is not None and unit.index not in excluded]
    return [
        Lesion("duplicate", duplicated(len(units), twice), {"k": len(twice), "draw": draw, "duplicated": list(twice)})
        for draw, twice in _numbered(pool, drawing, 47)
    ]


def _numbered(pool: Sequence[int], drawing: Drawing, stream: int) -> list[tuple[int, tuple[int, ...]]]:
    """Random subsets of ``pool``, each with its number among those of its size."""
    import numpy as np

    generator = np.random.default_rng([drawing.seed, stream])
    subsets = random_subsets(pool, drawing.ks, drawing.draws, generator)
    return [(number % drawing.draws, subset) for number, subset in enumerate(subsets)]


def _reorder(units: Sequence[ResidualUnit], drawing: Drawing, excluded: set[int], _: bool) -> list[Lesion]:
    import numpy as np
    from scipy.stats import kendalltau

    pool = [unit for unit in units if unit.group is not None and unit.index not in excluded]
    exchangeable = [(a.index, b.index) for a, b in _pairs_of(pool) if a.group == b.group]
    if not exchangeable:
        return []
    generator = np.random.default_rng([drawing.seed, 43])
    orders = random_orders(len(units), exchangeable, drawing.swaps, drawing.draws, generator)
    return [
        Lesion(
            "reorder",
            reordered(order),
            {
                "swaps": swaps,
                "draw": number % drawing.draws,
                "kendall_tau": float(kendalltau(range(len(order)), order).statistic),
                "order": list(order),
            },
        )
        for number, (swaps, order) in enumerate(orders)
    ]


def _pairs_of(units: Sequence[ResidualUnit]) -> list[tuple[ResidualUnit, ResidualUnit]]:
    return [(a, b) for i, a in enumerate(units) for b in units[i + 1 :]]


def _pairs(units: Sequence[ResidualUnit], drawing: Drawing, excluded: set[int], chosen: bool) -> list[Lesion]:
    """Every two units."""
    left_out = excluded if chosen else set()
    pool = [unit.index for unit in units if unit.deletable and unit.index not in left_out]
    return [Lesion("pairs", deleted(len(units), both), {"units": list(both)}) for both in pairs(pool)]


_MAKERS = {"single": _single, "multi": _multi, "reorder": _reorder, "duplicate": _duplicate, "pairs": _pairs}
