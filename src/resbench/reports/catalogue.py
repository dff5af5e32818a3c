"""The catalogue of claims for a terminal: all of them, a line each, and one of them whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from resbench.claims.loader import cite
from resbench.claims.model import (
    AtLeast,
    AtMost,
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
from resbench.judging.power import LIKELY, MOSTLY, Effect, Power
from resbench.reports.verdicts import paper_title
from resbench.reports.words import MIN_WIDTH, clean, cut, figure, unit_suffix, wrap

__all__ = [
    "ORIGINS",
    "PROVENANCE",
    "alarms_text",
    "claim_details",
    "claims_table",
    "effects_text",
    "in_words",
]

_GAP = "  "
_UNVERIFIED = "unverified: "

PROVENANCE = {
    "seen": "seen: read in a source",
    "derived": "derived: computed from a formula or from published raw data",
    "digitised": "digitised: read off a figure by eye",
    "memory": "UNVERIFIED (memory): recalled, not confirmed in a source; it can never fail a run",
}
ORIGINS = {
    "paper": "the paper's own",
    "derived": "derived",
    "measured": "measured over seeds",
    "chosen": "chosen by us",
}


def claims_table(claims: Sequence[Claim], *, width: int = 80) -> str:
    """Every claim, one line each, by paper; no line wider than ``width`` (at least 40).

    The settings are shown where there is room for them.
    """
    width = max(width, MIN_WIDTH)
    papers: dict[str, list[Claim]] = {}
    for claim in claims:
        papers.setdefault(claim.paper, []).append(claim)
    names = min(max((len(claim.id) for claim in claims), default=0), width * 7 // 20)
    kinds = max((len(claim.kind) for claim in claims), default=0)
    settings = max((len(_settings(claim)) for claim in claims), default=0) if width >= 110 else 0
    lines: list[str] = []
    for paper, members in papers.items():
        source = members[0].source
        title = paper_title(paper, f"{source.arxiv}{source.version}" if source else "") or "other"
        lines += wrap(f"{title}: {len(members)} claim{'s' if len(members) > 1 else ''}", width)
        for claim in members:
            head = f"{clean(claim.id):<{names}}{_GAP}{claim.kind:<{kinds}}"
            head += f"{_GAP}{_settings(claim):<{settings}}" if settings else ""
            statement = clean(claim.statement if claim.verified else _UNVERIFIED + claim.statement)
            lines.append(cut(f"{head}{_GAP}{statement}", width))
        lines.append("")
    return "\n".join([*lines, *wrap(_totals(claims), width)])


def _settings(claim: Claim) -> str:
    return clean(", ".join(claim.settings)) or "-"


def _totals(claims: Sequence[Claim]) -> str:
    kinds: dict[str, int] = {}
    for claim in claims:
        kinds[claim.kind] = kinds.get(claim.kind, 0) + 1
    parts = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
    return f"{len(claims)} claims ({parts}); `resbench claims show ID` shows one whole" if claims else "no claims"


def claim_details(
    claim: Claim,
    *,
    width: int = 80,
    false_alarm: Mapping[str, Mapping[str, float]] | None = None,
    power: Mapping[str, Sequence[Sequence[Power]]] | None = None,
) -> str:
    """One claim whole, wrapped to ``width`` (at least 40).

    ``false_alarm``: by setting ``seeds``, ``alarms``, their ``probability``, ``upper`` (its 95 % bound) and ``stale``,
    as measured on fresh seeds.  ``power``: by setting and expectation the smallest effects seen.
    """
    width = max(width, MIN_WIDTH)
    source = f'{cite(claim)} ("{claim.source.title}")' if claim.source else cite(claim)
    lines = wrap(f"{claim.id}, version {claim.version}", width)
    lines += wrap(claim.statement, width, _GAP)
    fields = (
        ("paper", paper_title(claim.paper)),
        ("source", source),
        ("provenance", PROVENANCE[claim.provenance]),
        ("settings", ", ".join(claim.settings)),
        ("not asserted", claim.not_asserted),
        ("breaks it", claim.breaks),
        ("descriptive", claim.descriptive),
    )
    lines += ["", *_fields(fields, width, "")]
    for index, expectation in enumerate(claim.expect, start=1):
        number = f"expectation {index} of {len(claim.expect)}" if len(claim.expect) > 1 else "expectation"
        lines += ["", *wrap(f"{number}: setting {expectation.setting}, kind {expectation.kind}", width)]
        alarms = (false_alarm or {}).get(expectation.setting)
        place = [other for other in claim.expect if other.setting == expectation.setting].index(expectation)
        seen = (power or {}).get(expectation.setting)
        lines += _fields(_expectation(expectation, alarms), width, _GAP)
        lines += _fields(effects_text(expectation, seen[place] if seen else ()), width, _GAP)
    for title, entries in (("known conflicts", claim.known_conflicts), ("changelog", claim.changelog)):
        if entries:
            lines += ["", title, *(line for entry in entries for line in wrap(entry, width, "- "))]
    return "\n".join(lines)


def _fields(fields: Sequence[tuple[str, str]], width: int, indent: str) -> list[str]:
    return [line for title, text in fields if text for line in wrap(text, width, f"{indent}{title:<13}")]


def _expectation(expectation: Expectation, alarms: Mapping[str, float] | None) -> list[tuple[str, str]]:
    params = ", ".join(
        f"{key} = {json.dumps(value, ensure_ascii=False, default=str)}" for key, value in expectation.params.items()
    )
    better = {"higher": "higher is better", "lower": "lower is better", "none": ""}[expectation.direction]
    fields = [
        ("measured by", f"{expectation.quantity}({params})"),
        ("must be", in_words(expectation.compare, unit_suffix(expectation.unit))),
        ("direction", better),
        ("tolerance", f"{ORIGINS[expectation.origin]}: {expectation.why}"),
        ("paper says", expectation.paper_value),
    ]
    if alarms:
        fields.append(("false alarms", alarms_text(alarms)))
    return fields


def alarms_text(alarms: Mapping[str, float]) -> str:
    seeds, stale = int(alarms["seeds"]), int(alarms.get("stale", 0))
    old = (
        f"STALE: {stale} recorded seed{'s' if stale > 1 else ''} of another version of the claim, its networks or data"
    )
    if not seeds:
        return f"{old}; `resbench calibrate` records them anew"
    fired, upper = int(alarms["alarms"]), alarms["upper"]
    rate = f"{fired} on {seeds} fresh seed{'s' if seeds > 1 else ''}: probability {100 * fired / seeds:.3g} %"
    return f"{rate}, at most {100 * upper:.3g} % (95 % upper bound){f'; {old}' if stale else ''}"


def effects_text(expectation: Expectation, powers: Sequence[Power]) -> list[tuple[str, str]]:
    """The smallest effects that the expectation sees, towards each bound."""
    compare = expectation.compare
    dimensionless = isinstance(compare, Rank | Ratio)
    unit = "" if dimensionless else unit_suffix("points" if expectation.unit == "%" else expectation.unit)
    of = " of the smallest step" if isinstance(compare, Monotone | Order) else ""
    fields = []
    for power in powers:
        likely, mostly = (_effect(power.effect(wanted), power, unit) for wanted in (LIKELY, MOSTLY))
        seeds = len(power.margins)
        text = f"a {power.way}{of} by {likely}, by {mostly} ({seeds} seed{'s' if seeds > 1 else ''})"
        fields.append(("sees", text))
    return fields


def _effect(effect: Effect, power: Power, unit: str) -> str:
    size = f"a factor of {figure(effect.size)}" if power.factor else f"{figure(effect.size)}{unit}"
    return f"{size} with probability {100 * effect.probability:.0f} %"


def in_words(compare: Comparator, unit: str) -> str:
    """What a comparator accepts, as a sentence, with every digit; ``unit`` starts with a space where there is one."""
    match compare:
        case Equals():
            return f"exactly {_literal(compare.value)}{unit}"
        case Within():
            points = " points" if unit == " %" else unit  # "0.5 % of 6.61 %" would be taken for a relative tolerance
            tolerances = [f"{_literal(compare.abs)}{points}"] if compare.abs else []
            tolerances += [f"{_literal(100 * compare.rel)} % of the value"] if compare.rel else []
            return f"within {' plus '.join(tolerances)} of {_literal(compare.value)}{unit}"
        case AtLeast():
            return f"at least {_literal(compare.bound)}{unit}"
        case AtMost():
            return f"at most {_literal(compare.bound)}{unit}"
        case Between():
            return f"between {_literal(compare.low)} and {_literal(compare.high)}{unit}"
        case Monotone():
            slack = f", a step back of at most {_literal(compare.slack)}{unit} allowed" if compare.slack else ""
            return f"{'strictly ' if compare.strict else ''}{compare.direction} from value to value{slack}"
        case Rank():
            name = compare.statistic.capitalize()
            return f"a {name} rank correlation {_bounds(compare.at_least, compare.at_most)}"
        case Ratio():
            return f"{compare.over} divided by {compare.under} {_bounds(compare.at_least, compare.at_most)}"
        case Order():
            margin = f", each by at least {_literal(compare.margin)}{unit}" if compare.margin else ""
            return f"in ascending order: {', '.join(compare.names)}{margin}"


def _bounds(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"between {_literal(low)} and {_literal(high)}"
    return f"of at least {_literal(low)}" if low is not None else f"of at most {_literal(high)}"


def _literal(value: Any) -> str:
    """Every digit of a number as the claim file has it; lists without brackets."""
    if isinstance(value, list):
        return ", ".join(map(_literal, value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.12g}" if isinstance(value, float) else clean(value)
