"""`resbench measure`: networks to recorded evidence, those of a study or the papers' own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from resbench.commands import completing
from resbench.commands.target_options import Data, Device, Download
from resbench.errors import UserError

__all__ = ["measure"]

_INTERRUPTED = 130


def measure(
    study: Annotated[
        Path | None, typer.Option("--study", metavar="FILE", help="A TOML file: networks that others trained.")
    ] = None,
    setting: Annotated[
        str,
        typer.Option(
            "--setting",
            metavar="NAME",
            help="Train the papers' networks: cifar10 or cifar10-short.",
            autocompletion=completing.own_settings,
        ),
    ] = "",
    select: Annotated[
        list[str] | None,
        typer.Option(
            "--select",
            metavar="GLOB",
            help="NETWORK or NETWORK/EXPERIMENT, with * and ?; may be repeated.",
            autocompletion=completing.experiments,
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="Networks of each recipe (seeds 1, 2, ...); 1 if not given.")
    ] = None,
    data: Data = "",
    download: Download = False,
    checkpoints: Annotated[
        Path | None, typer.Option("--checkpoints", help="The folder of the weights, if not the study's or resbench's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where records go; the committed evidence if not given.")
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option("--max-minutes", min=0.0, help="Stop training then; begin nothing that would end later."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=2, help="Of a study: at most so many images, for a trial.")
    ] = None,
    parallel: Annotated[
        int, typer.Option("--parallel", min=1, help="Of a setting: networks at the same time (one cannot fill a GPU).")
    ] = 1,
    device: Device = "cpu",
    precision: Annotated[
        str | None, typer.Option("--precision", help="Of training: float32, tf32 or bf16; float32 if not given.")
    ] = None,
) -> None:
    """Measure networks, and record the raw results; `resbench check` judges them.

    With --study, networks that others trained. With --setting, the papers': what the claims still need is trained
    and measured, what completes most claims in the least time first.

    Every result is recorded when it is there. Interrupted at any moment, the same command goes on. Several processes
    with one --setting share the work.

    Example: resbench measure --study examples/cifar10_public/study.toml --data cifar10:data --checkpoints weights

    Example: resbench measure --setting cifar10 --data cifar10:data --download --device cuda --precision bf16

    Example: resbench measure --setting cifar10-short --select resnet20 --select 'resnet20-preact/single_*'
    --data cifar10:data --max-minutes 30
    """
    from resbench.checking import check_device

    if (study is None) == (not setting):
        raise UserError("give either --study FILE (networks of others) or --setting NAME (the papers', trained here)")
    if study is not None and (seeds is not None or precision is not None):
        raise UserError(
            f"{'--seeds' if seeds is not None else '--precision'} goes with --setting: it is about training"
        )
    if study is not None and parallel > 1:
        raise UserError("--parallel goes with --setting; a study is measured with all cores")
    if setting and limit is not None:
        raise UserError("--limit goes with --study; the papers' networks are tested on all images")
    check_device(device)
    try:
        if study is not None:
            from resbench.measuring.run import MeasureOptions, measure_study
            from resbench.measuring.study import read_study

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
            print(measure_study(read_study(study), options))
        else:
            from resbench.measuring.own import OwnOptions, measure_own
            from resbench.measuring.parallel import side_by_side

            own = OwnOptions(
                setting=setting,
                select=tuple(select or ()),
                seeds=seeds or 1,
                data=data,
                download=download,
                checkpoints=checkpoints,
                out=out,
                minutes=max_minutes,
                device=device,
                precision=precision or "float32",
            )
            print(side_by_side(measure_own, own, parallel, device))
    except KeyboardInterrupt:
        print("resbench: interrupted; what is recorded is kept, start the command again to go on", file=sys.stderr)
        raise typer.Exit(_INTERRUPTED) from None
