"""Exact quantities of the unraveled view (Veit 2016, sections 3, 5 and 6): paths, their lengths, what deletions leave.

Python integers and fractions only; a square root is the one thing that is rounded.  A residual network of ``n`` modules
unravels into paths, each of which passes a module through its residual branch or through its shortcut; a path's length
is the number of branches on it.  Modules are counted from 1.  ``ratio`` is the factor by which one more branch scales a
path's gradient; it is text (``"0.26"``, ``"13/50"``) or a number, which stands for its shortest decimal form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations

from resbench.experiments.schedules import survival

__all__ = [
    "deletions_for_factor",
    "exchangeable_modules",
    "formula_mismatches",
    "gradient_left",
    "gradient_length_deviation",
    "gradient_mean_lengths",
    "gradient_mode",
    "gradient_model_gap",
    "gradient_shares",
    "input_path_counts",
    "layers_of_paths",
    "length_count",
    "length_counts",
    "length_deviation",
    "mean_length",
    "mode_length",
    "path_count",
    "plain_path_count",
    "remaining_curve",
    "remaining_fractions",
    "remaining_path_fraction",
    "share_of_lengths",
    "stage_firsts",
    "stochastic_length_deviation",
    "stochastic_mean_length",
    "surviving_counts",
    "surviving_share",
    "swap_tau",
    "swap_taus",
    "tau_formula_gaps",
]

Ratio = str | int | float | Fraction


# --- how many paths -------------------------------------------------------------------------------------------------


def path_count(n: int, deleted: int = 0) -> int:
    """Paths from input to output after ``deleted`` of ``n`` modules lost their branch (section 3; section 4.2).

    Counted module by module: what enters one leaves it once by the shortcut and, unless deleted, once by the branch.
    """
    _check_deleted(n, deleted)
    paths = 1
    for module in range(1, n + 1):
        paths += paths if module > deleted else 0
    return paths


def input_path_counts(n: int) -> list[int]:
    """Paths that lead to module 1, ..., ``n``: the ``2^(i-1)`` distributions whose mixture it is fed (section 3)."""
    return [path_count(module - 1) for module in range(1, n + 1)]


def plain_path_count(layers: int, removed: int = 0) -> int:
    """Paths through a network without shortcuts: each layer is the only way on, and a removed one is none."""
    _check_deleted(layers, removed)
    paths = 1
    for layer in range(1, layers + 1):
        paths *= 0 if layer <= removed else 1
    return paths


def remaining_path_fraction(n: int, deleted: int) -> Fraction:
    """Share of the paths that survives ``deleted`` deletions (section 4.1: half of them a module)."""
    return Fraction(path_count(n, deleted), path_count(n))


def deletions_for_factor(n: int, factor: Ratio) -> int:
    """The number of deletions whose surviving share of the paths is nearest to ``factor``, in the logarithm."""
    wanted = math.log(_fraction(factor))
    return min(range(n + 1), key=lambda d: abs(math.log(remaining_path_fraction(n, d)) - wanted))


# --- how long they are ----------------------------------------------------------------------------------------------


def length_counts(n: int) -> list[int]:
    """Paths of length 0, ..., ``n``, built up module by module (Pascal's rule)."""
    counts = [1]
    for _ in range(n):
        counts = [skipped + passed for skipped, passed in zip([*counts, 0], [0, *counts], strict=True)]
    return counts


def length_count(n: int, length: int) -> int:
    """Paths through exactly ``length`` of ``n`` modules."""
    return length_counts(n)[length]


def mean_length(n: int) -> Fraction:
    """Mean path length, in modules (section 5: centred on ``n / 2``)."""
    return Fraction(sum(k * count for k, count in enumerate(length_counts(n))), path_count(n))


def length_deviation(n: int) -> float:
    """Standard deviation of the path length, in modules."""
    squares = Fraction(sum(k * k * count for k, count in enumerate(length_counts(n))), path_count(n))
    return math.sqrt(squares - mean_length(n) ** 2)


def mode_length(n: int) -> int:
    """The most frequent path length (the shorter one where two are)."""
    counts = length_counts(n)
    return counts.index(max(counts))


def share_of_lengths(n: int, low: int, high: int) -> Fraction:
    """Share of all paths that go through ``low`` to ``high`` modules."""
    return Fraction(sum(length_counts(n)[low : high + 1]), path_count(n))


def layers_of_paths(low: int, high: int, layers_per_module: int = 2) -> list[int]:
    """Layers on paths of ``low`` and of ``high`` modules (the abstract's "10-34 layers")."""
    return [layers_per_module * low, layers_per_module * high]


def stochastic_mean_length(n: int, p_last: Ratio) -> Fraction:
    """Mean length of a random path of the network that a training pass of stochastic depth (linear decay) uses."""
    return sum(_use(n, p_last), Fraction(0))


def stochastic_length_deviation(n: int, p_last: Ratio) -> float:
    """Standard deviation of that length: module ``l`` is on the path with probability ``p_l / 2``, independently."""
    return math.sqrt(sum((use * (1 - use) for use in _use(n, p_last)), Fraction(0)))


def _use(n: int, p_last: Ratio) -> list[Fraction]:
    return [survival(n, p_last, unit) / 2 for unit in range(1, n + 1)]


# --- how much gradient they carry -----------------------------------------------------------------------------------


def _gradient_by_length(n: int, ratio: Ratio) -> list[Fraction]:
    """``C(n, k) r^k``, normalised: the gradient of all paths of length ``k`` where one more branch scales by ``r``."""
    factor = _fraction(ratio)
    weights = [count * factor**k for k, count in enumerate(length_counts(n))]
    total = sum(weights)
    return [weight / total for weight in weights]


def gradient_model_gap(n: int, ratio: Ratio) -> Fraction:
    """Largest difference between ``C(n, k) r^k`` normalised and the distribution Binomial(n, r / (1 + r))."""
    use = _fraction(ratio) / (1 + _fraction(ratio))
    binomial = [math.comb(n, k) * use**k * (1 - use) ** (n - k) for k in range(n + 1)]
    return max(abs(a - b) for a, b in zip(_gradient_by_length(n, ratio), binomial, strict=True))


def gradient_mean_lengths(n: int, ratios: Sequence[Ratio]) -> list[Fraction]:
    """Mean path length weighted with the gradient, in modules, for each ratio."""
    return [_moment(n, ratio, 1) for ratio in ratios]


def gradient_length_deviation(n: int, ratio: Ratio) -> float:
    """Standard deviation of the path length weighted with the gradient, in modules."""
    return math.sqrt(_moment(n, ratio, 2) - _moment(n, ratio, 1) ** 2)


def _moment(n: int, ratio: Ratio, order: int) -> Fraction:
    return sum((k**order * share for k, share in enumerate(_gradient_by_length(n, ratio))), Fraction(0))


def gradient_mode(n: int, ratio: Ratio) -> int:
    """The path length that carries most gradient, in modules."""
    shares = _gradient_by_length(n, ratio)
    return shares.index(max(shares))


def gradient_shares(n: int, ratios: Sequence[Ratio], low: int, high: int) -> list[Fraction]:
    """Share of the gradient that paths of ``low`` to ``high`` modules carry, for each ratio."""
    return [sum(_gradient_by_length(n, ratio)[low : high + 1], Fraction(0)) for ratio in ratios]


def gradient_left(n: int, ratio: Ratio, deleted: int) -> Fraction:
    """Share of the gradient whose paths survive ``deleted`` deletions, summed over path lengths."""
    _check_deleted(n, deleted)
    factor = _fraction(ratio)
    return _weighted(n - deleted, factor) / _weighted(n, factor)


def _weighted(n: int, factor: Fraction) -> Fraction:
    return sum((count * factor**k for k, count in enumerate(length_counts(n))), Fraction(0))


# --- what deletions leave -------------------------------------------------------------------------------------------


def remaining_fractions(n: int, deleted: int, lengths: Sequence[int]) -> list[Fraction]:
    """``C(n - d, x) / C(n, x)``: the share of the paths of each length ``x`` that ``d`` deletions leave (section 6)."""
    _check_deleted(n, deleted)
    return [Fraction(math.comb(n - deleted, x), math.comb(n, x)) for x in lengths]


def remaining_curve(n: int, deleted: int) -> list[Fraction]:
    """:func:`remaining_fractions` for length 0 up to the first of which no path survives (figure 7)."""
    return remaining_fractions(n, deleted, range(n - deleted + 2 if deleted else n + 1))


def formula_mismatches(n: int) -> int:
    """In how many of all pairs (deletions, length) enumerating the paths contradicts ``C(n - d, x) / C(n, x)``."""
    wrong = 0
    for deleted in range(n + 1):
        for length in range(n + 1):
            paths = list(combinations(range(n), length))
            left = sum(1 for path in paths if not path or path[0] >= deleted)
            wrong += Fraction(left, len(paths)) != remaining_fractions(n, deleted, [length])[0]
    return wrong


def surviving_counts(n: int, deleted: int, lengths: Sequence[int]) -> list[int]:
    """Paths of each length that ``deleted`` deletions leave of ``n`` modules."""
    _check_deleted(n, deleted)
    left = length_counts(n - deleted) + [0] * deleted
    return [left[x] for x in lengths]


def surviving_share(n: int, deleted: int, low: int, high: int) -> Fraction:
    """Share of the paths of ``low`` to ``high`` modules that ``deleted`` deletions leave."""
    lengths = range(low, high + 1)
    return Fraction(sum(surviving_counts(n, deleted, lengths)), sum(surviving_counts(n, 0, lengths)))


# --- which modules, and in which order ------------------------------------------------------------------------------


def stage_firsts(units: Sequence[int]) -> list[int]:
    """The first module of every stage of ``units[s]`` modules; all but perhaps module 1 change the dimension."""
    return [1 + sum(units[:stage]) for stage in range(len(units))]


def exchangeable_modules(units: Sequence[int]) -> list[int]:
    """The modules that the re-ordering draws from: all but the first of each stage (section 4.3)."""
    return [module for module in range(1, sum(units) + 1) if module not in stage_firsts(units)]


def swap_tau(n: int, distance: int) -> Fraction:
    """Kendall's tau between the order of ``n`` modules and the same with two of them, ``distance`` apart, exchanged.

    Pairs are counted, concordant minus discordant.
    """
    order = list(range(n))
    order[0], order[distance] = order[distance], order[0]
    signs = [1 if b > a else -1 for a, b in combinations(order, 2)]
    return Fraction(sum(signs), len(signs))


def tau_formula_gaps(n: int) -> int:
    """For how many distances counting contradicts ``1 - 4 (2d - 1) / (n (n - 1))``."""
    return sum(swap_tau(n, d) != 1 - Fraction(4 * (2 * d - 1), n * (n - 1)) for d in range(1, n))


def swap_taus(n: int, distances: Sequence[int]) -> list[Fraction]:
    """:func:`swap_tau` for each distance."""
    return [swap_tau(n, distance) for distance in distances]


def _fraction(value: Ratio) -> Fraction:
    result = Fraction(value if isinstance(value, Fraction) else str(value))
    if result <= 0:
        raise ValueError(f"a ratio is above 0, not {value}")
    return result


def _check_deleted(n: int, deleted: int) -> None:
    if not 0 <= deleted <= n:
        raise ValueError(f"cannot delete {deleted} of {n} modules")
