"""Verdicts as GitHub-flavoured Markdown: for a job's summary or a pull request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resbench.claims.model import Claim
from resbench.judge import Status, Verdict
from resbench.judging.waivers import Use
from resbench.reports.board import compact_expected, compact_measured, text_count
from resbench.reports.escaping import code as _code
from resbench.reports.escaping import md as _md
from resbench.reports.sequential import quantity_name, spent_text
from resbench.reports.verdicts import (
    EXPLAINED,
    Group,
    by_reason,
    counts,
    details,
    grouped,
    label,
    name,
)
from resbench.reports.waivers import LABELS
from resbench.reports.words import clean, place

__all__ = ["failure", "flat", "markdown", "not_measured", "paper_table", "spent_parts", "waiver_parts"]

_CELL = 60


def markdown(
    verdicts: Sequence[Verdict],
    claims: Sequence[Claim],
    environment: Mapping[str, object],
    sequential: Mapping[str, Any] | None = None,
    waivers: Sequence[Use] = (),
) -> str:
    """The counts, then what failed, the waivers, a table a paper, what was spent and where it was measured.

    ``sequential``: the record of a run that stopped as soon as the verdicts were decided.  ``waivers``: what became of
    each.
    """
    groups = grouped(verdicts, claims)
    known = {claim.id: claim for claim in claims}
    parts = ["# Claims", _md(counts(verdicts, always=(Status.HOLDS, *EXPLAINED, Status.NOT_MEASURED))) + "."]
    parts += [failure(verdict) for group in groups for verdict in group.verdicts if verdict.status in EXPLAINED]
    parts += waiver_parts(waivers)
    for group in groups:
        parts += [f"## {_md(group.title)}", _md(counts(group.verdicts)) + "."]
        parts += [*paper_table(group, known), *not_measured(group)]
    parts += [] if sequential is None else spent_parts(sequential)
    parts.append(_md(text_count(claims).capitalize()) + ".")
    if environment:
        parts.append(f"Measured with {_md(', '.join(flat(environment)))}.")
    return "\n\n".join(parts) + "\n"


def failure(verdict: Verdict) -> str:
    """What went wrong with one claim, under a heading of its own."""
    lines = [f"### {verdict.status.value} {_code(name(verdict))}", ""]
    return "\n".join(lines + [f"- {title}: {_md(text)}" for title, text in details(verdict)])


def paper_table(group: Group, known: Mapping[str, Claim]) -> list[str]:
    """A row a claim that was judged; nothing where none was."""
    from tabulate import tabulate  # only here: it takes 80 ms

    rows = [
        [
            verdict.status.value,
            _code(name(verdict)),
            _md(compact_measured(verdict, _CELL)),
            _md(compact_expected(verdict, known.get(verdict.id), _CELL)),
            _md(place(verdict.source)),
        ]
        for verdict in group.verdicts
        if verdict.status is not Status.NOT_MEASURED
    ]
    headers = ["status", "claim", "measured", "expected", "where"]
    return [tabulate(rows, headers, tablefmt="github", disable_numparse=True)] if rows else []


def waiver_parts(uses: Sequence[Use]) -> list[str]:
    """Every waiver: what became of it, who answers for it until when, and why."""
    from tabulate import tabulate  # only here: it takes 80 ms

    if not uses:
        return []
    rows = [
        [
            LABELS[use.state],
            _code(use.waiver.name),
            _md(use.message),
            _md(use.waiver.owner),
            str(use.waiver.expiry),
            _md(use.waiver.reason),
        ]
        for use in sorted(uses, key=lambda use: not use.red)
    ]
    headers = ["waiver", "claim", "what became of it", "owner", "expiry", "reason"]
    return ["## Waivers", tabulate(rows, headers, tablefmt="github", disable_numparse=True)]


def spent_parts(record: Mapping[str, Any]) -> list[str]:
    """Of a sequential run: the images of every statement, and which took all of theirs."""
    from tabulate import tabulate  # only here: it takes 80 ms

    rows = [
        [
            _code(one["name"]),
            _md(quantity_name(one)),
            f"{one['images']:,} of {one['of']:,}" if one["images"] else "",
            one["decided"],
        ]
        for one in record["statements"]
    ]
    parts = ["## Images", _sentence(spent_text(record))]
    if rows:
        headers = ["claim", "quantity", "images", "decided"]
        parts.append(tabulate(rows, headers, tablefmt="github", disable_numparse=True))
    if record["on_all_images"]:
        names = dict.fromkeys(one["name"] for one in record["on_all_images"])
        parts.append(f"On all their images (they vary between draws): {', '.join(map(_code, names))}.")
    return [*parts, _sentence(f"{record['method']}: {record['source']}")]


def not_measured(group: Group) -> list[str]:
    """Folded away, but every id is there."""
    reasons = by_reason(group.verdicts)
    if not reasons:
        return []
    number = sum(map(len, reasons.values()))
    lines = [
        f"- {_md(reason)}: {', '.join(_code(name(each)) for each in each_of)}" for reason, each_of in reasons.items()
    ]
    opening = f"<details><summary>{number} {label(Status.NOT_MEASURED)}</summary>"
    return [opening, "\n".join(lines), "</details>"]


def flat(environment: Mapping[str, object], prefix: str = "") -> list[str]:
    """``python 3.11.9``, ``torch 2.9``, ``git commit ...``; what is absent is left out."""
    found: list[str] = []
    for key, value in environment.items():
        if isinstance(value, Mapping):
            found += flat(value, "" if key == "packages" else f"{prefix}{key} ")
        elif value is not None:
            found.append(f"{prefix}{key} {value}")
    return found


def _sentence(text: str) -> str:
    plain = clean(text)
    return f"{_md(plain[:1].upper() + plain[1:])}."
