"""The options that describe a target, for every command that measures one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resbench.commands import completing

__all__ = [
    "Checkpoint",
    "Data",
    "Device",
    "Download",
    "Input",
    "Limit",
    "Mean",
    "Model",
    "Std",
    "Survival",
    "Target",
    "Units",
]

_KINDS = "MODULE:CALLABLE, a zoo name, torchvision:NAME, timm:NAME, transformers:NAME."

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help=_KINDS,
        autocompletion=completing.models,
    ),
]

Target = Annotated[
    str,
    typer.Option(
        "--target",
        metavar="MODEL",
        help=f"Judge your own network: {_KINDS}",
        autocompletion=completing.models,
    ),
]

Checkpoint = Annotated[
    Path | None, typer.Option("--checkpoint", help="The network's weights: safetensors, or a saved state_dict.")
]

Data = Annotated[
    str,
    typer.Option(
        "--data",
        metavar="SPEC",
        help="digits, cifar10:ROOT, imagefolder:ROOT or npz:FILE.",
        autocompletion=completing.data,
    ),
]

Download = Annotated[bool, typer.Option("--download", help="Let torchvision fetch CIFAR-10 if ROOT lacks it (170 MB).")]

Mean = Annotated[str, typer.Option("--mean", metavar="R,G,B", help="Of the images, scaled to [0, 1].")]

Std = Annotated[str, typer.Option("--std", metavar="R,G,B", help="Goes with --mean.")]

Input = Annotated[
    str, typer.Option("--input", metavar="CxHxW", help="The size of an image: without data, and for imagefolder.")
]

Limit = Annotated[
    int | None, typer.Option("--limit", min=2, help="At most so many images of the data, drawn by --seed.")
]

Units = Annotated[
    list[str] | None,
    typer.Option("--units", metavar="GLOB", help="Modules that are the residual units; may be repeated."),
]

Survival = Annotated[
    str, typer.Option("--survival", metavar="SCHEDULE", help="linear:0.5, uniform:0.8, or P1,P2,... for every unit.")
]

Device = Annotated[
    str,
    typer.Option(
        "--device",
        help="Where it runs.",
        autocompletion=completing.devices,
    ),
]
