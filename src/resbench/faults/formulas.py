"""Faults of arithmetic: the formulas from which exact claims are computed, and the reading of printed tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from fractions import Fraction
from types import ModuleType
from typing import Any

from resbench.experiments import combinatorics, published, published_he, schedules, structure_he_counts
from resbench.faults.fault import Fault
from resbench.faults.patching import replaced, together, wrapped

__all__ = ["FAULTS"]


def _fault(
    name: str, what: str, module: ModuleType, function: str, faulty: Callable[[Any], Callable[..., Any]], *claims: str
) -> Fault:
    """A fault of one function: ``faulty`` makes the wrong one of the right one."""
    inject: Callable[[], AbstractContextManager[None]] = lambda: wrapped(module, function, faulty)  # noqa: E731
    return Fault(f"formula-{name}", "experiment", what, inject, _exact(*claims))


def _exact(*claims: str) -> tuple[str, ...]:
    """Formulas are judged without a network."""
    return tuple(f"{claim}@any" for claim in claims)


# --- paths ----------------------------------------------------------------------------------------------------------


def _with_replacement(n: int, deleted: int, lengths: Sequence[int]) -> list[Fraction]:
    return [(1 - Fraction(deleted, n)) ** length for length in lengths]


def _moved(n: int, distance: int) -> Fraction:
    """Kendall's tau where one module is taken out and put in again: ``distance`` pairs change their order."""
    return 1 - Fraction(4 * distance, n * (n - 1))


def _longer(original: Callable[[int], list[int]]) -> Callable[[int], list[int]]:
    return lambda n: original(n + 1)[: n + 1]


def _end_left_out(original: Callable[..., Any]) -> Callable[..., Any]:
    def faulty(n: int, *arguments: Any, low: int | None = None, high: int | None = None) -> Any:
        given = [*arguments, *([low] if low is not None else []), *([high] if high is not None else [])]
        return original(n, *given[:-1], given[-1] - 1)

    return faulty


def _unweighted(original: Callable[[int, Any], list[Fraction]]) -> Callable[[int, Any], list[Fraction]]:
    """The gradient of one path of each length, where that of all paths of the length is meant."""

    def faulty(n: int, ratio: Any) -> list[Fraction]:
        weights = [share / math.comb(n, k) for k, share in enumerate(original(n, ratio))]
        return [weight / sum(weights) for weight in weights]

    return faulty


_OF_PATHS = (
    _fault(
        "paths-without-direct",
        "The path that goes by shortcuts only is not counted: 2^n - 1.",
        combinatorics,
        "path_count",
        lambda original: lambda n, deleted=0: original(n, deleted) - 1,
        *("veit-paths-2n", "veit-module-input-mixture", "veit-delete-halves-paths", "veit-delete-k-paths"),
        *("veit-delete10-2pow44", "veit-delete10-factor", "veit-pathlen-mean"),
    ),
    _fault(
        "plain-layer-skipped",
        "A layer removed from a plain network is stepped over as if it had a shortcut.",
        combinatorics,
        "plain_path_count",
        lambda original: lambda layers, removed=0: original(layers),
        "veit-plain-single-path",
    ),
    _fault(
        "binomial-of-one-more",
        "Path lengths are counted with the binomial coefficients of n + 1.",
        combinatorics,
        "length_counts",
        _longer,
        *("veit-pathlen-binomial", "veit-pathlen-extremes", "veit-pathlen-mean", "veit-pathlen-95pct"),
        *("veit-effective-045pct", "veit-23-modules", "veit-seed-delete2", "veit-total-grad-binomial"),
    ),
    _fault(
        "range-end-left-out",
        "A range of path lengths stops before its last one, as Python's does.",
        combinatorics,
        "share_of_lengths",
        _end_left_out,
        *("veit-pathlen-95pct", "veit-effective-045pct", "veit-23-modules"),
    ),
    _fault(
        "gradient-of-one-path",
        "The gradient by path length is r^k and not C(n, k) r^k: how many paths there are is forgotten.",
        combinatorics,
        "_gradient_by_length",
        _unweighted,
        *("veit-total-grad-binomial", "veit-effective-paths-5-17", "veit-paths-over-20", "veit-total-grad-peak"),
    ),
    _fault(
        "deletion-with-replacement",
        "Deleted modules are drawn with replacement: (1 - d/n)^x for C(n - d, x) / C(n, x).",
        combinatorics,
        "remaining_fractions",
        lambda original: _with_replacement,
        *("veit-remaining-fraction", "veit-remaining-fig7", "veit-delete-removes-long", "veit-seed-delete2"),
    ),
    _fault(
        "deletion-spares-no-length",
        "Of every length the same share of paths is taken to survive, 2^-d, as of all paths together.",
        combinatorics,
        "remaining_fractions",
        lambda original: lambda n, deleted, lengths: [Fraction(1, 2**deleted) for _ in lengths],
        *("veit-delete-removes-long", "veit-remaining-fraction", "veit-remaining-fig7"),
    ),
    _fault(
        "deleted-but-one",
        "One deletion less than asked for is done before the paths are counted.",
        combinatorics,
        "surviving_counts",
        lambda original: lambda n, deleted, lengths: original(n, max(0, deleted - 1), lengths),
        *("veit-delete10-effective-left", "veit-seed-delete2"),
    ),
    _fault(
        "gradient-left-by-share-of-modules",
        "Deletions take their share of the modules from the gradient, whatever paths it runs on.",
        combinatorics,
        "gradient_left",
        lambda original: lambda n, ratio, deleted: Fraction(n - deleted, n),
        "veit-delete-gradient-left",
    ),
    _fault(
        "stages-from-zero",
        "The first module of each stage is counted from 0 where modules are counted from 1.",
        combinatorics,
        "stage_firsts",
        lambda original: lambda units: [first - 1 for first in original(units)],
        *("veit-single-delete-imagenet152", "veit-reorder-protocol"),
    ),
    _fault(
        "exchange-is-a-move",
        "Kendall's tau of an exchange is that of moving one module: d pairs and not 2 d - 1.",
        combinatorics,
        "swap_tau",
        lambda original: _moved,
        "veit-reorder-tau-formula",
    ),
    _fault(
        "one-layer-a-module",
        "A module is taken for one layer where it has two.",
        combinatorics,
        "layers_of_paths",
        lambda original: lambda low, high, layers_per_module=1: original(low, high, 1),
        "veit-effective-10-34-layers",
    ),
    _fault(
        "unpooled-share-of-images",
        "The variance of a difference of two errors is that of one: its factor 2 is lost.",
        published,
        "z_score",
        lambda original: lambda: original() * math.sqrt(2.0),
        "veit-23-modules-notsig",
    ),
)


# --- stochastic depth -----------------------------------------------------------------------------------------------


def _from_first(original: Callable[..., Fraction]) -> Callable[..., Fraction]:
    def faulty(n: int, p_last: Any, unit: int, schedule: str = "linear") -> Fraction:
        if schedule != "linear" or unit == 0:
            return original(n, p_last, unit, schedule)
        return 1 - Fraction(unit - 1, max(1, n - 1)) * (1 - Fraction(str(p_last)))

    return faulty


def _always_linear(original: Callable[..., Fraction]) -> Callable[..., Fraction]:
    return lambda n, p_last, unit, schedule="linear": original(n, p_last, unit, "linear")


_OF_DEPTH = (
    _fault(
        "survival-from-first",
        "Survival decays with (l - 1) / (L - 1), from the first unit on.",
        schedules,
        "survival",
        _from_first,
        *("huang-survival-linear", "huang-expected-depth", "huang-3L4-limit", "huang-2L-networks"),
        *("huang-time-saving-25", "huang-time-saving-40", "huang-speedup-labels", "veit-sd-distribution"),
    ),
    _fault(
        "uniform-rule-decays",
        "The uniform rule is asked for, and the linear one is used.",
        schedules,
        "survival",
        _always_linear,
        *("huang-survival-uniform", "huang-speedup-labels"),
    ),
    _fault(
        "classifier-in-a-unit",
        "Stem and classifier are counted among the units' layers.",
        schedules,
        "units_of_layers",
        lambda original: lambda layers, layers_per_unit=2: Fraction(layers, layers_per_unit),
        *("huang-1202-recipe", "huang-imagenet-schedule", "huang-svhn-overfit"),
    ),
)


# --- He 2015 and 2016 -----------------------------------------------------------------------------------------------


def _accuracies() -> AbstractContextManager[None]:
    """Both readers of the printed tables take what is right for what is wrong."""

    def faulty(original: Callable[[str], dict[str, Any]]) -> Callable[[str], dict[str, Any]]:
        def errors(collection: str) -> dict[str, Any]:
            printed = original(collection)
            return {name: error if isinstance(error, str) else 100 - error for name, error in printed.items()}

        return errors

    return wrapped(published_he, "_errors", faulty)


def _depths_off_by_one() -> AbstractContextManager[None]:
    """The classifier is forgotten, in both directions."""
    return together(
        wrapped(
            published_he, "weight_layers", lambda original: lambda **given: [depth - 1 for depth in original(**given)]
        ),
        wrapped(published_he, "plain_activations", lambda original: lambda layers: original(layers=layers - 1)),
    )


def _units_of_depth(*, depths: Sequence[int], layers_per_unit: int) -> list[int]:
    return [(depth - 1) // layers_per_unit for depth in depths]


_OF_HE = (
    Fault(
        "formula-accuracy-for-error",
        "experiment",
        "The printed test errors are read as accuracies.",
        _accuracies,
        _exact(
            *("he-t1-identity-best", "he-t1-scale05-worse", "he-t1-short-bias-order", "he-gate-search"),
            *("he-preact-gap-grows", "he-preact-always-better", "he-deeper-worse-orig", "he-1001-462"),
            *("he-200-orig-overfits", "he-200-gain", "he-200-beats-inceptionv3", "he-101-bn-after-add"),
            *("resnet-imagenet-t2", "resnet-options", "resnet-1202-ok"),
        ),
    ),
    Fault(
        "formula-classifier-forgotten",
        "experiment",
        "The weight layers of a network are counted without its classifier.",
        _depths_off_by_one,
        _exact("resnet-6n2", "he-plain-n-1-activations"),
    ),
    _fault(
        "scalings-added",
        "The scalings of the shortcuts are added up along the units where they multiply.",
        published_he,
        "shortcut_product",
        lambda original: lambda factor, units: Fraction(factor) * units,
        "he-scaling-product",
    ),
    _fault(
        "gate-carries-g",
        "A gate's openness is taken for g where the shortcut carries 1 - g.",
        published_he,
        "gate_openness",
        lambda original: lambda biases, units: original(biases=[-bias for bias in biases], units=units),
        "he-gate-init-openness",
    ),
    _fault(
        "gate-search-stops-early",
        "The last bias of the search is left out.",
        published_he,
        "gate_bias_grid",
        lambda original: lambda **given: original(**given)[:-1],
        "he-gate-search",
    ),
    _fault(
        "gate-without-bias",
        "The parameters of gates are counted without their biases.",
        published_he,
        "shortcut_parameters",
        lambda original: lambda **given: original(**{**given, "bias": False}),
        "he-gate-more-params",
    ),
    _fault(
        "units-of-one-stage",
        "The units of one stage are given for those of the network.",
        published_he,
        "unit_counts",
        lambda original: lambda **given: [units // 3 for units in original(**given)],
        "he-unit-counts",
    ),
    Fault(
        "formula-units-with-a-remainder",
        "experiment",
        "The units of a depth are what it divides to, remainder or not.",
        lambda: replaced(published_he, "unit_counts", _units_of_depth),
        _exact("he-unit-counts"),
        ("tests/experiments/test_published_he.py::test_unit_counts_invert_the_depth",),
    ),
    _fault(
        "layers-counted-once-a-unit",
        "Each layer is counted as often as there are units: hooks are registered in a loop and never removed.",
        structure_he_counts,
        "_multiply_adds",
        lambda original: lambda depth, body: original(depth, body) * depth,
        "he-complexity-linear",
    ),
    _fault(
        "maps-for-reductions",
        "The sizes of the feature map are counted, not the steps between them.",
        published_he,
        "map_reductions",
        lambda original: lambda maps: len(maps),
        "he-footnote-downsampling",
    ),
    _fault(
        "epochs-of-45000",
        "An epoch is taken for 45,000 images: the validation images are not counted.",
        published_he,
        "epochs",
        lambda original: lambda iterations, batch, images: original(iterations=iterations, batch=batch, images=45_000),
        "he-recipe-cifar",
    ),
)

FAULTS: tuple[Fault, ...] = (*_OF_PATHS, *_OF_DEPTH, *_OF_HE)
