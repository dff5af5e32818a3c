"""``resbench compare``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from resbench.commands import completing

__all__ = ["compare"]


class _Format(StrEnum):
    table = "table"
    md = "md"
    csv = "csv"
    json = "json"


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Two or more: names of saved runs or baselines, or files of resbench, pytest-benchmark or asv.",
            autocompletion=completing.runs,
        ),
    ],
    across_machines: Annotated[
        bool, typer.Option("--across-machines", help="Compare machines: ratios and utilisation, no verdicts.")
    ] = False,
    margin: Annotated[float, typer.Option("--margin", metavar="PERCENT", help="Changes within it are SAME.")] = 5.0,
    select: Annotated[
        list[str] | None, typer.Option("--select", metavar="GLOB", help="Only these cases; may be repeated.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="AMBIGUOUS and FASTER fail as well.")] = False,
    format: Annotated[_Format, typer.Option("--format", help="How to print.")] = _Format.table,
) -> None:
    """Compare timing runs with the first of them.

    A verdict needs significance, corrected for the number of cases, and a change beyond the margin.

    Exit code 0: nothing is SLOWER, MISSING or UNHEALTHY, and at least one case was decided; 1: otherwise; 2: bad usage
    or bad input.

    Example: resbench compare main feature

    Example: resbench compare cpu-epyc-7xx3-torch2.15 gpu-h200-torch2.15-cu132 --across-machines
    """
    from resbench.checking import terminal_width
    from resbench.reports.throughput import compare_table
    from resbench.reports.throughput_files import compare_csv, compare_json, compare_markdown
    from resbench.timing.compare import compare as compare_runs
    from resbench.timing.readers import read

    found = compare_runs(
        [read(name) for name in runs],
        across_machines=across_machines,
        margin=margin / 100,
        select=tuple(select or ()),
    )
    if format is _Format.table:
        print(compare_table(found, width=terminal_width()))
    elif format is _Format.md:
        print(compare_markdown(found))
    elif format is _Format.csv:
        print(compare_csv(found))
    else:
        print(compare_json(found))
    raise typer.Exit(0 if found.passed and not (strict and found.undecided) else 1)
