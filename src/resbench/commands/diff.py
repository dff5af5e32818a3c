"""``resbench diff``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["diff"]

_RUN = "A folder of `resbench check --out`, or the verdicts.json in it"


class _Format(StrEnum):
    table = "table"
    json = "json"
    md = "md"
    github = "github"


def diff(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help=f"{_RUN}.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="Likewise: the later run.")],
    format: Annotated[
        _Format, typer.Option("--format", help="How to print; github: annotations and the job's summary as well.")
    ] = _Format.table,
) -> None:
    """What changed between two runs of the claims.

    Shown are verdicts that flipped, the worst first; claims that only one run has; claims of other versions; margins
    and values that moved by more than their noise; and what differs in the environment.  The noise is the root of the
    sum of the squares of both intervals' half widths; without intervals any change is shown.

    Exit code 0: nothing became worse; 1: a verdict is worse than before (all are worse than HOLDS), a claim is gone or
    not measured any more, a new claim fails, or a waiver newly fails the run; 2: bad input.

    Example: resbench check --out tuesday && resbench diff monday tuesday

    Example: resbench diff last run --format github
    """
    from resbench.checking import terminal_width
    from resbench.github_job import show_changes
    from resbench.judging.changes import changes_of
    from resbench.judging.recorded import read_run
    from resbench.reports.changes import changes_json, changes_markdown, changes_table

    runs, names = (read_run(before), read_run(after)), (str(before), str(after))
    changes = changes_of(*runs)
    if format is _Format.json:
        print(changes_json(changes, (names[0], runs[0]), (names[1], runs[1])))
    elif format is _Format.md:
        print("\n\n".join(changes_markdown(changes, *names)))
    else:
        print(changes_table(changes, *names, width=terminal_width()))
    if format is _Format.github:
        show_changes(changes, *names)
    raise typer.Exit(int(changes.bad))
