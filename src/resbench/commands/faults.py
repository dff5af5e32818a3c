"""``resbench faults``."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from resbench.commands import completing

__all__ = ["faults"]


class FaultsFormat(StrEnum):
    table = "table"
    json = "json"


def faults(
    fault: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            metavar="NAME",
            help="Only these, with * and ?; may be repeated.",
            autocompletion=completing.faults,
        ),
    ] = None,
    claims: Annotated[
        list[str] | None,
        typer.Option(
            "--claims",
            metavar="GLOB",
            help="Judge these claims (ID or ID@SETTING) under every fault, '*' for all; not those that each names.",
            autocompletion=completing.claims,
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Faults at the same time; one a core if not given.")
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", min=1.0, metavar="SECONDS", help="For one fault.")] = 1800.0,
    list: Annotated[bool, typer.Option("--list", help="Only say what the faults are.")] = False,
    format: Annotated[FaultsFormat, typer.Option("--format", help="How to print.")] = FaultsFormat.table,
) -> None:
    """Break resbench's own networks, training, experiments, judge and records on purpose: do the claims notice?

    Every fault is put into a process of its own; a claim kills it that HOLDS without it and fails `resbench check`
    with it. Nothing is written.

    Exit code 0: every fault is killed and, with --claims '*', every claim kills one or says why it cannot;
    1: otherwise; 2: bad usage.

    Example: resbench faults --fault 'shortcut-*'

    Example: resbench faults --claims '*' --format json
    """
    from resbench.checking import terminal_width
    from resbench.experiments.lab import workers
    from resbench.faults import ALL
    from resbench.faults.run import run_faults
    from resbench.faults.selection import select_faults
    from resbench.progress import CountProgress
    from resbench.reports.faults import faults_json, faults_table, list_json, list_of_faults

    chosen = select_faults(ALL, fault or ())
    if list:
        as_json = format is FaultsFormat.json
        print(list_json(chosen) if as_json else list_of_faults(chosen, width=terminal_width()))
        return
    try:
        with CountProgress(len(chosen)) as progress:
            matrix = run_faults(
                chosen,
                claims or (),
                processes=jobs or workers(),
                timeout=timeout,
                told=lambda what, jobs: progress.of(jobs).doing(what, finished=1),
            )
    except KeyboardInterrupt:
        print("resbench: interrupted; nothing is kept", file=sys.stderr)
        raise typer.Exit(130) from None
    print(faults_json(matrix) if format is FaultsFormat.json else faults_table(matrix, width=terminal_width()))
    raise typer.Exit(0 if matrix.passed else 1)
