"""Timing runs and comparisons as Markdown, CSV and JSON: full names, nothing rounded but in Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tabulate import tabulate

from resbench.reports.escaping import code, md
from resbench.reports.quantities import megabytes, percent, ratio_range, relative, time_text
from resbench.reports.throughput import summary_line
from resbench.timing.compare import Comparison
from resbench.timing.record import TimingRun
from resbench.timing.summary import bandwidth, case_name, images_per_second, interval, seconds, utilisation

__all__ = ["COMPARISON_SCHEMA", "bench_csv", "bench_markdown", "compare_csv", "compare_json", "compare_markdown"]

COMPARISON_SCHEMA = "resbench.comparison/1"


def bench_markdown(run: TimingRun) -> str:
    """A pipe table."""
    header = ["case", "time", "±", "images/s", "util.", "peak MB", "machine"]
    rows = [
        [
            code(case_name(record.case)),
            time_text(seconds(record)),
            relative(interval(record)),
            f"{images_per_second(record) or 0:.0f}" if images_per_second(record) else "-",
            percent(utilisation(run, record)),
            megabytes(record.counts.peak if record.counts else None),
            md("; ".join(record.unhealthy) or record.error or "ok"),
        ]
        for record in run.records
    ]
    return _pipes(header, rows)


def bench_csv(run: TimingRun) -> str:
    """A line a case; seconds, bytes per second and bytes."""
    header = ["case", "version", "seconds", "low", "high", "processes", "images_per_second", "bytes_per_second"]
    header += ["utilisation", "peak_bytes", "operators", "macs", "unhealthy", "error"]
    rows = []
    for record in run.records:
        low, high = interval(record) or (None, None)
        counts = record.counts
        rows.append(
            [
                *(case_name(record.case), record.version, seconds(record), low, high, len(record.rounds)),
                *(images_per_second(record), bandwidth(record), utilisation(run, record)),
                *((counts.peak, counts.operators, counts.macs) if counts else (None, None, None)),
                *("; ".join(record.unhealthy), record.error),
            ]
        )
    return _lines(header, rows)


def compare_markdown(comparison: Comparison) -> str:
    """A pipe table, the differences of the environments before it and the summary after it."""
    names = [md(title.name) for title in comparison.titles]
    parts: list[str] = []
    for name, found in zip(names[1:], comparison.differences, strict=True):
        if found:
            parts.append(_pipes(["differs", names[0], name], [[md(one) for one in line] for line in found]))
    header = ["case", names[0]]
    for name in names[1:]:
        header += [name, "ratio", "interval", "verdict"]
    rows = []
    for row in comparison.rows:
        cells = [code(row.key), _time_and_share(row.sides[0].seconds, row.sides[0].utilisation)]
        for side, one in zip(row.sides[1:], row.against, strict=True):
            ratio = "-" if one.ratio is None else f"{one.ratio:.3f}"
            status = one.change.value if one.change else "-"
            why = f"{status}: {one.why}" if one.why else status
            cells += [_time_and_share(side.seconds, side.utilisation), ratio, ratio_range(one.interval), md(why)]
        rows.append(cells)
    means = [
        f"Geometric mean of {name} over {names[0]}: {mean.ratio:.3f} ({mean.cases} of {len(rows)} cases)."
        for name, mean in zip(names[1:], comparison.means, strict=True)
        if mean
    ]
    return "\n\n".join([*parts, _pipes(header, rows), *means, md(summary_line(comparison))])


def compare_csv(comparison: Comparison) -> str:
    """A line a case and later run."""
    header = ["case", "run", "against", "seconds", "low", "high", "utilisation", "against_seconds", "against_low"]
    header += ["against_high", "against_utilisation", "ratio", "ratio_low", "ratio_high", "p", "verdict", "why"]
    names = [title.name for title in comparison.titles]
    rows: list[list[Any]] = []
    for row in comparison.rows:
        base = row.sides[0]
        for name, side, one in zip(names[1:], row.sides[1:], row.against, strict=True):
            rows.append(
                [
                    *(row.key, name, names[0], side.seconds, *(side.interval or (None, None)), side.utilisation),
                    *(base.seconds, *(base.interval or (None, None)), base.utilisation),
                    *(one.ratio, *(one.interval or (None, None)), one.p),
                    *(one.change.value if one.change else None, one.why),
                ]
            )
    return _lines(header, rows)


def compare_json(comparison: Comparison) -> str:
    """Everything; times in seconds per step, ratios above 1 slower."""
    content = {
        "schema": COMPARISON_SCHEMA,
        "passed": comparison.passed,
        "across_machines": comparison.across,
        "margin": comparison.margin,
        "runs": [asdict(title) for title in comparison.titles],
        "differences": [
            [{"what": what, "first": there, "this": here} for what, there, here in found]
            for found in comparison.differences
        ],
        "cases": [
            {
                "case": row.key,
                "runs": [asdict(side) for side in row.sides],
                "against_first": [{**asdict(one), "change": one.change} for one in row.against],
            }
            for row in comparison.rows
        ],
        "geometric_means": [asdict(mean) if mean else None for mean in comparison.means],
        "summary": {change.value: comparison.changes.count(change) for change in dict.fromkeys(comparison.changes)},
    }
    return json.dumps(content, indent=1)


def _time_and_share(seconds: float | None, share: float | None) -> str:
    return time_text(seconds) + (f" ({percent(share)})" if share is not None else "")


def _pipes(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return tabulate(rows, header, "github", disable_numparse=True)


def _lines(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue().rstrip("\n")
