"""What counts as a change between two runs, and which are for the worse."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from tests.judging.run_samples import check, run, verdict

from resbench.judging.changes import Changes, Moved, changes_of

BETTER_FIRST = ["HOLDS", "WAIVED", "NOT_MEASURED", "INCONCLUSIVE", "STALE", "VIOLATED", "ERROR"]


def changed(before: dict[str, Any], after: dict[str, Any]) -> Changes:
    return changes_of(run(before), run(after))


@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(BETTER_FIRST, 2)))
def test_every_step_away_from_holds_is_worse(before: str, after: str) -> None:
    """And whatever is not measured any more, from wherever it came."""
    found = changed(verdict(status=before), verdict(status=after))
    worse = BETTER_FIRST.index(after) > BETTER_FIRST.index(before) or after == "NOT_MEASURED"
    assert (len(found.worse), len(found.better), found.same) == (int(worse), int(not worse), 0)
    assert found.bad is worse
    assert found.new == ()


@pytest.mark.parametrize("status", BETTER_FIRST)
def test_the_same_is_no_change(status: str) -> None:
    found = changed(verdict(status=status), verdict(status=status))
    assert (found.flips, found.same, found.bad) == ((), 1, False)


@pytest.mark.parametrize("status", BETTER_FIRST)
def test_a_claim_that_is_gone_is_worse_whatever_it_was(status: str) -> None:
    found = changes_of(run(verdict("veit-one"), verdict("veit-two", status)), run(verdict("veit-one")))
    assert [flip.name for flip in found.worse] == ["veit-two@digits"]
    assert found.worse[0].message == ""
    assert found.bad


@pytest.mark.parametrize("status", BETTER_FIRST)
def test_a_new_claim_is_worse_only_where_it_fails(status: str) -> None:
    found = changes_of(run(verdict("veit-one")), run(verdict("veit-one"), verdict("veit-two", status)))
    fails = status in ("INCONCLUSIVE", "STALE", "VIOLATED", "ERROR")
    assert found.bad is fails
    assert [flip.name for flip in found.worse if fails] == (["veit-two@digits"] if fails else [])
    assert len(found.new) == int(not fails)
    assert found.better == ()
    assert found.same == 1


def test_of_a_claim_each_setting_counts() -> None:
    found = changes_of(run(verdict(), verdict(setting="any")), run(verdict()))
    assert [flip.name for flip in found.worse] == ["veit-one@any"]


def test_the_worst_first() -> None:
    """By what they are now; a claim that is gone as one that is not measured; among equals the deeper fall."""
    before = [verdict(f"a-{name}") for name in "abcd"] + [verdict("a-e", "INCONCLUSIVE"), verdict("a-f", "VIOLATED")]
    after = [
        verdict("a-a", "INCONCLUSIVE"),
        verdict("a-b", "NOT_MEASURED"),
        verdict("a-d", "VIOLATED"),
        verdict("a-e", "VIOLATED"),
        verdict("a-f"),
    ]
    found = changes_of(run(*before), run(*after))
    names = [flip.name.removesuffix("@digits") for flip in found.flips]
    assert names == ["a-d", "a-e", "a-a", "a-b", "a-c", "a-f"]
    assert [flip.worse for flip in found.flips] == [True] * 5 + [False]


def test_a_waiver_that_newly_fails_the_run_is_worse() -> None:
    entry = {"claim": "veit-one", "state": "used", "message": "covers digits", "reason": "r", "owner": "o"}
    unused = {**entry, "state": "unused", "message": "the claim holds", "setting": "digits"}
    one = verdict()
    found = changes_of(run(one, waivers=[entry]), run(one, waivers=[unused]))
    assert [waiver.name for waiver in found.waivers] == ["veit-one@digits"]
    assert found.bad
    assert not found.worse
    assert changes_of(run(one, waivers=[unused]), run(one, waivers=[unused])).bad is False
    assert changes_of(run(one), run(one, waivers=[entry])).bad is False
    assert changes_of(run(one), run(one, waivers=[{**entry, "state": "expired"}])).bad is True


def moved(before: dict[str, Any], after: dict[str, Any]) -> tuple[Moved, ...]:
    return changed(verdict("veit-one", "HOLDS", before), verdict("veit-one", "HOLDS", after)).moved


def test_a_margin_moved_beyond_the_noise_of_both() -> None:
    """Half widths 3 and 4 make a noise of 5."""
    (found,) = moved(check(20.0, 10.0, 3.0), check(14.9, 4.9, 4.0))
    assert (found.name, found.noise) == ("veit-one@digits", 5.0)
    assert found.room == pytest.approx(-5.1)
    assert found.size == pytest.approx(-1.02)
    assert moved(check(20.0, 10.0, 3.0), check(15.0, 5.0, 4.0)) == ()


def test_one_interval_is_noise_enough() -> None:
    assert moved(check(20.0, 10.0), check(17.0, 7.0, 4.0)) == ()
    (found,) = moved(check(20.0, 10.0), check(15.95, 5.95, 4.0))
    assert found.noise == 4.0


def test_a_value_that_moved_to_the_other_side_did_move() -> None:
    """Its margin did not: it was as far from one bound as it is now from the other."""
    (found,) = moved(check(3.0, 2.0, 1.0), check(7.0, 2.0, 1.0))
    assert (found.room, found.size) == (0.0, 0.0)


def test_without_noise_any_change_counts() -> None:
    (found,) = moved(check(5.0, 1.0), check(5.0000001, 1.0000001))
    assert found.noise is None
    assert found.size == pytest.approx(1e-7 / 4)
    assert moved(check(5.0, 1.0), check(5.0, 1.0)) == ()
    assert len(moved(check([1, 2, 9], 1.0), check([1, 2, 8], 1.0))) == 1, "another entry than that which decided"
    assert len(moved(check("relu", None), check("tanh", None))) == 1


def test_of_a_list_the_margin_alone_is_compared_with_the_noise() -> None:
    assert moved(check([9.0, 5.0], 1.0, 1.0), check([1.0, 5.0], 1.5, 1.0)) == ()
    assert len(moved(check([9.0, 5.0], 1.0, 1.0), check([9.0, 5.0], 3.0, 1.0))) == 1


def test_ratios_are_compared_by_factors() -> None:
    """From 16 to 64: a factor of 4 beside intervals of a factor 2 either way, root of the sum of squares 2.67."""

    def ratio(value: float) -> dict[str, Any]:
        margin = {"room": math.log(value / 2), "half_width": math.log(2), "tolerance": math.log(2), "log": True}
        return check(value, margin=margin, interval=[value / 2, value * 2])

    (found,) = moved(ratio(64.0), ratio(16.0))
    assert found.room == pytest.approx(-math.log(4))
    assert moved(ratio(32.0), ratio(16.0)) == (), "the difference as well is one of logarithms: 0.69 within 0.98"
    assert moved(ratio(64.0), check(16.0, 5.0, 1.0)) == (), "no common scale"


def test_files_from_before_margins_are_compared_by_value_and_interval() -> None:
    assert len(moved(check(20.0, None, 3.0), check(10.0, None, 4.0))) == 1
    assert moved(check(20.0, None, 3.0), check(16.0, None, 4.0)) == ()
    assert len(moved(check(20.0, None, 3.0), check(10.0, 6.0, 4.0))) == 1
    assert moved(check(5.0, None, interval=["-inf", "inf"]), check(5.0, None)) == ()


def test_an_interval_of_no_width_is_no_noise() -> None:
    (found,) = moved(check(5.0, None, interval=[5.0, 5.0]), check(6.0, None, interval=[6.0, 6.0]))
    assert found.noise is None


def test_numbers_that_no_float_holds() -> None:
    assert len(moved(check(10**400, None), check(10**400 + 1, None))) == 1
    assert moved(check(10**400, None), check(5.0, 1.0, 1.0)) == ()
    assert moved(check(True, 1.0, 1.0), check(False, 1.0, 1.0)) == ()


def test_no_result_is_no_move() -> None:
    assert moved(check(None, None), check(5.0)) == ()
    assert moved(check(5.0), check(None, None)) == ()


def test_of_a_verdict_that_flipped_no_move_is_told() -> None:
    found = changed(verdict("a-b", "HOLDS", check(5.0, 1.0)), verdict("a-b", "VIOLATED", check(3.0, -1.0)))
    assert (found.moved, len(found.worse)) == ((), 1)


def test_only_what_asks_the_same_is_compared() -> None:
    """Else it is said that it does not; a verdict without any expectations has none to differ."""
    for other in ({"expected": ">= 3"}, {"params": {"network": "plain"}}, {"quantity": "lesions.two"}, {"unit": "1"}):
        found = changed(verdict("a-b", "HOLDS", check()), verdict("a-b", "HOLDS", check(9.0, 5.0, **other)))
        assert (found.moved, len(found.restated), found.bad) == ((), 1, False)
    assert changed(verdict("a-b", "HOLDS", check()), verdict("a-b", "NOT_MEASURED")).restated == ()
    assert changed(verdict("a-b", "NOT_MEASURED"), verdict("a-b", "HOLDS", check())).restated == ()


def test_another_version_is_told_and_not_compared() -> None:
    found = changed(verdict("a-b", "HOLDS", check()), verdict("a-b", "HOLDS", check(9.0, 5.0), version=2))
    assert [(old.version, new.version) for old, new in found.restated] == [(1, 2)]
    assert (found.moved, found.bad) == ((), False)


def test_expectations_stand_for_each_other_in_their_order() -> None:
    before = verdict("a-b", "HOLDS", check(5.0, 1.0), check(6.0, 2.0), check(1.0, 1.0, expected=">= 0"))
    after = verdict("a-b", "HOLDS", check(5.0, 1.0), check(7.0, 3.0), check(1.0, 1.0, expected=">= 0"))
    (found,) = changed(before, after).moved
    assert (found.before.measured, found.after.measured) == (6.0, 7.0)


def test_the_furthest_towards_its_bound_first() -> None:
    before = [verdict(f"a-{name}", "HOLDS", check(20.0, 10.0, 1.0)) for name in "abc"]
    after = [verdict(f"a-{name}", "HOLDS", check(20.0, room, 1.0)) for name, room in (("a", 15), ("b", 1), ("c", 5))]
    assert [one.name for one in changes_of(run(*before), run(*after)).moved] == [
        "a-b@digits",
        "a-c@digits",
        "a-a@digits",
    ]


def test_the_environment() -> None:
    before = {"python": "3.11", "packages": {"torch": "2.15.0", "numpy": None}, "git": {"commit": "aa", "dirty": True}}
    after = {"python": "3.11", "packages": {"torch": "2.16.0", "numpy": "2"}, "git": {"commit": "bb"}, "target": "m:b"}
    found = changes_of(run(verdict(), environment=before), run(verdict(), environment=after))
    assert found.environment == (
        ("torch", "2.15.0", "2.16.0"),
        ("numpy", None, "2"),
        ("git commit", "aa", "bb"),
        ("git dirty", True, None),
        ("target", None, "m:b"),
    )
    assert found.bad is False
