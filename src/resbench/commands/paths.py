"""``resbench paths``."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from resbench.commands.target_options import (
    Checkpoint,
    Data,
    Device,
    Download,
    Input,
    Mean,
    Model,
    Std,
    Survival,
    Units,
)

__all__ = ["paths"]


class _Format(StrEnum):
    table = "table"
    json = "json"


def paths(
    model: Model,
    checkpoint: Checkpoint = None,
    data: Data = "",
    download: Download = False,
    mean: Mean = "",
    std: Std = "",
    input: Input = "",
    limit: Annotated[
        int | None, typer.Option("--limit", min=2, help="Images of the data, drawn by --seed; 16 if not given.")
    ] = None,
    units: Units = None,
    survival: Survival = "",
    sampled: Annotated[
        bool, typer.Option("--sampled", help="The paper's procedure: norms along single, random paths.")
    ] = False,
    precision: Annotated[
        float, typer.Option("--precision", help="With --sampled: standard error of a length's share.")
    ] = 0.01,
    most: Annotated[int, typer.Option("--max-paths", help="With --sampled: of one length.")] = 1000,
    longest: Annotated[
        int | None, typer.Option("--max-length", metavar="K", help="Tell lengths 0 to K apart; longer ones together.")
    ] = None,
    mass: Annotated[float, typer.Option("--mass", help="What the effective range holds.")] = 0.95,
    participation: Annotated[
        bool,
        typer.Option("--participation/--no-participation", help="Also which units it passes (takes twice as long)."),
    ] = True,
    forward: Annotated[
        bool, typer.Option("--forward", help="Also the linearised signal forwards, by length (JSON).")
    ] = False,
    memory: Annotated[float, typer.Option("--memory", metavar="GIB", help="For gradients on their way.")] = 1.0,
    figure: Annotated[
        Path | None, typer.Option("--figure", metavar="FILE", help="Also as a figure: .svg, .png or .pdf.")
    ] = None,
    device: Device = "cpu",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of random weights, images, labels and paths.")] = 0,
    format: Annotated[_Format, typer.Option("--format", help="How to print.")] = _Format.table,
) -> None:
    """How much gradient the paths of each length carry.

    Exact: the norm of the sum over all paths of a length (paths may cancel); "of a path" is that by their number.  With
    --sampled as in the paper: the mean norm along single paths, times their number.  The gradient is that of the mean
    loss, at the input of the first unit, in eval mode.

    Exit code 0: measured; 2: bad usage or bad input, or a network that has no paths.  Under torchrun the groups of
    images (exact) or the paths are shared out; 1: another process ended.

    Example: resbench paths resnet110-preact --data digits

    Example: resbench paths torchvision:resnet50 --input 3x64x64 --sampled --figure paths.svg
    """
    from resbench.distributed import ranks
    from resbench.targets.options import TargetOptions
    from resbench.unravelling import PathOptions, paths_of

    described = TargetOptions(
        target=model,
        checkpoint=checkpoint,
        data=data,
        download=download,
        mean=mean,
        std=std,
        input=input,
        units=tuple(units or ()),
        survival=survival,
        limit=limit,
        device=device,
        seed=seed,
    )
    options = PathOptions(
        sampled=sampled,
        longest=longest,
        mass=mass,
        participation=participation,
        precision=precision,
        most=most,
        forward=forward,
        memory=int(memory * 2**30) if 0 < memory < 2**30 else 0,
    )
    if figure is not None:
        from resbench.reports.figures import check_figure

        check_figure(figure)
    try:
        with ranks("nothing is kept") as among:
            found = paths_of(described, options, among)
    except KeyboardInterrupt:
        print("resbench: interrupted; nothing is kept", file=sys.stderr)
        raise typer.Exit(130) from None
    if found is None:  # rank 0 has it
        return
    try:
        _print(found, format)
    finally:
        # After the numbers, and also where nobody read them to the end: neither loses the other.
        if figure is not None:
            from resbench.reports.figures import paths_figure, save_figure

            save_figure(paths_figure(found), figure)


def _print(found: dict[str, Any], format: _Format) -> None:
    if format is _Format.json:
        import json

        print(json.dumps(found, indent=1, allow_nan=False), flush=True)
    else:
        from resbench.checking import terminal_width
        from resbench.reports.paths import paths_table

        print(paths_table(found, width=terminal_width()), flush=True)
