"""`resbench measure`: the networks of a study to recorded evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resbench.commands.target_options import Data, Device, Download

__all__ = ["measure"]

_INTERRUPTED = 130


def measure(
    study: Annotated[Path, typer.Option("--study", metavar="FILE", help="A TOML file: networks and experiments.")],
    select: Annotated[
        list[str] | None,
        typer.Option("--select", metavar="GLOB", help="NETWORK or NETWORK/EXPERIMENT, with * and ?; may be repeated."),
    ] = None,
    data: Data = "",
    download: Download = False,
    checkpoints: Annotated[
        Path | None, typer.Option("--checkpoints", help="The folder of the weights; the study's own if not given.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where records go; the committed evidence if not given.")
    ] = None,
    max_minutes: Annotated[
        float | None, typer.Option("--max-minutes", min=0.0, help="Begin nothing that would probably end later.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=2, help="At most so many images: for a trial.")] = None,
    device: Device = "cpu",
) -> None:
    """Measure networks that others trained, and record the raw results; `resbench check` judges them.

    Every result is recorded when it is there.  Started again, it goes on with what is missing.

    Example: resbench measure --study examples/cifar10_public/study.toml --data cifar10:data --checkpoints weights
    """
    import sys

    from resbench.checking import check_device
    from resbench.measuring.run import MeasureOptions, measure_study
    from resbench.measuring.study import read_study

    check_device(device)
    options = MeasureOptions(
        root=study.resolve().parent,
        select=tuple(select or ()),
        data=data,
        download=download,
        checkpoints=checkpoints,
        out=out,
        minutes=max_minutes,
        limit=limit,
        device=device,
    )
    try:
        print(measure_study(read_study(study), options))
    except KeyboardInterrupt:
        print("resbench: interrupted; what is recorded is kept, start the command again to go on", file=sys.stderr)
        raise typer.Exit(_INTERRUPTED) from None
