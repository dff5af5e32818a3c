"""The page as one HTML file: template, style, script and library, with nothing fetched from anywhere."""

from __future__ import annotations

import base64
import json
import shlex
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resbench.claims.model import Claim
from resbench.figures.model import Figure, Missing
from resbench.judge import Status, Verdict, exit_code, summary
from resbench.reports.margins import nearest, size_text
from resbench.reports.page.rows import Context, Row, row_of
from resbench.reports.verdicts import EXPLAINED, by_reason, counts, grouped, label
from resbench.reports.words import clean

__all__ = ["Page", "html", "verdict_sentence"]

MARKS: Mapping[str, str] = {
    "HOLDS": "✓",
    "VIOLATED": "✗",
    "INCONCLUSIVE": "~",
    "STALE": "↻",
    "ERROR": "!",
    "WAIVED": "w",
    "NOT_MEASURED": "·",
}
"""A status is never told by its colour alone."""

_MEANINGS: Mapping[Status, str] = {
    Status.HOLDS: "the whole interval is accepted",
    Status.VIOLATED: "it lies wholly outside",
    Status.INCONCLUSIVE: "it straddles the bound",
    Status.STALE: "evidence of something else",
    Status.ERROR: "no number",
    Status.WAIVED: "known, and answered for",
    Status.NOT_MEASURED: "nothing there to judge",
}
_GALLERIES = (
    ("veit2016", "Veit 2016"),
    ("he2016", "He 2016"),
    ("huang2016", "Huang 2016"),
    ("lesions", "Lesions"),
    ("throughput", "Throughput"),
    ("faults", "Faults"),
)
_NEAREST = 6
_ICON = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><path d='M2 8h12M5 8c0-5 6-5 6 0' fill='none'"
    " stroke='#009e73' stroke-width='2'/></svg>"
)


@dataclass(frozen=True)
class Page:
    """All that is shown.  ``made``: when, of which commit, with what, a phrase each.  ``measured_now``: in words."""

    verdicts: Sequence[Verdict]
    claims: Sequence[Claim]
    context: Context
    figures: Sequence[Figure]
    made: Sequence[str]
    measured_now: str


@dataclass(frozen=True)
class _Group:
    paper: str
    title: str
    counts: str
    rows: tuple[Row, ...]

    @property
    def failing(self) -> list[Row]:
        """Those that `resbench check` fails with, in the order of the catalogue."""
        return [row for row in self.rows if row.status in EXPLAINED]


@dataclass(frozen=True)
class _Drawn:
    """A figure ready for the template: ``spec`` (JSON) and ``csv`` packed as :func:`_packed` does."""

    name: str
    title: str
    caption: str
    description: str
    sources: tuple[str, ...]
    missing: tuple[Missing, ...]
    spec: str
    csv: str


def html(page: Page) -> str:
    """The page; every name in it is escaped."""
    import jinja2
    import vl_convert

    from resbench import __version__

    assets = Path(__file__).parent / "assets"
    fit = (Path(__file__).parents[2] / "figures" / "fit.js").read_text()
    known = {claim.id: claim for claim in page.claims}
    groups = [
        _Group(
            group.paper.replace(":", "-"),
            group.title,
            counts(group.verdicts),
            tuple(row_of(one, known.get(one.id), group.paper, page.context) for one in group.verdicts),
        )
        for group in grouped(page.verdicts, page.claims)
    ]
    galleries = [(f"figures-{key}", name, _drawn(page.figures, key)) for key, name in _GALLERIES]
    galleries = [each for each in galleries if each[2]]
    answer = verdict_sentence(page.verdicts)
    rows = {(row.id, row.setting): row for group in groups for row in group.rows}
    missing = [
        (reason, [rows[one.id, one.setting] for one in some]) for reason, some in by_reason(page.verdicts).items()
    ]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(assets), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters["marked"] = _marked
    return environment.get_template("page.html.j2").render(
        title=f"resbench: {answer['sentence']}",
        version=__version__,
        icon=_data_uri("image/svg+xml", _ICON),
        style=(assets / "page.css").read_text(),
        script=f"{fit}\n{(assets / 'page.js').read_text()}",
        library=vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script"),
        sections=[
            ("board", "Verdicts"),
            *((anchor, name) for anchor, name, _ in galleries),
            *([("missing", "Not measured")] if missing else []),
            ("reading", "How to read"),
        ],
        answer=answer,
        nearest=_nearest(page.verdicts),
        failing=[row for group in groups for row in group.failing],
        made=page.made,
        groups=groups,
        galleries=galleries,
        missing=sorted(missing, key=lambda one: -len(one[1])),
        measured_now=page.measured_now,
        marks=MARKS,
        meanings=[(status, text) for status, text in _MEANINGS.items() if summary(page.verdicts)[status.value]],
        filters=_filters(groups),
        status_word=label,
        unmeasured=Status.NOT_MEASURED,
        again=_again,
    )


def verdict_sentence(verdicts: Sequence[Verdict]) -> Mapping[str, str]:
    """The verdict in one sentence, with its tone (good, bad, none), and what else there is to say."""
    totals = summary(verdicts)
    judged = [one for one in verdicts if one.status is not Status.NOT_MEASURED]
    failed = [status for status in Status if status not in (Status.HOLDS, Status.WAIVED, Status.NOT_MEASURED)]
    wrong = [f"{totals[status.value]} {status.value}" for status in failed if totals[status.value]]
    number = f"{len(judged)} measured claim{'' if len(judged) == 1 else 's'}"
    if not judged:
        tone, sentence = "none", "Nothing was measured."
    elif wrong or exit_code(verdicts, strict=False):
        tone, sentence = "bad", f"{', '.join(wrong)} of {number}."
    elif waived := totals["WAIVED"]:
        verb = "is" if waived == 1 else "are"
        tone, sentence = "good", f"{totals['HOLDS']} of {number} hold, {waived} {verb} waived."
    else:
        tone, sentence = "good", "The one measured claim holds." if len(judged) == 1 else f"All {number} hold."
    unmeasured = totals["NOT_MEASURED"]
    verb = "is" if unmeasured == 1 else "are"
    rest = f"{unmeasured} more {verb} not measured, and count{'s' if unmeasured == 1 else ''} for nothing."
    rest = rest if unmeasured and judged else ""
    return {"tone": tone, "sentence": sentence, "rest": rest}


def _nearest(verdicts: Sequence[Verdict]) -> list[tuple[str, str]]:
    """The sampled claims that hold with the least room: name, and how much."""
    sampled = [(one, margin) for one, _, margin in nearest(verdicts) if margin.half_width]
    holding = [(one, margin) for one, margin in sampled if one.status is Status.HOLDS]
    return [(f"{one.id}@{one.setting}", size_text(margin)) for one, margin in holding[:_NEAREST]]


def _drawn(figures: Sequence[Figure], group: str) -> list[_Drawn]:
    from resbench.figures.theme import specification

    found = []
    for one in figures:
        if one.group != group:
            continue
        spec = "" if one.chart is None else _packed(json.dumps(specification(one.chart, "page"), allow_nan=False))
        csv = _packed(one.frame.to_csv(index=False)) if len(one.frame) else ""
        found.append(_Drawn(one.name, one.title, one.caption, one.description, one.sources, one.missing, spec, csv))
    return found


def _packed(text: str) -> str:
    """Compressed (zlib), in letters that mean nothing in HTML: a tenth of the size, and nothing in it to escape."""
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def _data_uri(kind: str, text: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"


def _marked(text: str) -> Any:
    """What stands between backticks, as code; all of it escaped."""
    from markupsafe import Markup, escape

    parts = text.split("`")
    if len(parts) % 2 == 0:  # a lone backtick is only that
        return escape(text)
    pieces = [Markup("<code>{}</code>").format(part) if index % 2 else escape(part) for index, part in enumerate(parts)]
    return Markup("").join(pieces)


def _filters(groups: Sequence[_Group]) -> dict[str, Any]:
    rows = [row for group in groups for row in group.rows]
    present = [(status, sum(row.status is status for row in rows)) for status in Status]
    return {
        "status": [(status, number) for status, number in present if number],
        "papers": [(group.paper, group.title) for group in groups],
        "kinds": sorted({row.kind for row in rows}),
        "settings": sorted({row.setting for row in rows}),
    }


def _again(row: Row) -> str:
    """The command that judges this claim alone."""
    where = "--target MODULE:CALLABLE" if row.setting == "target" else f"--setting {shlex.quote(clean(row.setting))}"
    return f"resbench check --select {shlex.quote(clean(row.id))} {where}"
