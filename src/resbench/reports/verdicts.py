"""What all reports of verdicts share: names, papers, counts, the explanation of one verdict; and strict JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from resbench.claims.model import Claim
from resbench.judge import Check, Status, Verdict, summary
from resbench.judging.values import short
from resbench.judging.waivers import Use
from resbench.reports.words import MIN_WIDTH, clean, symbols, unit_suffix, wrap

__all__ = [
    "EXPLAINED",
    "Group",
    "by_reason",
    "counts",
    "details",
    "explain",
    "grouped",
    "label",
    "measured_text",
    "name",
    "on_target",
    "paper_title",
    "remark",
    "strict",
    "to_json",
    "unit_of",
]

EXPLAINED = (Status.VIOLATED, Status.INCONCLUSIVE, Status.STALE, Status.ERROR)
"""What a report explains at length."""

_PAPERS = {
    "veit2016": ("Veit, Wilber, Belongie 2016", "1605.06431"),
    "he2016": ("He, Zhang, Ren, Sun 2016", "1603.05027"),
    "huang2016": ("Huang, Sun, Liu, Sedra, Weinberger 2016", "1603.09382"),
    "he2015": ("He, Zhang, Ren, Sun 2015", "1512.03385"),
    "srivastava2015": ("Srivastava, Greff, Schmidhuber 2015", "1505.00387"),
    "units": ("What any correct residual network shows", ""),
}
"""Title and arXiv id.  ``units`` is no paper: each of its claims follows from a paper, which its place names."""

_NUMBERS = re.compile(r"(?:[\d\s.,/e+≥≤±-]|to)*\d")
_OTHER = "other"
_ENTRIES = 12


@dataclass(frozen=True)
class Group:
    """The verdicts on one paper's claims, in the catalogue's order."""

    paper: str
    title: str
    verdicts: tuple[Verdict, ...]


def name(verdict: Verdict) -> str:
    """``id@setting``, as pytest names the item."""
    return clean(f"{verdict.id}@{verdict.setting}")


def label(status: Status) -> str:
    """The word a person reads; NOT_MEASURED is no shouting matter."""
    return "not measured" if status is Status.NOT_MEASURED else status.value


def paper_title(paper: str, arxiv: str = "") -> str:
    """``Veit, Wilber, Belongie 2016 (arXiv:1605.06431v2)``; ``arxiv`` is the id with its version."""
    title, own = _PAPERS.get(paper, (clean(paper), arxiv))
    return f"{title} (arXiv:{clean(arxiv)})" if arxiv and own else title


def grouped(verdicts: Sequence[Verdict], claims: Sequence[Claim] = ()) -> list[Group]:
    """The verdicts by paper: the known ones first, then others as they come.

    A verdict whose claim is not among ``claims`` is placed by the arXiv id of its source.
    """
    order = {claim.id: index for index, claim in enumerate(claims)}
    papers = {claim.id: claim.paper for claim in claims if claim.paper}
    editions = {claim.paper: f"{claim.source.arxiv}{claim.source.version}" for claim in claims if claim.source}
    known = {arxiv: paper for paper, (_, arxiv) in _PAPERS.items() if arxiv}
    found: dict[str, list[Verdict]] = {paper: [] for paper in _PAPERS}
    for verdict in verdicts:
        cited = re.match(r"arXiv:([^,\s]+?)(v\d+)?(?:,|\s|$)", verdict.source)
        arxiv, version = (cited[1], cited[2] or "") if cited else ("", "")
        paper = papers.get(verdict.id) or known.get(arxiv) or (f"arXiv:{arxiv}" if arxiv else _OTHER)
        if arxiv and paper in _PAPERS:
            editions.setdefault(paper, arxiv + version)
        found.setdefault(paper, []).append(verdict)
    return [
        Group(
            paper,
            paper_title(paper, editions.get(paper, "")),
            tuple(sorted(members, key=lambda verdict: order.get(verdict.id, len(order)))),
        )
        for paper, members in found.items()
        if members
    ]


def counts(verdicts: Sequence[Verdict], always: Iterable[Status] = ()) -> str:
    """``31 HOLDS, 1 VIOLATED, 12 not measured``: the statuses that occur, and those ``always`` named."""
    totals = summary(verdicts)
    last = Status.NOT_MEASURED
    order = [*(status for status in Status if status is not last), last]
    named = [status for status in order if totals[status.value] or status in always]
    return ", ".join(f"{totals[status.value]} {label(status)}" for status in named)


def by_reason(verdicts: Iterable[Verdict]) -> dict[str, list[Verdict]]:
    """Those NOT_MEASURED by their reason; statements that assert nothing have one reason in common."""
    found: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.status is Status.NOT_MEASURED:
            reason = "asserts nothing measurable" if verdict.kind == "text" else clean(verdict.message)
            found.setdefault(reason or "no reason given", []).append(verdict)
    return found


def on_target(verdict: Verdict) -> bool:
    """Whether it speaks of the user's own network: then most of the catalogue is not measured, and shown briefly."""
    return verdict.setting == "target"


def unit_of(expected: str, unit: str) -> str:
    """`` points``; nothing where what was compared is a rank correlation or a ratio: these have no unit."""
    return "" if expected.startswith(("spearman ", "kendall ")) or " / " in expected else unit_suffix(unit)


def measured_text(value: Any, interval: tuple[float, float] | None, unit: str) -> str:
    """``0.93 [0.91, 0.95] %``; ``unit`` as :func:`unit_of` gives it.

    The interval of a list or table is that of one of its entries, which the judge's message names; not shown here.
    """
    if value is None:
        return "nothing"
    single = not isinstance(value, list | tuple | Mapping)
    span = f" [{short(interval[0])}, {short(interval[1])}]" if single and interval is not None else ""
    return clean(short(value, _ENTRIES)) + span + unit


def _expected_text(expected: str, unit: str) -> str:
    """``≥ 0.9 points``; no unit after words (``increasing``, names) and after a percentage of a value."""
    text = symbols(expected)
    return text + unit_suffix(unit) if _NUMBERS.fullmatch(text) else text


def remark(message: str, expected: str) -> str:
    """What the judge's sentence says beyond ``measured ..., expected ...``, which are shown on lines of their own."""
    text = clean(message)
    opening, found, rest = text.partition(f", expected {clean(expected)}")
    return rest.lstrip("; ") if expected and found and opening.startswith("measured ") else text


def details(verdict: Verdict) -> list[tuple[str, str]]:
    """What there is to say about a verdict, as (title, text): of several checks, each on its own."""
    fields = [("statement", verdict.statement), ("source", verdict.source)]
    message = verdict.message
    if verdict.waiver is not None:
        fields.append(("waiver", verdict.waiver.sentence))
        message = message.removeprefix(verdict.waiver.opening)
    if len(verdict.checks) > 1:
        fields += [("check", _check_text(check)) for check in verdict.checks]
    else:
        measured = measured_text(verdict.measured, verdict.interval, unit_of(verdict.expected, verdict.unit))
        fields += [
            ("measured", measured),
            ("expected", _expected_text(verdict.expected, verdict.unit)),
            ("message", remark(message, verdict.expected)),
            *(("how", _how(check)) for check in verdict.checks),
        ]
    fields.append(("what usually breaks it", verdict.breaks))
    return [(title, text) for title, text in fields if text]


def explain(verdict: Verdict, width: int = 80) -> str:
    """Why a verdict is what it is: for failing tests and under the board; no line over ``width`` (at least 40)."""
    width = max(width, MIN_WIDTH)
    lines = wrap(f"{label(verdict.status)} {name(verdict)} (claim version {verdict.version})", width, rest="  ")
    for title, text in details(verdict):
        lines += wrap(text, width, f"  {title:<10} " if len(title) <= 10 else f"  {title}: ", " " * 13)
    return "\n".join(lines)


def _check_text(check: Check) -> str:
    judgement = check.judgement
    unit = unit_of(judgement.expected, check.unit)
    parts = [f"{label(judgement.status)}: measured {measured_text(judgement.measured, judgement.interval, unit)}"]
    if judgement.expected:
        parts.append(f"expected {_expected_text(judgement.expected, check.unit)}")
    rest = remark(judgement.message, judgement.expected)
    return "; ".join([", ".join(parts), *([rest] if rest else []), _how(check)])


def _how(check: Check) -> str:
    """``lesions.error(network='vgg15'), Wilson, n = 797; detail``, where the message does not have the detail."""
    params = ", ".join(f"{key}={value!r}" for key, value in check.params.items())
    parts = [f"{check.quantity}({params})"]
    if check.method and check.method != "exact":
        parts.append(check.method)
    if check.n is not None:
        parts.append(f"n = {check.n}")
    detail = check.detail if check.detail and not check.judgement.message.endswith(check.detail) else ""
    return clean(", ".join(parts) + (f"; {detail}" if detail else ""))


def to_json(
    verdicts: Sequence[Verdict],
    environment: Mapping[str, object],
    sequential: Mapping[str, object] | None = None,
    waivers: Sequence[Use] = (),
    at: str = "",
) -> str:
    """The verdicts as strict JSON, schema 1; numbers that JSON lacks become ``"nan"``, ``"inf"`` and ``"-inf"``.

    ``sequential``: the record of a run that stopped as soon as the verdicts were decided.  ``waivers``: what became of
    each, also of those that no verdict needed.  ``at``: when they were judged (UTC, ISO 8601).
    """
    document = {
        "schema": 1,
        **({"at": at} if at else {}),
        "environment": environment,
        "verdicts": [verdict.to_json() for verdict in verdicts],
        "summary": summary(verdicts),
        **({"waivers": [use.to_json() for use in waivers]} if waivers else {}),
        **({} if sequential is None else {"sequential": sequential}),
    }
    return json.dumps(strict(document), indent=1, allow_nan=False)


def strict(value: Any) -> Any:
    """The value in JSON's own types; fractions and whatever else JSON lacks as text."""
    if hasattr(value, "tolist"):  # arrays and scalars of numpy or torch
        value = value.tolist()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): strict(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [strict(entry) for entry in value]
    return str(value)
