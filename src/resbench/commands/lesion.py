"""``resbench lesion``."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from resbench.commands.target_options import Checkpoint, Data, Device, Download, Input, Limit, Mean, Model, Std, Units

__all__ = ["lesion", "parse_numbers"]


class _Format(StrEnum):
    table = "table"
    json = "json"
    csv = "csv"


class _Mode(StrEnum):
    single = "single"
    multi = "multi"
    reorder = "reorder"
    duplicate = "duplicate"
    pairs = "pairs"


class _Precision(StrEnum):
    float32 = "float32"
    screened = "screened"
    bfloat16 = "bfloat16"
    tf32 = "tf32"


def lesion(
    model: Model,
    checkpoint: Checkpoint = None,
    data: Data = "",
    download: Download = False,
    mean: Mean = "",
    std: Std = "",
    input: Input = "",
    limit: Limit = None,
    units: Units = None,
    mode: Annotated[
        list[_Mode] | None, typer.Option("--mode", help="Which lesions; may be repeated. Default: single.")
    ] = None,
    k: Annotated[
        str, typer.Option("--k", metavar="LIST", help="How many units multi and duplicate take: 1-20 or 1,2,5.")
    ] = "1-20",
    swaps: Annotated[str, typer.Option("--swaps", metavar="LIST", help="How many exchanges reorder makes.")] = "1-10",
    draws: Annotated[int, typer.Option("--draws", min=1, help="Random lesions of each number.")] = 10,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude",
            metavar="UNIT",
            help="Units to leave alone: number from 1, name, or none; may be repeated. "
            "Default: random lesions leave the first unit of each stage alone, as the paper's do.",
        ),
    ] = None,
    precision: Annotated[
        _Precision,
        typer.Option(
            "--precision", help="screened: float32's predictions, most by way of bfloat16. bfloat16, tf32: their own."
        ),
    ] = _Precision.float32,
    compiled: Annotated[bool, typer.Option("--compile", help="Compile units where that makes them faster.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do not go on with an interrupted run.")] = False,
    device: Device = "cpu",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the random lesions and the images drawn.")] = 0,
    figure: Annotated[
        Path | None, typer.Option("--figure", metavar="FILE", help="Also draw it: .svg, .pdf or .png.")
    ] = None,
    format: Annotated[_Format, typer.Option("--format", help="How to print.")] = _Format.table,
) -> None:
    """The test error when units are deleted, exchanged or applied twice.

    single: each unit deleted; multi, duplicate: random ones; reorder: random exchanges of alike units; pairs: every two
    deleted, and how far their effects add up.  A deleted unit's shortcut stays.

    Exit code 0: measured; 2: bad usage or bad input.  Interrupted (130), it goes on where it was when started again.
    Under torchrun the lesions are shared out; 1: another process ended.

    Example: resbench lesion resnet110-preact --checkpoint FILE --data cifar10:ROOT

    Example: resbench lesion mymodel:build --data npz:test.npz --mode single --mode pairs --figure lesions.svg
    """
    from resbench.distributed import ranks
    from resbench.lesioning import LesionOptions, lesions_of
    from resbench.lesions.listing import Drawing
    from resbench.targets.options import TargetOptions

    described = TargetOptions(
        target=model,
        checkpoint=checkpoint,
        data=data,
        download=download,
        mean=mean,
        std=std,
        input=input,
        units=tuple(units or ()),
        limit=limit,
        device=device,
        seed=seed,
    )
    options = LesionOptions(
        modes=tuple(each.value for each in mode or (_Mode.single,)),
        drawing=Drawing(parse_numbers(k, "k"), parse_numbers(swaps, "swaps"), draws, seed),
        exclude=None if exclude is None else tuple(exclude),
        precision=precision.value,
        compiled=compiled,
        fresh=fresh,
    )
    if figure is not None:
        from resbench.reports.figures import check_figure

        check_figure(figure)
    try:
        with ranks("finished pieces are kept: start the same command again to go on") as among:
            found = lesions_of(described, options, among)
    except KeyboardInterrupt:
        print("resbench: interrupted; start the same command again to go on", file=sys.stderr)
        raise typer.Exit(130) from None
    if found is None:  # rank 0 has it
        return
    try:
        print(_rendered(found, format), flush=True)
    finally:
        # After the numbers, and also where nobody read them to the end: neither loses the other.
        if figure is not None:
            from resbench.reports.figures import lesion_figure, save_figure

            save_figure(lesion_figure(found), figure)


def _rendered(found: dict[str, Any], format: _Format) -> str:
    if format is _Format.json:
        import json

        return json.dumps(found, indent=1, allow_nan=False)
    if format is _Format.csv:
        from resbench.reports.lesion_csv import lesion_csv

        return lesion_csv(found).rstrip("\n")
    from resbench.checking import terminal_width
    from resbench.reports.lesion import lesion_table

    return lesion_table(found, width=terminal_width())


def parse_numbers(text: str, name: str) -> tuple[int, ...]:
    """``1-20`` or ``1,2,5-8`` as numbers, sorted.

    Raises:
        UserError: anything else.
    """
    import re

    from resbench.errors import UserError

    found: set[int] = set()
    for part in text.split(","):
        ends = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        first, last = (int(ends[1]), int(ends[2] or ends[1])) if ends else (0, 0)
        if first < 1 or last < first:
            raise UserError(f"--{name} {text}: write numbers from 1, such as 1-20 or 1,2,5")
        found |= set(range(first, last + 1))
    return tuple(sorted(found))
