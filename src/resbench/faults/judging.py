"""Faults of the judge: of claims as they are read, of comparators, and of what becomes of several checks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec

from resbench import judge
from resbench.claims import loader
from resbench.claims.model import AtLeast, AtMost, Claim, Comparator, Expectation, Monotone, Ratio, Within
from resbench.errors import NotMeasured
from resbench.faults import intervals
from resbench.faults.described import Function, Injected, described
from resbench.faults.fault import Fault
from resbench.faults.patching import replaced, wrapped
from resbench.judging import compare, statistic, values
from resbench.judging.compare import Judgement, Status
from resbench.judging.statistic import Region

__all__ = ["FAULTS"]


# --- the claims as they are read ------------------------------------------------------------------------------------


def _claims_with(change: Callable[[Expectation], Expectation]) -> Injected:
    def faulty(original: Function) -> Function:
        def load_claims(files: Any = None) -> list[Claim]:
            return [
                msgspec.structs.replace(claim, expect=[change(one) for one in claim.expect])
                for claim in original(files)
            ]

        return load_claims

    return wrapped(loader, "load_claims", faulty)


def tolerance_of_a_claim_widened() -> Injected:
    """Claims' tolerances are doubled where the claims stand, without a new version."""

    def change(expectation: Expectation) -> Expectation:
        known = expectation.compare
        if not isinstance(known, Within):
            return expectation
        wider = msgspec.structs.replace(known, abs=2.0 * known.abs, rel=2.0 * known.rel)
        return msgspec.structs.replace(expectation, compare=wider)

    return _claims_with(change)


def comparator_of_a_claim_flipped() -> Injected:
    """What must be at least a bound is read as what must be at most that bound."""

    def change(expectation: Expectation) -> Expectation:
        known = expectation.compare
        if not isinstance(known, AtLeast):
            return expectation
        return msgspec.structs.replace(expectation, compare=AtMost(bound=known.bound))

    return _claims_with(change)


def direction_of_a_claim_lost() -> Injected:
    """Claims no longer say which way a quantity should go."""
    return _claims_with(lambda expectation: msgspec.structs.replace(expectation, direction="none"))


# --- comparators ----------------------------------------------------------------------------------------------------


def _regions(change: Callable[[Comparator, Region], Region]) -> Injected:
    def faulty(original: Function) -> Function:
        return lambda comparator, count: [change(comparator, region) for region in original(comparator, count)]

    return wrapped(statistic, "regions", faulty)


def _around(region: Region) -> tuple[Any, Any]:
    """Middle and half width of a region with two ends."""
    assert region.low is not None
    assert region.high is not None
    return (region.low + region.high) / 2, (region.high - region.low) / 2


def bounds_flipped() -> Injected:
    """The judge takes lower bounds for upper ones and upper for lower ones."""

    def change(comparator: Comparator, region: Region) -> Region:
        return Region(region.high, region.low, region.strict) if isinstance(comparator, AtLeast | AtMost) else region

    return _regions(change)


def tolerance_doubled() -> Injected:
    """The judge allows twice the tolerance on either side."""

    def change(comparator: Comparator, region: Region) -> Region:
        if not isinstance(comparator, Within):
            return region
        middle, half = _around(region)
        return Region(middle - 2 * half, middle + 2 * half)

    return _regions(change)


def relative_tolerance_forgotten() -> Injected:
    """Only the absolute part of a tolerance is read."""

    def change(comparator: Comparator, region: Region) -> Region:
        if not isinstance(comparator, Within):
            return region
        middle, room = _around(region)[0], values.number(comparator.abs)
        return Region(middle - room, middle + room)

    return _regions(change)


def strictness_forgotten() -> Injected:
    """A list that must rise strictly may stay where it is."""
    return _regions(lambda _, region: Region(region.low, region.high))


def _statistics(change: Callable[[Comparator], Comparator]) -> Injected:
    def faulty(original: Function) -> Function:
        return lambda comparator, numbers: original(change(comparator), numbers)

    return wrapped(statistic, "statistics", faulty)


def ratio_inverted() -> Injected:
    """A ratio is that of its denominator to its numerator."""

    def change(comparator: Comparator) -> Comparator:
        if not isinstance(comparator, Ratio):
            return comparator
        return msgspec.structs.replace(comparator, over=comparator.under, under=comparator.over)

    return _statistics(change)


def lists_always_rise() -> Injected:
    """The direction of a monotone list is not read: it must always increase."""

    def change(comparator: Comparator) -> Comparator:
        monotone = isinstance(comparator, Monotone)
        return msgspec.structs.replace(comparator, direction="increasing") if monotone else comparator

    return _statistics(change)


def nan_passes() -> Injected:
    """A check is red where the value is below its bound; of NaN that is never true."""

    def faulty(original: Function) -> Function:
        def compared(comparator: Comparator, measurement: Any) -> Judgement:
            value = measurement.value
            if isinstance(value, float) and math.isnan(value):
                return Judgement(Status.HOLDS, None, values.expected_text(comparator), None, "measured nan")
            found: Judgement = original(comparator, measurement)
            return found

        return compared

    return wrapped(compare, "compare", faulty)


def first_entry_only() -> Injected:
    """Of a list only the first entry is compared."""
    return wrapped(compare, "_decide", lambda original: lambda c, m, points, i: original(c, m, points[:1], i and i[:1]))


# --- from checks to a verdict ---------------------------------------------------------------------------------------


def best_check_decides() -> Injected:
    """Of a claim's checks the best decides, not the worst."""
    return replaced(judge, "WORST_FIRST", judge.WORST_FIRST[::-1])


def exceptions_are_gaps() -> Injected:
    """Whatever an experiment raises counts as not measured, which fails no run."""

    def faulty(original: Function) -> Function:
        def check(expectation: Expectation, outcome: Any) -> judge.Check:
            given = NotMeasured(str(outcome)) if isinstance(outcome, Exception) else outcome
            found: judge.Check = original(expectation, given)
            return found

        return check

    return wrapped(judge, "_check", faulty)


def undecided_passes() -> Injected:
    """A run whose intervals straddle their bounds ends with exit code 0."""
    return replaced(judge, "_FAILURES", judge._FAILURES - {Status.INCONCLUSIVE})


def nothing_is_verified() -> Injected:
    """Every claim counts as quoted from memory, whose failures are reported as not measured."""
    return replaced(Claim, "verified", property(lambda self: False))


_COMPARATORS = "tests/judging/test_comparators.py::"
_LOCK = ("tests/claims/test_lock.py::test_the_packages_lock_is_up_to_date",)

FAULTS: tuple[Fault, ...] = (
    described("judge", tolerance_of_a_claim_widened, tests=_LOCK),
    described("judge", comparator_of_a_claim_flipped, "veit-single-delete-vgg@cifar10-public", "huang-grad-fig7"),
    described("judge", direction_of_a_claim_lost, tests=_LOCK),
    described("judge", bounds_flipped, "veit-single-delete-vgg@cifar10-public", "huang-heatmap@digits"),
    described("judge", tolerance_doubled, tests=(_COMPARATORS + "test_exact",)),
    described("judge", relative_tolerance_forgotten, "he-param-110", "he-scaling-product", "huang-recipe@any"),
    described("judge", strictness_forgotten, tests=(_COMPARATORS + "test_exact",)),
    described("judge", ratio_inverted, "he-*@digits", "resnet-degradation@digits", "veit-*-gap@cifar10-public"),
    described("judge", lists_always_rise, "veit-lesion-depth-trend@cifar10-public"),
    described(
        "judge",
        nan_passes,
        tests=("tests/judging/test_comparator_properties.py::test_what_is_no_number_is_never_green_nor_red",),
    ),
    described("judge", first_entry_only, tests=(_COMPARATORS + "test_lists_are_judged_by_their_worst_element",)),
    described("judge", best_check_decides, tests=("tests/test_judge.py::test_the_worst_expectation_decides",)),
    described("judge", exceptions_are_gaps, tests=("tests/test_judge.py::test_one_expectation",)),
    described("judge", undecided_passes, tests=("tests/test_judge.py::test_exit_codes",)),
    described("judge", nothing_is_verified, tests=("tests/test_judge.py::test_one_expectation",)),
    *intervals.FAULTS,
)
