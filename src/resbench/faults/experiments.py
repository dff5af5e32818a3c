"""Faults of experiments: lesions and paths that are not what they are called; `evaluations` has those of tests."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import torch

from resbench.experiments import lesion, path_gradients, paths
from resbench.experiments.linearised import Linearised, LinearUnit, Map
from resbench.faults import evaluations
from resbench.faults.described import Function, Injected, described
from resbench.faults.fault import Fault
from resbench.faults.patching import replaced, together, wrapped
from resbench.lesions import plans

__all__ = ["FAULTS"]


# --- lesions --------------------------------------------------------------------------------------------------------


def deletes_shortcut_too() -> Injected:
    """Deleting a unit puts zeros in its place: the shortcut goes with the branch."""
    return replaced(lesion, "_without", lambda unit: lambda x: unit.after(torch.zeros_like(unit.shortcut(x))))


def deletes_nothing() -> Injected:
    """A deletion leaves the unit as it is, like a hook that is never called."""
    return replaced(plans, "deleted", lambda count, units: plans.whole(count))


def deletion_never_restored() -> Injected:
    """A deleted unit stays deleted: the i-th deletion of a sweep has all units up to i gone."""

    def faulty(parts: lesion.Lesionable) -> list[plans.Plan]:
        tested = parts.tested
        sweep = [plans.deleted(parts.count, tested[: last + 1]) for last in range(len(tested))]
        return [plans.whole(parts.count), *sweep]

    return replaced(lesion, "deletion_plans", faulty)


def lesions_leak_statistics() -> Injected:
    """Lesions run in training mode: batch statistics, and running ones that each lesion moves for the next."""

    def faulty(original: Function) -> Function:
        def prepared(member: Any) -> Any:
            evaluations.train_mode(member.network)
            return original(member)

        return prepared

    return wrapped(lesion, "prepared", faulty)


def stage_firsts_counted_from_one() -> Injected:
    """The first units of the stages are counted from 1 and looked up from 0: the second ones are left out of draws."""
    return wrapped(lesion.Body, "stage_firsts", lambda original: lambda self: frozenset(i + 1 for i in original(self)))


def exchanges_across_stages() -> Injected:
    """Any two ordinary units may be exchanged, whatever stage they are in."""
    return replaced(lesion.Body, "pairs", property(lambda self: plans.pairs(self.ordinary)))


def units_counted_twice() -> Injected:
    """Every ordinary unit is on the list twice, as of a model whose modules are found under two names."""
    return wrapped(lesion.Body, "ordinary", lambda original: lambda self: 2 * original(self))


def deletions_with_replacement() -> Injected:
    """The units of a multiple deletion are drawn with replacement: fewer are deleted than are counted."""

    def faulty(units: Any, sizes: Any, draws: int, generator: np.random.Generator) -> list[tuple[int, ...]]:
        pool = list(units)
        return [tuple(generator.choice(pool, size=k).tolist()) for k in sizes if k <= len(pool) for _ in range(draws)]

    return replaced(plans, "random_subsets", faulty)


def draws_mislabelled() -> Injected:
    """Errors are written down size by size, and read as if they had been written draw by draw."""

    def faulty(original: Function) -> Function:
        @functools.wraps(original)
        def multiple_deletion(member: Any) -> dict[str, Any]:
            found = original(member)
            return {**found, "k": np.resize(np.unique(found["k"]), len(found["k"]))}

        return multiple_deletion

    return wrapped(lesion, "multiple_deletion", faulty)


def tau_of_the_reverse() -> Injected:
    """Kendall's tau is that of the reversed order."""

    def faulty(original: Function) -> Function:
        @functools.wraps(original)
        def reordering(member: Any) -> dict[str, Any]:
            found = original(member)
            return {**found, "tau": -found["tau"]}

        return reordering

    return wrapped(lesion, "reordering", faulty)


# --- random lesions -------------------------------------------------------------------------------------------------


def lesions_unseeded() -> Injected:
    """Random lesions are drawn from the clock: no two runs try the same."""

    def faulty(original: Function) -> Function:
        return lambda *arguments: original(*arguments[:-1], np.random.default_rng())

    return together(*(wrapped(plans, name, faulty) for name in ("random_subsets", "random_orders")))


# --- paths ----------------------------------------------------------------------------------------------------------


def paths_with_replacement() -> Injected:
    """The units of a path are drawn with replacement: long paths are shorter than they are called."""

    def faulty(n: int, lengths: Any, paths_per_length: int, generator: torch.Generator) -> torch.Tensor:
        paths = torch.zeros(len(lengths), paths_per_length, n, dtype=torch.bool)
        for row, length in zip(paths, lengths, strict=True):
            if length:
                row.scatter_(1, torch.randint(n, (paths_per_length, length), generator=generator), True)
        return paths

    return replaced(path_gradients, "draw_paths", faulty)


def paths_exchanged() -> Injected:
    """A path goes through the shortcuts of the units that it is said to go through."""
    return wrapped(path_gradients, "_backward", lambda original: lambda full, paths, at: original(full, ~paths, at))


def path_skips_last_activation() -> Injected:
    """What follows the addition is left out of a path's gradient: the last ReLU of an original unit."""

    def straight(unit: LinearUnit) -> LinearUnit:
        end = unit.after.target
        return dataclasses.replace(unit, after=Map(end, end))

    def faulty(original: Function) -> Function:
        def backward(full: Linearised, paths: torch.Tensor, at: str) -> Any:
            return original(dataclasses.replace(full, units=tuple(map(straight, full.units))), paths, at)

        return backward

    return wrapped(path_gradients, "_backward", faulty)


def path_units_counted_twice() -> Injected:
    """Paths of each length are counted as if there were twice as many units."""
    return wrapped(paths, "_units", lambda original: lambda result: 2 * original(result))


_SINGLE = "veit-single-delete-protocol"

FAULTS: tuple[Fault, ...] = (
    described(
        "experiment",
        deletes_shortcut_too,
        _SINGLE,
        "veit-single-delete-resnet110@digits",
        "veit-single-delete-downsampling@digits",
        "veit-resnet-vs-vgg-gap@digits",
    ),
    described(
        "experiment",
        deletes_nothing,
        _SINGLE,
        "veit-single-delete-vgg@digits",
        "veit-delete20-severe@digits",
        "veit-duplicate@digits",
        "veit-lesion-depth-trend@digits",
        "veit-sd-lesion@digits",
    ),
    described(
        "experiment",
        deletion_never_restored,
        _SINGLE,
        "veit-single-delete-first-module@digits",
        "veit-single-delete-downsampling@digits",
    ),
    described("experiment", lesions_leak_statistics, _SINGLE),
    described("experiment", stage_firsts_counted_from_one, "veit-multi-delete-protocol@any", "veit-reorder-protocol"),
    described("experiment", exchanges_across_stages, "veit-reorder-protocol"),
    described("experiment", units_counted_twice, "veit-reorder-protocol", "veit-multi-delete-protocol@any"),
    described("experiment", deletions_with_replacement, "veit-multi-delete-protocol@any"),
    described("experiment", draws_mislabelled, "veit-multi-delete-smooth@digits", "veit-ensemble-smooth@digits"),
    described("experiment", tau_of_the_reverse, "veit-reorder-smooth@digits"),
    described(
        "experiment",
        lesions_unseeded,
        tests=("tests/experiments/test_versions.py::test_a_version_stands_for_its_lesions[multiple_deletion]",),
    ),
    described("experiment", paths_with_replacement, "veit-grad-procedure", "veit-grad-exp-decay@digits"),
    described(
        "experiment", paths_exchanged, "veit-grad-procedure", "veit-grad-exp-decay@digits", "veit-paths-over-20@digits"
    ),
    described("experiment", path_skips_last_activation, "veit-grad-path-sum", "veit-grad-procedure"),
    described("experiment", path_units_counted_twice, "veit-effective-paths-5-17@digits", "veit-paths-over-20@digits"),
    *evaluations.FAULTS,
)
