"""The summary of a job that judged claims: what a reviewer looks at for ten seconds, and the board to unfold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resbench.claims.model import Claim
from resbench.judge import WORST_FIRST, Status, Verdict
from resbench.judging.waivers import Use
from resbench.reports.escaping import code, md
from resbench.reports.github import failure, flat, not_measured, paper_table, spent_parts, waiver_parts
from resbench.reports.margins import nearest, room_text, size_text
from resbench.reports.verdicts import EXPLAINED, Group, counts, grouped, label, name
from resbench.reports.words import brief, symbols

__all__ = ["LEFT_OUT", "summary_parts"]

LEFT_OUT = "for lack of room: GitHub shows 1 MiB of a step. `resbench check --out FOLDER` writes them all."
_NEAREST, _EXACT = 10, 5
_CELL = 40


def summary_parts(
    verdicts: Sequence[Verdict],
    claims: Sequence[Claim],
    environment: Mapping[str, object],
    sequential: Mapping[str, Any] | None = None,
    waivers: Sequence[Use] = (),
    changes: Sequence[str] = (),
) -> list[str]:
    """Paragraphs of Markdown, the most important first.

    ``changes``: those about what changed since an earlier run; ``sequential`` and ``waivers`` as for the Markdown.
    """
    groups, known = grouped(verdicts, claims), {claim.id: claim for claim in claims}
    judged = [group for group in groups if _judged(group.verdicts)]
    failed = [verdict for group in groups for verdict in group.verdicts if verdict.status in EXPLAINED]
    failed.sort(key=lambda verdict: WORST_FIRST.index(verdict.status))
    parts = [f"## Claims: {_headline(verdicts, len(failed), waivers)}", *_by_paper(judged)]
    parts += [*map(failure, failed), *waiver_parts(waivers), *changes, *_margins(verdicts)]
    parts += [_folded(group, known) for group in judged]
    parts += _unjudged([verdict for group in groups if group not in judged for verdict in group.verdicts])
    parts += [] if sequential is None else spent_parts(sequential)
    return [*parts, f"Measured with {md(', '.join(flat(environment)))}."]


def _judged(verdicts: Sequence[Verdict]) -> int:
    return sum(verdict.status is not Status.NOT_MEASURED for verdict in verdicts)


def _headline(verdicts: Sequence[Verdict], failed: int, waivers: Sequence[Use]) -> str:
    """``2 of 9 fail, 185 not measured``, ``all 9 hold``, ``7 of 9 hold, 2 waived``; of waivers those to mend."""
    judged, red = _judged(verdicts), sum(use.red for use in waivers)
    holds, hidden = sum(verdict.status is Status.HOLDS for verdict in verdicts), len(verdicts) - judged
    if failed:
        text = f"{failed} of {judged} fail{'s' if failed == 1 else ''}"
    elif not judged:
        text = "nothing was judged"
    elif holds == judged:
        text = f"all {judged} hold" if judged > 1 else "the one judged holds"
    else:
        text = f"{holds} of {judged} hold{'s' if holds == 1 else ''}, {judged - holds} waived"
    text += f", {hidden} not measured" if hidden else ""
    return text + (f"; {red} waiver{'s fail' if red != 1 else ' fails'} the run" if red else "")


def _by_paper(groups: Sequence[Group]) -> list[str]:
    from tabulate import tabulate  # only here: it takes 80 ms

    if not groups:
        return []
    present = [status for status in Status if any(one.status is status for group in groups for one in group.verdicts)]
    rows = [
        [md(group.title), *(str(sum(one.status is status for one in group.verdicts) or "") for status in present)]
        for group in groups
    ]
    headers = ["paper", *(md(label(status)) for status in present)]
    align = ("left", *("right" for _ in present))
    return [tabulate(rows, headers, "github", disable_numparse=True, colalign=align)]


def _margins(verdicts: Sequence[Verdict]) -> list[str]:
    """The worst margins of what is sampled, then of what is measured without noise."""
    from tabulate import tabulate  # only here: it takes 80 ms

    found = nearest(verdicts)
    sampled = [one for one in found if one[2].half_width]
    exact = [one for one in found if not one[2].half_width]
    parts = []
    for chosen, most, title in (
        (sampled, _NEAREST, "Nearest to their bounds (in half widths of their intervals: below 0 it fails)"),
        (exact, _EXACT, "Measured without noise (in shares of their tolerances)"),
    ):
        rows = [
            [
                code(name(verdict)),
                md(room_text(margin, check.judgement.expected, check.unit)),
                md(size_text(margin)),
                md(brief(check.judgement.measured, _CELL)),
                md(symbols(check.judgement.expected)),
            ]
            for verdict, check, margin in chosen[:most]
        ]
        if rows:
            more = f", {len(chosen)} in all" if len(chosen) > most else ""
            table = tabulate(rows, ["claim", "room", "margin", "measured", "expected"], "github", disable_numparse=True)
            parts.append(f"### {title}{more}\n\n{table}")
    return parts


def _folded(group: Group, known: Mapping[str, Claim]) -> str:
    """One paper's board, folded away; one part, so that nothing is cut between its tags."""
    opening = f"<details><summary>{md(group.title)}: {md(counts(group.verdicts))}</summary>"
    return "\n\n".join([opening, *paper_table(group, known), *not_measured(group), "</details>"])


def _unjudged(verdicts: Sequence[Verdict]) -> list[str]:
    """The papers of which nothing was judged, as one: on a user's network these are most."""
    return ["\n\n".join(not_measured(Group("", "", tuple(verdicts))))] if verdicts else []
