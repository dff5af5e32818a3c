"""What a claim's types cannot say: rules over the fields of one claim, each broken rule a field and a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from resbench.claims.model import (
    Between,
    Claim,
    Comparator,
    Equals,
    Expectation,
    Monotone,
    Order,
    Rank,
    Ratio,
    Within,
)

__all__ = ["SETTINGS", "nearest", "problems"]

SETTINGS: Mapping[str, tuple[str, ...]] = {
    "exact": ("any",),
    "structural": ("any", "target"),
    "reference": ("published",),
    "trained": ("digits", "cifar10", "cifar10-public", "cifar10-short", "cifar100", "svhn", "imagenet", "target"),
}
"""Where each kind is measured; ``target`` is a user's own network, ``cifar10-public`` six that others trained,
``cifar10-short`` the papers' own after a few epochs.

A misspelt setting would otherwise be a claim that is silently never measured.
"""


def problems(claim: Claim) -> Iterator[tuple[str, str]]:
    """Pairs (field, what is wrong with it), none for a sound claim."""
    if claim.expect and claim.not_asserted:
        yield "not_asserted", "is given although there is an expect; keep one of the two"
    if not claim.expect and not claim.not_asserted:
        yield "expect", "is missing; without one, not_asserted must say why nothing is asserted"
    if not claim.changelog[-1].startswith(f"{claim.version}: "):
        yield "changelog", f"the last entry must start with the current version: '{claim.version}: ...'"
    for index, expectation in enumerate(claim.expect):
        for field, problem in _expectation(expectation):
            yield f"expect[{index}].{field}", problem


def _expectation(expectation: Expectation) -> Iterator[tuple[str, str]]:
    allowed = SETTINGS[expectation.kind]
    if expectation.setting not in allowed:
        hint = nearest(expectation.setting, allowed)
        yield (
            "setting",
            f"'{expectation.setting}' is no setting of kind '{expectation.kind}' ({', '.join(allowed)}){hint}",
        )
    for name, value in expectation.params.items():
        problem = _not_json(value)
        if problem:
            yield f"params.{name}", problem
    compare = expectation.compare
    for name in compare.__struct_fields__:
        problem = _not_json(getattr(compare, name))
        if problem:
            yield f"compare.{name}", problem
    for name, problem in _comparator(compare):
        yield f"compare{name}", problem


def _not_json(value: object) -> str:
    """Why a value cannot stand in a claim: NaN, infinity, or a type that JSON lacks (TOML's dates)."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not a finite number"
    if isinstance(value, list):
        return next(filter(None, map(_not_json, value)), "")
    if isinstance(value, dict):
        return next(filter(None, map(_not_json, value.values())), "")
    if value is None or isinstance(value, str | int | float):
        return ""
    return f"{value} is neither text, number, list nor table"


def _comparator(compare: Comparator) -> Iterator[tuple[str, str]]:
    """Comparators that every value satisfies, or none; field names come with their dot."""
    if isinstance(compare, Equals | Within) and compare.value == []:
        yield ".value", "is an empty list"
    if isinstance(compare, Within):
        if compare.abs < 0 or compare.rel < 0:
            yield (".abs" if compare.abs < 0 else ".rel"), "a tolerance cannot be negative"
        elif compare.abs == 0 and compare.rel == 0:
            yield "", "within needs abs or rel; equals compares exactly"
    if isinstance(compare, Between) and compare.low > compare.high:
        yield "", f"low {compare.low} is above high {compare.high}"
    if isinstance(compare, Monotone) and compare.slack < 0:
        yield ".slack", "a tolerance cannot be negative"
    if isinstance(compare, Monotone) and compare.strict and compare.slack > 0:
        yield ".slack", "a strict monotone has no slack"
    if isinstance(compare, Order):
        twice = sorted({name for name in compare.names if compare.names.count(name) > 1})
        if twice:
            yield ".names", f"'{twice[0]}' stands there twice"
        if compare.margin < 0:
            yield ".margin", "cannot be negative: the names ascend"
    if isinstance(compare, Rank | Ratio):
        low, high = compare.at_least, compare.at_most
        if low is None and high is None:
            yield "", "needs at_least or at_most"
        elif low is not None and high is not None and low > high:
            yield "", f"at_least {low} is above at_most {high}"
    if isinstance(compare, Rank) and any(
        bound is not None and abs(bound) > 1 for bound in (compare.at_least, compare.at_most)
    ):
        yield "", "a rank correlation lies between -1 and 1"
    if isinstance(compare, Ratio) and compare.over == compare.under:
        yield ".under", "is the same entry as over"


def nearest(word: str, known: Mapping[str, object] | tuple[str, ...] | list[str]) -> str:
    """``; did you mean 'x'?`` with the nearest of the known words, or nothing."""
    close = get_close_matches(word, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
