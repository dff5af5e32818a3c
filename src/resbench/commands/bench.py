"""``resbench bench``."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from resbench.talking import note

if TYPE_CHECKING:
    from resbench.timing.record import TimingRun
    from resbench.timing.worker.case import Case

__all__ = ["bench", "chosen_cases"]


class _Format(StrEnum):
    table = "table"
    md = "md"
    csv = "csv"
    json = "json"


def bench(
    select: Annotated[
        list[str] | None,
        typer.Option("--select", metavar="GLOB", help="Cases by name, with * and ?; may be repeated."),
    ] = None,
    tag: Annotated[
        str | None, typer.Option("--set", metavar="NAME", help="Of cases: default, peers, full-cpu, ... (see --list).")
    ] = None,
    processes: Annotated[
        int | None, typer.Option("--processes", min=1, help="Fresh processes for every case; 5, on a GPU 2.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=0.01, help="Of samples, a case and process; 0.3, on a GPU 0.05.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda: whose default set.")] = "cpu",
    save: Annotated[str, typer.Option("--save", metavar="NAME", help="Keep the run under this name, or path.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace a run of this name.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Only list the sets, or the cases selected.")] = False,
    format: Annotated[_Format, typer.Option("--format", help="How to print.")] = _Format.table,
) -> None:
    """Time the blocks, networks and engines, in several fresh processes.

    Exit code 0: every case was measured; 1: at least one was not; 2: bad usage or bad input.  That the machine was not
    fit (UNHEALTHY) is shown and recorded; it fails a comparison.

    Example: resbench bench --save before

    Example: resbench bench --select 'unit:preact/*' --processes 5
    """
    from resbench.timing.store import reserved

    if listed:
        _list(select, tag, device, format)
        return
    chosen = chosen_cases(select, tag, device)
    with reserved(save, force=force) if save else nullcontext():
        run, complete = _measured(chosen, processes, seconds, save, force)
    _print(run, format)
    raise typer.Exit(0 if complete else 1)


def _measured(
    chosen: list[Case], processes: int | None, seconds: float | None, save: str, force: bool
) -> tuple[TimingRun, bool]:
    """The run, saved under the name ``save`` if that is given, and whether every case was measured."""
    from resbench.progress import CountProgress
    from resbench.timing.rounds import (
        GPU_PROCESSES,
        GPU_SECONDS,
        PROCESSES,
        SECONDS,
        BenchOptions,
        Collected,
        run_bench,
    )
    from resbench.timing.store import save as save_run

    usual = (GPU_PROCESSES, GPU_SECONDS) if all(case.cuda for case in chosen) else (PROCESSES, SECONDS)
    options = BenchOptions(processes or usual[0], seconds or usual[1])
    collected = Collected(chosen, options)
    try:
        with CountProgress(len(chosen) * options.processes) as progress:
            run_bench(collected, progress)
    except KeyboardInterrupt:
        if save and any(collected.rounds.values()):
            kept = save_run(collected.run(save), save, force=force)
            print(f"resbench: interrupted; what was measured is in {kept}", file=sys.stderr)
        else:
            print("resbench: interrupted; nothing is kept", file=sys.stderr)
        raise typer.Exit(130) from None
    run = collected.run(save or "this run")
    if save:
        note(f"saved as {save_run(run, save, force=force)}")
    return run, not collected.errors


def chosen_cases(select: list[str] | None, tag: str | None, device: str, *, present: bool = True) -> list[Case]:
    """The cases that the options name; the default set of ``device`` where they name none.

    Raises:
        UserError: a name or pattern fits nothing, or (if it must be ``present``) there is no GPU for them.
    """
    from resbench.errors import UserError
    from resbench.timing.worker.case import CaseError
    from resbench.timing.worker.grid import select as select_cases

    if device not in ("cpu", "cuda"):
        raise UserError(f"--device {device}: cpu or cuda")
    default = "default" if device == "cpu" else "default-gpu"
    try:
        chosen = select_cases(select or (), tag if select or tag else default)
    except CaseError as error:
        raise UserError(f"{'--set' if tag and not select else '--select'}: {error}") from error
    # A pattern means the cases of this device; a case's whole name says itself what it is measured on.
    chosen = [case for case in chosen if case.cuda == (device == "cuda") or case.key in (select or ()) or tag]
    if not chosen:
        raise UserError(f"no case for {device} matches {', '.join(select or ())}: give --device, or see --list")
    if present and any(case.cuda for case in chosen):
        import torch

        if not torch.cuda.is_available():
            raise UserError("there is no GPU that torch can use: choose cases of a cpu, or see `resbench doctor`")
    return chosen


def _list(select: list[str] | None, tag: str | None, device: str, format: _Format) -> None:
    """The cases that the options name, or the sets with their number of cases; every format but JSON is lines."""
    import json

    from resbench.timing.worker.grid import TAGS, cases

    if select or tag:
        keys = [case.key for case in chosen_cases(select, tag, device, present=False)]
        print(json.dumps(keys, indent=1) if format is _Format.json else "\n".join(keys))
    else:
        sets = {name: len(cases(name)) for name in TAGS}
        lines = [f"{name}: {number} cases" for name, number in sets.items()]
        print(json.dumps(sets, indent=1) if format is _Format.json else "\n".join(lines))


def _print(run: TimingRun, format: _Format) -> None:
    from resbench.checking import terminal_width
    from resbench.reports.throughput import bench_table
    from resbench.reports.throughput_files import bench_csv, bench_markdown
    from resbench.timing.store import encode

    if format is _Format.table:
        print(bench_table(run, width=terminal_width()))
    elif format is _Format.md:
        print(bench_markdown(run))
    elif format is _Format.csv:
        print(bench_csv(run), end="")
    else:
        print(encode(run).decode(), end="")
