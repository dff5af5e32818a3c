"""``resbench badge``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["badge"]


def badge(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="RUN", help="A folder of `resbench check --out`, or the verdicts.json in it."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the SVG goes.")] = Path("badge.svg"),
    label: Annotated[str, typer.Option("--label", help="What stands on its left.")] = "claims",
) -> None:
    """Write a badge that says how a run of the claims ended: `claims | 202 hold`.

    It is green only where claims hold and nothing is violated, inconclusive, stale or failed to run; what was not
    measured or is waived is counted beside them.  Where nothing holds it is grey and says so.

    Example: resbench check --out run && resbench badge run --out badge.svg
    """
    from resbench.errors import UserError
    from resbench.judging.recorded import read_run
    from resbench.records.places import write_atomically
    from resbench.reports.badge import badge_svg, badge_text

    if run is None:
        raise UserError("a badge is of a run: `resbench check --out run` makes one, then `resbench badge run`")
    found = read_run(run)
    write_atomically(out, badge_svg(found, label).encode())
    print(f"{out}: {label} | {badge_text(found)[0]}")
