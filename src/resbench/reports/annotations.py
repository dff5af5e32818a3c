"""Verdicts and waivers as annotations of a pull request, the worst first.

Errors are VIOLATED, ERROR and STALE, and waivers that fail the run; warnings are INCONCLUSIVE, which fails the run too;
notices are WAIVED.  Under ``--strict`` what was not measured is one error in all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from resbench.judge import WORST_FIRST, Status, Verdict
from resbench.judging.waivers import Use
from resbench.locating import Line
from resbench.reports.verdicts import details, name, on_target
from resbench.reports.waivers import LABELS, waiver_sentence
from resbench.reports.workflow_commands import Annotation, Level

__all__ = ["Places", "verdict_annotations"]

_LEVELS: Mapping[Status, Level] = {
    Status.ERROR: "error",
    Status.VIOLATED: "error",
    Status.STALE: "error",
    Status.INCONCLUSIVE: "warning",
    Status.WAIVED: "notice",
}
_FAILS = "this fails the run as well: the claim is neither confirmed nor refuted"


class Places:
    """Where annotations go: ``claims`` and ``waivers`` by name, ``target`` for every verdict on the user's network."""

    def __init__(self, claims: Mapping[str, Line] = {}, target: Line | None = None, waivers: Mapping[str, Line] = {}):
        self.claims, self.target, self.waivers = claims, target, waivers

    def of(self, verdict: Verdict) -> Line | None:
        if verdict.status is Status.WAIVED:
            found = self.waivers.get(name(verdict)) or self.waivers.get(verdict.id)
            if found is not None:
                return found
        return self.target if on_target(verdict) else self.claims.get(verdict.id)


def verdict_annotations(
    verdicts: Sequence[Verdict], waivers: Sequence[Use], places: Places, *, strict: bool = False
) -> list[Annotation]:
    """All of them, the worst first; what of them GitHub shows is :func:`.workflow_commands.limited`'s affair."""
    shown = [verdict for verdict in verdicts if verdict.status in _LEVELS]
    found = [_verdict(one, places) for one in sorted(shown, key=lambda one: WORST_FIRST.index(one.status))]
    found += [_waiver(use, places) for use in waivers if use.red]
    missing = sum(verdict.status is Status.NOT_MEASURED for verdict in verdicts)
    if strict and missing:
        text = f"{missing} of {len(verdicts)} claims were not measured, which fails the run under --strict"
        found.append(Annotation("error", "NOT_MEASURED", [text]))
    return found


def _verdict(verdict: Verdict, places: Places) -> Annotation:
    found = [(title, text) for title, text in details(verdict) if title != "how"]
    found.sort(key=lambda one: one[0] in ("statement", "source"))  # what was measured first: a title says which claim
    lines = [f"{title}: {text}" for title, text in found]
    if verdict.status is Status.INCONCLUSIVE:
        lines.insert(0, _FAILS)
    title = f"{verdict.status.value} {name(verdict)}"
    return _placed(Annotation(_LEVELS[verdict.status], title, lines), places.of(verdict))


def _waiver(use: Use, places: Places) -> Annotation:
    title = f"{LABELS[use.state]} waiver {use.waiver.name}"
    return _placed(Annotation("error", title, [waiver_sentence(use)]), places.waivers.get(use.waiver.name))


def _placed(annotation: Annotation, line: Line | None) -> Annotation:
    if line is None:
        return annotation
    return Annotation(annotation.level, annotation.title, annotation.lines, line.file, line.number)
