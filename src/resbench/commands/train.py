"""`resbench train`: the networks that the claims need."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from resbench.commands import completing
from resbench.commands.target_options import Data, Device, Download
from resbench.errors import UserError

__all__ = ["train"]

_INTERRUPTED = 130


def train(
    setting: Annotated[
        str,
        typer.Option(
            "--setting",
            help="Whose networks: digits, cifar10 or cifar10-short; digits if not given.",
            autocompletion=completing.own_settings,
        ),
    ] = "",
    network: Annotated[
        list[str] | None,
        typer.Option(
            "--network",
            help="Only this one; may be repeated.",
            autocompletion=completing.networks,
        ),
    ] = None,
    seed: Annotated[
        list[int] | None,
        typer.Option("--seed", min=0, help="May be repeated; 0 if not given, of the papers' networks 1."),
    ] = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help="A TOML file: a setting, networks and their seeds.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the checkpoints; several seeds get a folder each in it.")
    ] = None,
    parallel: Annotated[
        int | None,
        typer.Option("--parallel", "--jobs", min=1, help="Networks at the same time; digits 2, else 1 if not given."),
    ] = None,
    data: Data = "",
    download: Download = False,
    max_minutes: Annotated[
        float | None, typer.Option("--max-minutes", min=0.0, help="Stop then; the same command goes on.")
    ] = None,
    device: Device = "cpu",
    precision: Annotated[
        str | None, typer.Option("--precision", help="float32, tf32 or bf16; float32 if not given.")
    ] = None,
) -> None:
    """Train the networks that the claims need.  Started again, it goes on with what is missing.

    Of the digits every network of a recipe; of the papers' settings those that are named, or a plan's. A thin network
    cannot fill a GPU: --parallel trains several side by side. Under torchrun all processes train each together.

    Example: resbench train --setting digits --seed 7 --out /tmp/seven

    Example: resbench train --setting cifar10 --network resnet110-preact --data cifar10:data --device cuda

    Example: resbench train --plan runs.toml --parallel 4 --data cifar10:data --device cuda --precision bf16
    """
    from resbench.checking import check_device
    from resbench.distributed import ranks
    from resbench.measuring.parallel import side_by_side
    from resbench.measuring.training import TrainOptions, train_papers
    from resbench.retraining import train_networks

    check_device(device)
    kept = "what is trained, and the state of what is not, are kept; start the command again to go on"
    try:
        if plan is None and setting in ("", "digits"):
            given = {"--data": data, "--max-minutes": max_minutes, "--precision": precision}
            _check_digits([name for name, value in given.items() if value], device)
            for folder in train_networks("digits", tuple(network or ()), tuple(seed or (0,)), out, parallel or 2):
                print(folder)
            return
        whose, runs = _planned(plan, setting, network or [], seed or [])
        options = TrainOptions(whose, runs, data, download, out, max_minutes, device, precision or "float32")
        with ranks(kept) as among:
            if among.world > 1 and parallel is not None:
                raise UserError("--parallel is for one process; under torchrun all train each network together")
            if parallel is None or parallel == 1:
                print(train_papers(options, among))
            else:
                print(side_by_side(train_papers, options, parallel, device))
    except KeyboardInterrupt:
        print(f"resbench: interrupted; {kept}", file=sys.stderr)
        raise typer.Exit(_INTERRUPTED) from None


def _check_digits(given: list[str], device: str) -> None:
    """Raises: UserError for what is of the papers' settings."""
    for name in given:
        raise UserError(f"{name} is for the papers' settings: give --setting cifar10 or cifar10-short as well")
    if device != "cpu":
        raise UserError(f"--device {device}: the digits are trained on the CPU")


def _planned(
    plan: Path | None, setting: str, networks: list[str], seeds: list[int]
) -> tuple[str, tuple[tuple[str, int], ...]]:
    """The setting, and its networks with their seeds.

    Raises:
        UserError: options that do not go together, or a plan that cannot be read.
    """
    from resbench.measuring.trained import check_training
    from resbench.measuring.training import read_plan

    if plan is not None:
        if setting or networks or seeds:
            raise UserError("--plan says setting, networks and seeds: give it alone")
        found = read_plan(plan)
        return found.setting, found.runs
    check_training(setting)
    if not networks:
        every = "`resbench measure` trains all that the claims need"
        raise UserError(f"--setting {setting}: give --network NAME or --plan FILE; {every}")
    if 0 in seeds:
        raise UserError("--seed 0: the papers' networks have seeds from 1 on")
    return setting, tuple((name, seed) for name in networks for seed in seeds or [1])
