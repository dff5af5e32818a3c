"""``resbench history``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from resbench.commands import completing

__all__ = ["history"]


class _Format(StrEnum):
    table = "table"
    json = "json"


def history(
    folder: Annotated[
        Path | None, typer.Argument(help="Of saved runs or of asv results; where `bench --save` writes by default.")
    ] = None,
    select: Annotated[
        list[str] | None, typer.Option("--select", metavar="GLOB", help="Only these cases; may be repeated.")
    ] = None,
    pin: Annotated[
        str,
        typer.Option(
            "--pin",
            metavar="RUN",
            help="Also compare the newest records with this run or baseline.",
            autocompletion=completing.runs,
        ),
    ] = "",
    margin: Annotated[float, typer.Option("--margin", metavar="PERCENT", help="Smaller changes are none.")] = 5.0,
    format: Annotated[_Format, typer.Option("--format", help="How to print.")] = _Format.table,
) -> None:
    """Show where each case became slower or faster, over the stored runs in the order of their commits.

    Steps smaller than the margin add up unseen: --pin compares with a release.

    Exit code 0: shown, and with --pin nothing is SLOWER, MISSING or UNHEALTHY against it and at least one case was
    decided; 1: otherwise; 2: bad usage or bad input.

    Example: resbench history baselines/asv --select 'unit:*'
    """
    from resbench.checking import terminal_width
    from resbench.errors import UserError
    from resbench.reports.history import history_json, history_table
    from resbench.timing.history import history as history_of
    from resbench.timing.history import runs_in
    from resbench.timing.readers import read

    if not 0 < margin < 100:
        raise UserError(f"--margin {margin:g}: choose one above 0 and below 100")
    pinned = read(pin) if pin else None
    found = history_of(runs_in(folder), select=tuple(select or ()), pin=pinned, margin=margin / 100)
    print(history_json(found) if format is _Format.json else history_table(found, width=terminal_width()))
    raise typer.Exit(0 if found.drift is None or found.drift.passed else 1)
