"""What became of the waivers of a run, for people.  Waived verdicts speak for themselves; this is about the entries."""

from __future__ import annotations

from collections.abc import Sequence

from resbench.judging.waivers import State, Use
from resbench.reports.words import clean, wrap

__all__ = ["LABELS", "waiver_counts", "waiver_lines", "waiver_sentence"]

LABELS = {
    State.USED: "used",
    State.EXPIRED: "EXPIRED",
    State.UNUSED: "UNUSED",
    State.OPEN: "undecided",
    State.NOT_SELECTED: "not selected",
}
"""The word a person reads: in capitals what fails the run."""


def waiver_sentence(use: Use) -> str:
    """``he-x@digits: the claim holds: remove the waiver (a.person, until 2026-12-31: see issue 12)``."""
    waiver = use.waiver
    return clean(f"{waiver.name}: {use.message} ({waiver.owner}, until {waiver.expiry}: {waiver.reason})")


def waiver_counts(uses: Sequence[Use]) -> str:
    """``waivers: 2 used, 1 UNUSED``."""
    totals = {state: sum(use.state is state for use in uses) for state in State}
    return "waivers: " + ", ".join(f"{number} {LABELS[state]}" for state, number in totals.items() if number)


def waiver_lines(uses: Sequence[Use], width: int) -> list[str]:
    """The failing waivers and those that stayed undecided, a paragraph each, and all counts; nothing without any."""
    if not uses:
        return []
    named = sorted((use for use in uses if use.red or use.state is State.OPEN), key=lambda use: not use.red)
    lines = [
        line for use in named for line in wrap(f"{LABELS[use.state]} waiver {waiver_sentence(use)}", width, "", "  ")
    ]
    return [*lines, *wrap(waiver_counts(uses), width), ""]
