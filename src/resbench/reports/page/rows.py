"""One claim in one setting as the page shows it: its line on the board, and what it opens to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resbench.claims.loader import cite
from resbench.claims.model import Claim, Expectation, Order, Rank, Ratio
from resbench.judge import Check, Status, Verdict
from resbench.reports.board import compact_expected, compact_measured
from resbench.reports.catalogue import ORIGINS, PROVENANCE, alarms_text, effects_text, in_words
from resbench.reports.margins import room_text, size_text
from resbench.reports.page.strips import Strip, strip_of
from resbench.reports.verdicts import label, measured_text, remark, unit_of
from resbench.reports.words import place, unit_suffix

__all__ = ["CheckView", "Context", "Kill", "Past", "Row", "row_of"]

_WIDE = 44


@dataclass(frozen=True)
class Kill:
    """A seeded fault that this claim caught."""

    fault: str
    what: str


@dataclass(frozen=True)
class Past:
    """The verdict of an earlier run, ``when`` in words."""

    when: str
    status: Status
    measured: str
    version: int


@dataclass(frozen=True)
class Context:
    """What is known about claims besides the run.

    ``kills``, ``past``: by ``id@setting``.  ``seeds``: raw entries of the recorded seeds, by ``id@setting``, each a
    list of checks with ``measured`` and ``interval``.  ``alarms`` and ``powers``: by id and setting, as
    :mod:`resbench.calibration` gives them.
    """

    kills: Mapping[str, Sequence[Kill]]
    seeds: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]
    alarms: Mapping[str, Mapping[str, Mapping[str, float]]]
    powers: Mapping[str, Mapping[str, Sequence[Sequence[Any]]]]
    past: Mapping[str, Sequence[Past]]


@dataclass(frozen=True)
class CheckView:
    """One expectation: what was measured, what was expected, where that comes from."""

    status: Status
    measured: str
    expected: str
    origin: str
    why: str
    paper_value: str
    how: str
    remark: str
    strip: Strip | None
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Row:
    """``anchor`` names it in the page's address.  ``search``: what the filter looks at, in small letters."""

    anchor: str
    id: str
    version: int
    setting: str
    kind: str
    paper: str
    status: Status
    word: str
    measured: str
    expected: str
    place: str
    statement: str
    source: str
    provenance: str
    message: str
    breaks: str
    alarms: str
    descriptive: str
    waiver: str
    checks: tuple[CheckView, ...]
    kills: tuple[Kill, ...]
    past: tuple[Past, ...]
    conflicts: tuple[str, ...]
    changelog: tuple[str, ...]
    search: str

    @property
    def moved(self) -> bool:
        """Whether the verdict is another than in the last run."""
        return bool(self.past) and self.past[-1].status is not self.status


def row_of(verdict: Verdict, claim: Claim | None, paper: str, context: Context) -> Row:
    """The row of one verdict; ``claim`` is None where the catalogue does not have it (any more)."""
    item = f"{verdict.id}@{verdict.setting}"
    expectations = [one for one in claim.expect if one.setting == verdict.setting] if claim else []
    fitting = len(expectations) == len(verdict.checks) and claim is not None and claim.version == verdict.version
    views = []
    for index, check in enumerate(verdict.checks):
        expectation = expectations[index] if fitting else None
        views.append(_check_view(verdict, check, index, expectation, context))
    statement = claim.statement if claim else verdict.statement
    alarms = context.alarms.get(verdict.id, {}).get(verdict.setting)
    return Row(
        anchor=f"claim-{item}",
        id=verdict.id,
        version=verdict.version,
        setting=verdict.setting,
        kind=verdict.kind,
        paper=paper,
        status=verdict.status,
        word=label(verdict.status),
        measured="" if verdict.measured is None else compact_measured(verdict, _WIDE),
        expected=compact_expected(verdict, claim, _WIDE),
        place=place(verdict.source),
        statement=statement,
        source=cite(claim) if claim else verdict.source,
        provenance=PROVENANCE[claim.provenance] if claim else "",
        message="" if verdict.status in (Status.HOLDS, Status.WAIVED) else verdict.message,
        breaks=claim.breaks if claim else verdict.breaks,
        alarms=alarms_text(alarms) if alarms else "",
        descriptive=claim.descriptive if claim else "",
        waiver=verdict.waiver.sentence if verdict.waiver else "",
        checks=tuple(views),
        kills=tuple(context.kills.get(item, ())),
        past=tuple(context.past.get(item, ())),
        conflicts=tuple(claim.known_conflicts) if claim else (),
        changelog=tuple(claim.changelog) if claim else (),
        search=f"{item} {statement} {verdict.source}".lower(),
    )


def _check_view(
    verdict: Verdict, check: Check, index: int, expectation: Expectation | None, context: Context
) -> CheckView:
    judgement = check.judgement
    unit = unit_of(judgement.expected, check.unit)
    recorded = context.seeds.get(f"{verdict.id}@{verdict.setting}", ())
    seeds = [(one[index]["measured"], one[index]["interval"]) for one in recorded if index < len(one)]
    strip, facts, origin, why, paper_value = None, [], "", "", ""
    if expectation is not None:
        plain = "" if isinstance(expectation.compare, Rank | Ratio | Order) else unit_suffix(expectation.unit)
        strip = strip_of(expectation.compare, judgement.measured, judgement.interval, plain, seeds)
        origin, why, paper_value = ORIGINS[expectation.origin], expectation.why, expectation.paper_value
        powers = context.powers.get(verdict.id, {}).get(verdict.setting, ())
        if (margin := judgement.margin) is not None:
            room = room_text(margin, judgement.expected, check.unit)
            facts.append(("margin", ", ".join(part for part in (room, size_text(margin)) if part)))
        facts += effects_text(expectation, powers[index] if index < len(powers) else ())
    expected = in_words(expectation.compare, unit_suffix(expectation.unit)) if expectation else judgement.expected
    params = ", ".join(f"{key}={value!r}" for key, value in check.params.items())
    how = [f"{check.quantity}({params})", check.method, "" if check.n is None else f"n = {check.n:,}"]
    return CheckView(
        status=judgement.status,
        measured=measured_text(judgement.measured, judgement.interval, unit),
        expected=expected,
        origin=origin,
        why=why,
        paper_value=paper_value,
        how=", ".join(part for part in how if part),
        remark="; ".join(
            dict.fromkeys(part for part in (remark(judgement.message, judgement.expected), check.detail) if part)
        ),
        strip=strip,
        facts=tuple(facts),
    )
