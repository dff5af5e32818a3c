"""An A/B comparison for people, for programs, and for a pull request."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from resbench.reports.escaping import code, md
from resbench.reports.throughput import ChangeRow, changes_table
from resbench.reports.words import wrap
from resbench.reports.workflow_commands import Annotation, Level, command
from resbench.timing.ab import AbRow
from resbench.timing.change import ALPHA, Change, geometric_mean
from resbench.timing.roofline import utilisation
from resbench.timing.worker.seen import Rates

__all__ = ["AB_SCHEMA", "ab_annotations", "ab_json", "ab_markdown", "ab_table", "witness"]

AB_SCHEMA = "resbench.ab/1"


def ab_table(
    rows: Sequence[AbRow], base: str, head: str, *, margin: float, rates: Sequence[Rates] = (), width: int = 80
) -> str:
    """What was compared, a line a case, and what the verdicts amount to; ``rates``: for head's utilisation."""
    lines = [*wrap(f"base: {base}", width), *wrap(f"head: {head}", width), ""]
    lines += [changes_table([_row(row, rates) for row in rows], width=width), ""]
    return "\n".join([*lines, *wrap(_summary(rows, margin), width)])


def _row(row: AbRow, rates: Sequence[Rates]) -> ChangeRow:
    base, head = (None if math.isnan(value) else value for value in row.seconds)
    ratio = row.ratio
    return ChangeRow(
        row.head,
        base,
        head,
        ratio.estimate if ratio else None,
        (ratio.low, ratio.high) if ratio else None,
        row.change,
        _utilisation(row, rates),
        witness(row),
        _why(row),
    )


def _utilisation(row: AbRow, rates: Sequence[Rates]) -> float | None:
    found = next((one for one in rates if (one.device, one.dtype) == (row.head.device, row.head.dtype)), None)
    if found is None or row.counts[1] is None or not row.pairs:
        return None
    return utilisation(row.seconds[1], row.counts[1], found)


def _why(row: AbRow) -> str:
    if row.missing[0] == row.missing[1]:
        return row.missing[0]
    return "; ".join(f"{side}: {reason}" for side, reason in zip(("base", "head"), row.missing, strict=True) if reason)


def witness(row: AbRow) -> str:
    """What a step does differently, counted without noise; empty if nothing."""
    base, head = row.counts
    if base is None or head is None:
        return ""
    found = []
    for name, words in (
        ("operators", "operators"),
        ("macs", "multiply-adds"),
        ("allocated", "bytes allocated"),
        ("peak", "bytes held at most"),
        ("kernels", "kernels"),
    ):
        before, after = getattr(base, name), getattr(head, name)
        if before is not None and after is not None and before != after:
            found.append(f"{words} {before:,} -> {after:,}")
    return ", ".join(found)


def _summary(rows: Sequence[AbRow], margin: float) -> str:
    counts = {change: sum(row.change is change for row in rows) for change in Change}
    text = ", ".join(f"{number} {change.value}" for change, number in counts.items() if number) or "no case"
    ratios = [row.ratio.estimate for row in rows if row.ratio]
    mean = f"; geometric mean of head/base {geometric_mean(ratios):.3f} over {len(ratios)} cases" if ratios else ""
    return (
        f"{text}{mean} (margin {100 * margin:g} %, chance of any false SLOWER or FASTER below {100 * ALPHA:g} %; "
        "time: seconds per step, undisturbed, in lock step; of one thread that never waits, processor seconds)"
    )


def ab_markdown(rows: Sequence[AbRow], base: str, head: str, *, margin: float) -> str:
    """For a job's summary: what is not SAME first."""
    from tabulate import tabulate

    order = [Change.SLOWER, Change.MISSING, Change.FASTER, Change.AMBIGUOUS, Change.SAME]
    cells = [
        [
            row.change.value,
            code(row.head.key),
            f"{row.ratio.estimate:.3f} ({row.ratio.low:.3f} to {row.ratio.high:.3f})" if row.ratio else "",
            md(witness(row) or _why(row)),
        ]
        for row in sorted(rows, key=lambda row: order.index(row.change))
    ]
    table = tabulate(cells, ["verdict", "case", "head / base", "counted"], "github", disable_numparse=True)
    return f"# Throughput of {md(head)} against {md(base)}\n\n{table}\n\n{_summary(rows, margin)}\n"


def ab_annotations(rows: Sequence[AbRow]) -> Iterator[str]:
    """GitHub's workflow commands: an error for what is SLOWER or missing in head, a warning for what is FASTER."""
    for row in rows:
        case = row.head.key
        if row.change is Change.SLOWER and row.ratio:
            yield _command("error", f"{case}: {row.ratio.estimate:.3f} times base's time. {witness(row)}")
        elif row.change is Change.MISSING and row.missing[1]:
            yield _command("error", f"{case}: not measured: {row.missing[1]}")
        elif row.change is Change.FASTER and row.ratio:
            text = f"{case}: {row.ratio.estimate:.3f} times base's time: commit the new baseline. {witness(row)}"
            yield _command("warning", text)


def _command(kind: Level, text: str) -> str:
    return command(Annotation(kind, "resbench ab", [text]))


def ab_json(rows: Sequence[AbRow], base: str, head: str, *, margin: float, environment: dict[str, Any]) -> str:
    """Everything, raw samples included; seconds per step, ratios above 1 are slower."""
    content = {
        "schema": AB_SCHEMA,
        "environment": environment,
        "base": base,
        "head": head,
        "margin": margin,
        "alpha": ALPHA,
        "cases": [
            {
                "case": row.head.key,
                **({"base_case": row.base.key} if row.base != row.head else {}),
                "verdict": row.change.value,
                "ratio": asdict(row.ratio) if row.ratio else None,
                "p": None if math.isnan(row.p) else row.p,
                "missing": {"base": row.missing[0], "head": row.missing[1]},
                "counts": dict(zip(("base", "head"), map(msgspec.to_builtins, row.counts), strict=True)),
                "pairs": [asdict(pair) for pair in row.pairs],
            }
            for row in rows
        ],
        "summary": {change.value: sum(row.change is change for row in rows) for change in Change},
    }
    return json.dumps(content, indent=1)
