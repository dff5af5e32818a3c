"""Do sequential verdicts keep their stated error, and what do they save?  Simulated.

Run as ``python -m benchmarks.sequential [--runs 1000] [--out baselines/sequential.json] [--format json]``.

1. *At the bound*: the truth lies exactly on the bound, so every decision is false.  The share of runs that ever decide,
   looking after every 128 of 10,000 images, must not exceed alpha; beside it an ordinary interval that is looked at as
   often (Wilson's for errors, the normal one for paired increases).
2. *The whole procedure* on the digits' 1,797 images: statements about one and about nine deletions, early stops and the
   last look by the ordinary bootstrap, lesions at the bound.
3. *Images used* against the distance of the truth from the bound, and the images that a sample size fixed beforehand
   needs to decide as often (a normal approximation, which must know the distance).
4. *Widths* against the beta-binomial mixture (Robbins 1970) and Wilson's fixed-size interval.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from resbench.claims.model import AtLeast, AtMost, Comparator, Expectation
from resbench.confidence_sequences import METHOD, SOURCE, mean_sequence, side_of
from resbench.experiments import lesions
from resbench.experiments.lesion_stopping import Statement, Stopping, last_confidence
from resbench.judging.compare import Status, compare
from resbench.records.measurement import Measurement

IMAGES, LOOK = 10_000, 128
ALPHAS = (0.01, 0.05, 0.1)
DIGITS = 1797

Counts = NDArray[np.int64]
Sides = NDArray[np.int64]
Rule = Callable[[Counts, float], Sides]
"""Counts ``(runs, looks, values)`` and alpha to the side of the bound, ``(runs, looks)``."""


class Law(NamedTuple):
    """How an image comes out: probabilities of the values; ``low`` is the least that is possible, 1 the most."""

    name: str
    values: tuple[float, ...]
    shares: tuple[float, ...]
    low: float

    @property
    def mean(self) -> float:
        return float(np.dot(self.values, self.shares))

    @property
    def deviation(self) -> float:
        return float(np.sqrt(np.dot(np.square(self.values), self.shares) - self.mean**2))


def error(share: float) -> Law:
    return Law(f"error {100 * share:g} %", (0.0, 1.0), (1.0 - share, share), 0.0)


def increase(more: float, less: float) -> Law:
    name = f"increase {100 * (more - less):g} points ({100 * (more + less):g} % of the predictions change)"
    return Law(name, (-1.0, 0.0, 1.0), (less, 1.0 - more - less, more), -1.0)


AT_BOUND = (
    *(error(share) for share in (0.02, 0.0661, 0.2, 0.5, 0.85)),
    *(increase(*pair) for pair in ((0.015, 0.015), (0.015, 0.005), (0.03, 0.015), (0.2, 0.05), (0.5, 0.0))),
)


def looks(law: Law, runs: int, generator: np.random.Generator, images: int = IMAGES) -> Counts:
    """How often each value has occurred at each look, ``(runs, looks, values)``."""
    sizes = np.diff([*range(0, images, LOOK), images])
    steps = np.stack([generator.multinomial(size, law.shares, size=runs) for size in sizes], axis=1)
    return steps.cumsum(1)


def sequence(law: Law, bound: float) -> Rule:
    """The confidence sequence that is used."""
    return lambda counts, alpha: side_of(bound, law.values, counts, alpha=alpha, low=law.low)


def ordinary(law: Law, bound: float) -> Rule:
    """An interval for one sample size, looked at again and again: what must not be done."""

    def sides(counts: Counts, alpha: float) -> Sides:
        from scipy.stats import norm

        z, n = norm.isf(alpha / 2.0), counts.sum(-1)
        mean = counts @ np.asarray(law.values) / n
        square = counts @ np.square(law.values) / n
        if law.low == 0.0:  # Wilson: the score test of the share
            room = z * np.sqrt(bound * (1.0 - bound) / n)
        else:
            room = z * np.sqrt(np.maximum(square - mean**2, 1e-12) / n)
        return (mean - room > bound).astype(np.int64) - (mean + room < bound).astype(np.int64)

    return sides


def false_share(rule: Rule, counts: Counts, alpha: float) -> float:
    """The share of runs in which a look decides."""
    return float((rule(counts, alpha) != 0).any(1).mean())


def at_bound(runs: int, seed: int = 1) -> list[dict[str, Any]]:
    rows = []
    for index, law in enumerate(AT_BOUND):
        counts = looks(law, runs, np.random.default_rng((seed, index)))
        rows += [
            {
                "law": law.name,
                "alpha": alpha,
                "false": false_share(sequence(law, law.mean), counts, alpha),
                "false, ordinary interval": false_share(ordinary(law, law.mean), counts, alpha),
            }
            for alpha in ALPHAS
        ]
    return rows


def statement(quantity: str, comparator: Comparator, unit: str = "points", **params: Any) -> Statement:
    """A statement about one simulated network, ``net``."""
    expectation = Expectation(
        setting="digits",
        kind="trained",
        quantity=f"lesions.{quantity}",
        params={"network": "net", **params},
        compare=comparator,
        unit=unit,
        origin="chosen",
        why="simulated",
    )
    return Statement("simulated", expectation, ("net",))


def judged(
    one: Statement, wrong: NDArray[np.bool_], ordinary_units: NDArray[np.bool_], alpha: float
) -> tuple[Status, bool, int]:
    """Run the whole procedure on ``wrong`` ``(1 + lesions, images)``: status, whether it came early, images used."""
    description = {"ordinary": ordinary_units, "changes_shape": ~ordinary_units}
    stopping = Stopping([one], {"net": description}, alpha)
    at = 0
    while stopping.going("net").any() and at < wrong.shape[1]:
        block = wrong[:, at : at + LOOK]
        stopping.after_batch("net", block[1:], block[0])
        at += block.shape[1]
    if isinstance(one.outcome, Measurement):
        return compare(one.expectation.compare, one.outcome).status, True, at
    quantity = getattr(lesions, one.expectation.quantity.split(".")[1])
    found: Measurement = quantity(({**description, "wrong": wrong},), **one.expectation.params)
    last = replace(found, confidence=last_confidence(alpha))
    return compare(one.expectation.compare, last).status, False, at


def drawn(
    units: int, base: float, more: float, less: float, images: int, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Errors ``(1 + units, images)`` of a network and its deletions, each of which changes some predictions."""
    whole = generator.random(images) < base
    changed = generator.random((units, images))
    # Given a right prediction it becomes wrong, given a wrong one right, so that the increase is more - less.
    wrong = np.where(whole, changed >= less / base, changed < more / (1.0 - base))
    return np.concatenate([whole[None], wrong])


def whole_procedure(runs: int, alpha: float = 0.05, images: int = DIGITS, seed: int = 2) -> list[dict[str, Any]]:
    """Lesions at the bound of 2 points on the digits: how many verdicts are wrong, early and at the last look."""
    rows = []
    cases: tuple[tuple[str, int, str, Comparator], ...] = (
        ("one deletion, at most", 1, "ordinary_median_increase", AtMost(bound=2.0)),
        ("median of nine, at least", 9, "ordinary_median_increase", AtLeast(bound=2.0)),
        ("mean of nine, at most", 9, "ordinary_mean_increase", AtMost(bound=2.0)),
    )
    for index, (name, units, quantity, comparator) in enumerate(cases):
        generator = np.random.default_rng((seed, index))
        early = late = 0
        for _ in range(runs):
            wrong = drawn(units, 0.1, 0.035, 0.015, images, generator)
            found = judged(statement(quantity, comparator), wrong, np.ones(units, dtype=bool), alpha)
            decided = found[0] in (Status.HOLDS, Status.VIOLATED)
            early, late = early + (decided and found[1]), late + (decided and not found[1])
        rows.append(
            {"statement": name, "alpha": alpha, "runs": runs, "false early": early / runs, "false late": late / runs}
        )
    return rows


def images_used(runs: int, alpha: float = 0.05, seed: int = 3) -> list[dict[str, Any]]:
    """How many of 10,000 images it takes, by the distance of the truth from the bound."""
    rows = []
    cases: list[tuple[Law, float]] = [
        *((error(0.2 + distance), 0.2) for distance in (0.01, 0.02, 0.05, 0.1, 0.3, 0.6)),
        *((increase(0.01 + shift, 0.01), 0.01) for shift in (0.0, 0.02, 0.05, 0.1, 0.3)),
    ]
    for index, (law, bound) in enumerate(cases):
        counts = looks(law, runs, np.random.default_rng((seed, index)))
        sides = sequence(law, bound)(counts, alpha)
        decided = (sides != 0).any(1)
        sizes = counts[0].sum(-1)
        used = np.where(decided, sizes[(sides != 0).argmax(1)], IMAGES)
        first = np.take_along_axis(sides, (sides != 0).argmax(1)[:, None], 1)[:, 0]
        rows.append(
            {
                "law": law.name,
                "bound": 100 * bound,
                "decided": float(decided.mean()),
                "false": float((first == -np.sign(law.mean - bound)).mean()),
                "median images": float(np.median(used)),
                "90th percentile": float(np.quantile(used, 0.9)),
                "fixed size, 90 % power": _fixed_size(law, bound, alpha),
            }
        )
    return rows


def _fixed_size(law: Law, bound: float, alpha: float) -> int:
    """Images after which a two-sided test at ``alpha`` decides with 90 %: known only to one who knows the truth."""
    from scipy.stats import norm

    return int(np.ceil(((norm.isf(alpha / 2.0) + norm.isf(0.1)) * law.deviation / abs(law.mean - bound)) ** 2))


def widths(alpha: float = 0.05) -> list[dict[str, Any]]:
    """Width of the interval of an error, in points, by method."""
    from resbench.statistics import wilson

    rows = []
    for images in (100, 1000, 10_000):
        for share in (0.02, 0.0661, 0.3, 0.9):
            wrong = round(share * images)
            low, high = mean_sequence([0, 1], [images - wrong, wrong], alpha=alpha)
            fixed = wilson(wrong, images, 1.0 - alpha)
            rows.append(
                {
                    "images": images,
                    "error": 100 * wrong / images,
                    "betting": 100 * float(high - low),
                    "beta-binomial": 100 * _beta_binomial(wrong, images, alpha),
                    "Wilson, one look": 100 * (fixed[1] - fixed[0]),
                }
            )
    return rows


def _beta_binomial(wrong: int, images: int, alpha: float) -> float:
    """Width of Robbins' sequence: the shares whose likelihood ratio against a Beta(1/2, 1/2) mixture is not small."""
    from scipy.special import betaln

    share = np.linspace(0.0, 1.0, 200_001)[1:-1]
    mixture = betaln(0.5 + wrong, 0.5 + images - wrong) - betaln(0.5, 0.5)
    held = share[mixture - wrong * np.log(share) - (images - wrong) * np.log1p(-share) < -np.log(alpha)]
    return float(held[-1] - held[0])


def record(runs: int) -> dict[str, Any]:
    return {
        "schema": "resbench.sequential/1",
        "method": METHOD,
        "source": SOURCE,
        "runs": runs,
        "images": IMAGES,
        "look": LOOK,
        "at_bound": at_bound(runs),
        "whole_procedure": whole_procedure(runs),
        "images_used": images_used(runs),
        "widths": widths(),
    }


def table(found: dict[str, Any]) -> str:
    from tabulate import tabulate

    titles = {
        "at_bound": "At the bound: the share of runs that ever decide",
        "whole_procedure": "The whole procedure on 1,797 images, lesions at the bound",
        "images_used": "Images used by the distance from the bound, alpha 0.05",
        "widths": "Widths in points, alpha 0.05",
    }
    return "\n\n".join(f"{title}\n{tabulate(found[key], headers='keys')}" for key, title in titles.items())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--format", choices=("table", "json"), default="table")
    options = parser.parse_args(arguments)
    found = record(options.runs)
    if options.out is not None:
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1) if options.format == "json" else table(found))


if __name__ == "__main__":
    main()
