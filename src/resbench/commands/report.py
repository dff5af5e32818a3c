"""`resbench report`: one HTML page of verdicts and figures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["report"]

_INTERRUPTED = 130


def report(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder of the page.")] = Path("report"),
    run: Annotated[
        Path | None,
        typer.Option("--from", metavar="RUN", help="Show a run of `resbench check --out DIR`; else it is judged now."),
    ] = None,
    earlier: Annotated[
        list[Path] | None,
        typer.Option("--earlier", metavar="RUN", help="An earlier run, for the history; may be repeated."),
    ] = None,
    select: Annotated[
        list[str] | None, typer.Option("--select", help="Claim ids, with * and ?; may be repeated.")
    ] = None,
) -> None:
    """Write a self-contained HTML page: the verdicts, and the papers' figures beside our measurements.

    The page needs no network: open it from the disk, or put the folder on a server. What the digits' networks show is
    measured once and kept for the next page; everything else is read from records. What is missing is shown as
    missing, with the command that measures it.

    The exit code says whether the page was written, not what it says: `resbench check` judges.

    Example: resbench report --out site

    Example: resbench check --target mymodel:build --input 3x32x32 --out run && resbench report --from run
    """
    from resbench.page_report import PageOptions, make_page

    try:
        print(make_page(PageOptions(out, run, tuple(earlier or ()), tuple(select or ()))))
    except KeyboardInterrupt:
        print("resbench: interrupted; what was measured is kept for the next page", file=sys.stderr)
        raise typer.Exit(_INTERRUPTED) from None
