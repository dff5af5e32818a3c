"""What changed between two runs of the claims: for a terminal, a pull request, and other programs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from resbench.judging.changes import Changes, Flip, Moved
from resbench.judging.recorded import RecordedRun, RecordedVerdict
from resbench.reports.escaping import code, md
from resbench.reports.margins import difference_unit
from resbench.reports.verdicts import label, strict
from resbench.reports.words import brief, clean, figure, wrap
from resbench.reports.workflow_commands import Annotation

__all__ = ["SCHEMA", "change_annotations", "changes_json", "changes_markdown", "changes_table", "headline"]

SCHEMA = "resbench.diff/1"
_MOST = 20
"""Rows of margins and of the environment for people; JSON has all."""

_GONE, _NEW = "gone", "new"


def headline(changes: Changes) -> str:
    """``2 claims became worse, 1 better, 1 new; 3 margins or values moved; 199 verdicts are the same``."""
    worse = len(changes.worse)
    parts = [f"{worse or 'no'} claim{'' if worse == 1 else 's'} became worse"]
    parts += [f"{len(changes.better)} better"] if changes.better else []
    parts += [f"{len(changes.new)} new"] if changes.new else []
    more = (
        [f"{len(changes.waivers)} waiver{' newly fails' if len(changes.waivers) == 1 else 's newly fail'} the run"]
        if changes.waivers
        else []
    )
    more += (
        [f"{len(changes.moved)} margin{_s(changes.moved)} or value{_s(changes.moved)} moved"] if changes.moved else []
    )
    more += [f"{changes.same} verdict{'s are' if changes.same != 1 else ' is'} the same"]
    return "; ".join([", ".join(parts), *more])


def _s(entries: Sequence[object]) -> str:
    return "" if len(entries) == 1 else "s"


def _status(verdict: RecordedVerdict | None, absent: str) -> str:
    return absent if verdict is None else label(verdict.status)


def _way(flip: Flip) -> str:
    """``HOLDS → VIOLATED``, ``HOLDS → gone``, ``new, HOLDS``."""
    if flip.before is None:
        return f"{_NEW}, {_status(flip.after, _GONE)}"
    return f"{_status(flip.before, _NEW)} → {_status(flip.after, _GONE)}"


def _rows(flips: Sequence[Flip]) -> list[tuple[str, list[str], str]]:
    """What became of each claim, its name, and what the judge says; claims that are gone together: they may be many."""
    rows = [(_way(flip), [flip.name], flip.message) for flip in flips if flip.after is not None]
    lost: dict[str, list[str]] = {}
    for flip in flips:
        if flip.after is None:
            lost.setdefault(_way(flip), []).append(flip.name)
    gone = [(way, names, _not_judged(len(names))) for way, names in lost.items()]
    return rows + gone


def _not_judged(number: int) -> str:
    return f"the later run did not judge {'it' if number == 1 else 'them'}"


def _restatement(before: RecordedVerdict, after: RecordedVerdict) -> str:
    if before.version != after.version:
        return f"version {before.version} → {after.version}"
    return "the same version, but other expectations"


def _move(moved: Moved) -> str:
    """How far the margin moved, which way, and beyond what."""
    if moved.room is None:
        return "changed"
    before, after = moved.before.margin, moved.after.margin
    log = before is not None and before.log
    unit = "" if log else difference_unit(moved.after.expected, moved.after.unit)

    def text(value: float) -> str:
        return f"a factor of {figure(math.exp(min(value, 700.0)), 3)}" if log else figure(value, 3) + unit

    noise = f" (noise {text(moved.noise)})" if moved.noise is not None else ""
    if not moved.room:
        return f"changed, as far from the bound{noise}"
    across = after is not None and after.room < 0
    way = ("further across" if across else "nearer") if moved.room < 0 else "further inside" if not across else "back"
    return f"{way} by {text(abs(moved.room))}{noise}"


def _values(moved: Moved, width: int) -> str:
    return f"{brief(moved.before.measured, width)} → {brief(moved.after.measured, width)}"


def changes_table(changes: Changes, before: str, after: str, *, width: int = 80) -> str:
    """What became worse first, then what moved, then what is merely different; no line over ``width``."""
    lines = [*wrap(f"{headline(changes)}.", width), ""]
    lines += [*wrap(f"before: {before}", width), *wrap(f"after:  {after}", width), ""]
    worse, better, new = changes.worse, changes.better, changes.new
    for title, flips in (("WORSE", worse), ("better", better), ("new", new)):
        lines += [f"{title} ({len(flips)})"] if flips else []
        for way, names, reason in _rows(flips):
            lines += wrap(f"{way}: {', '.join(names)}", width, "  ", "      ")
            lines += wrap(reason, width, "      ") if flips is worse else []
        lines += [""] if flips else []
    lines += _listed(
        "waivers that newly fail the run", [f"{one.name}: {one.message}" for one in changes.waivers], width
    )
    stated = [f"{pair[1].name}: {_restatement(*pair)}" for pair in changes.restated]
    lines += _listed("claims stated otherwise, their margins not compared", stated, width)
    moved = [f"{one.name}: {_move(one)}: {_values(one, 24)}" for one in changes.moved]
    lines += _listed("margins and values that moved by more than their noise", moved, width)
    differences = [f"{key}: {_shown(old)} → {_shown(new)}" for key, old, new in changes.environment]
    return "\n".join([*lines, *_listed("environment", differences, width)]).rstrip()


def _listed(title: str, entries: Sequence[str], width: int) -> list[str]:
    if not entries:
        return []
    lines = [f"{title} ({len(entries)})"]
    for entry in entries[:_MOST]:
        lines += wrap(entry, width, "  ", "      ")
    more = len(entries) - _MOST
    return [*lines, *([f"  and {more} more: --format json has them"] if more > 0 else []), ""]


def _shown(value: Any) -> str:
    return "none" if value is None else clean(brief(value, 60))


def changes_markdown(changes: Changes, before: str, after: str, level: int = 2) -> list[str]:
    """Paragraphs, the first a heading of ``level``."""
    from tabulate import tabulate  # only here: it takes 80 ms

    def table(rows: list[list[str]], *headers: str) -> list[str]:
        more = len(rows) - _MOST
        shown = tabulate(rows[:_MOST], headers, "github", disable_numparse=True)
        return [shown, *([f"And {more} more: `resbench diff --format json` has them."] if more > 0 else [])]

    mark = "#" * level
    parts = [f"{mark} Changes: {md(headline(changes))}", f"{code(after)} against {code(before)}."]
    rows = [
        [word, md(way), ", ".join(map(code, names)), md(reason)]
        for word, flips in (("**worse**", changes.worse), ("better", changes.better), ("new", changes.new))
        for way, names, reason in _rows(flips)
    ]
    if rows:
        parts.append(tabulate(rows, ["", "verdict", "claim", "now"], "github", disable_numparse=True))
    if changes.waivers:
        rows = [[code(waiver.name), md(waiver.state), md(waiver.message)] for waiver in changes.waivers]
        parts += table(rows, "waiver that newly fails the run", "state", "why")
    if changes.restated:
        rows = [[code(pair[1].name), md(_restatement(*pair))] for pair in changes.restated]
        parts += table(rows, "claim stated otherwise", "how")
    if changes.moved:
        rows = [[code(moved.name), md(_move(moved)), md(_values(moved, 30))] for moved in changes.moved]
        parts += table(rows, "claim", "margin", "measured")
    if changes.environment:
        rows = [[md(key), md(_shown(old)), md(_shown(new))] for key, old, new in changes.environment]
        parts += table(rows, "environment", "before", "after")
    return parts


def changes_json(changes: Changes, before: tuple[str, RecordedRun], after: tuple[str, RecordedRun]) -> str:
    """Everything, in the order of people's table; ``worse`` is exit code 1."""
    document = {
        "schema": SCHEMA,
        "before": {"run": before[0], "summary": before[1].summary},
        "after": {"run": after[0], "summary": after[1].summary},
        "worse": changes.bad,
        "flips": [
            {
                "claim": flip.name,
                "before": flip.before.status.value if flip.before else None,
                "after": flip.after.status.value if flip.after else None,
                "worse": flip.worse,
                "message": flip.message,
            }
            for flip in changes.flips
        ],
        "waivers": [{"waiver": one.name, "state": one.state, "message": one.message} for one in changes.waivers],
        "restated": [{"claim": new.name, "before": old.version, "after": new.version} for old, new in changes.restated],
        "moved": [_moved_json(moved) for moved in changes.moved],
        "environment": [{"name": key, "before": old, "after": new} for key, old, new in changes.environment],
        "same": changes.same,
    }
    return json.dumps(strict(document), indent=1, allow_nan=False)


def _moved_json(moved: Moved) -> dict[str, Any]:
    return {
        "claim": moved.name,
        "quantity": moved.after.quantity,
        "params": moved.after.params,
        "expected": moved.after.expected,
        "unit": moved.after.unit,
        "before": moved.before.measured,
        "after": moved.after.measured,
        "room": moved.room,
        "noise": moved.noise,
        "log": moved.after.margin is not None and moved.after.margin.log,
    }


def change_annotations(changes: Changes) -> list[Annotation]:
    """An error for whatever became worse, the worst first."""
    found = [
        Annotation("error", f"{_way(flip)} {flip.name}", [flip.message or _not_judged(1)]) for flip in changes.worse
    ]
    return [*found, *(Annotation("error", f"waiver {one.name}", [one.message]) for one in changes.waivers)]
