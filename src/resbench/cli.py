"""The command line.  Bad usage or bad input: one line on standard error, exit code 2; Ctrl-C: 130."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from resbench.commands import completing
from resbench.commands.ab import ab
from resbench.commands.badge import badge
from resbench.commands.bench import bench
from resbench.commands.claims import JsonOption, ListFormat, claims_app
from resbench.commands.compare import compare
from resbench.commands.diff import diff
from resbench.commands.doctor import doctor
from resbench.commands.export import export_app
from resbench.commands.faults import faults
from resbench.commands.figure import figure
from resbench.commands.frame import App, Top, named_in
from resbench.commands.history import history
from resbench.commands.init import init
from resbench.commands.lesion import lesion
from resbench.commands.measure import measure
from resbench.commands.paths import paths
from resbench.commands.records import records_app
from resbench.commands.report import report
from resbench.commands.schema import schema
from resbench.commands.target_options import (
    Checkpoint,
    Data,
    Device,
    Download,
    Input,
    Limit,
    Mean,
    Model,
    Std,
    Survival,
    Target,
    Units,
)
from resbench.commands.train import train
from resbench.errors import NotMeasured, UserError
from resbench.records.aside import noticing
from resbench.talking import restored

__all__ = ["app", "main", "run"]

_INTERRUPTED = 130

_HELP = """The claims of the residual-network papers, judged on real networks, and the throughput of their blocks.

Example: resbench check --kind exact

Example: resbench check --target mypackage.models:build --input 3x32x32

Example: resbench init
"""

app = App(cls=Top, help=_HELP, add_completion=True)
app.add_typer(claims_app, name="claims")
commands = (init, report, figure, diff, badge, lesion, paths, measure, train)
for command in (*commands, bench, ab, compare, history, doctor, faults, schema):
    app.command()(command)
app.add_typer(export_app, name="export")
app.add_typer(records_app, name="records")


class Format(StrEnum):
    table = "table"
    json = "json"
    junit = "junit"
    md = "md"
    github = "github"


@app.command()
def check(
    context: typer.Context,
    select: Annotated[
        list[str] | None,
        typer.Option(
            "--select",
            metavar="GLOB",
            help="Claim ids, with * and ?; may be repeated.",
            autocompletion=completing.claims,
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            help="exact, structural, trained or reference; commas or repeated.",
            autocompletion=completing.kinds,
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--setting", help="Only this setting (digits, ...); may be repeated.", autocompletion=completing.settings
        ),
    ] = None,
    retrain: Annotated[bool, typer.Option("--retrain", help="Train the networks afresh first.")] = False,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="With --retrain (random, and shown, if not given) or --target (0)."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="NOT_MEASURED fails as well.")] = False,
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            "--checkpoints",
            help="Judge the networks of `resbench train --out` instead; with --refresh: a study's folder of weights.",
        ),
    ] = None,
    refresh: Annotated[
        bool,
        typer.Option("--refresh", help="Measure again what is STALE, and only that; --data says on which images."),
    ] = False,
    target: Target = "",
    checkpoint: Checkpoint = None,
    data: Data = "",
    download: Download = False,
    mean: Mean = "",
    std: Std = "",
    input: Input = "",
    limit: Limit = None,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Random lesions on all images, paths on 2,000; takes its time.")
    ] = False,
    units: Units = None,
    survival: Survival = "",
    against: Annotated[
        str,
        typer.Option(
            "--against",
            metavar="MODEL",
            help="Another network that the target must be equal to.",
            autocompletion=completing.models,
        ),
    ] = "",
    against_checkpoint: Annotated[
        Path | None, typer.Option("--against-checkpoint", help="Weights of its own for --against.")
    ] = None,
    sequential: Annotated[
        bool, typer.Option("--sequential", help="Stop single deletions as soon as the verdicts are decided.")
    ] = False,
    alpha: Annotated[
        float | None,
        typer.Option(
            "--alpha", min=0.0001, max=0.5, help="With --sequential: chance of a false verdict on a statement (0.05)."
        ),
    ] = None,
    waivers: Annotated[
        Path | None,
        typer.Option("--waivers", metavar="FILE", help="Waivers; the repository's waivers.toml if not given."),
    ] = None,
    device: Device = "cpu",
    format: Annotated[
        Format,
        typer.Option("--format", help="How to print; github: the board, annotations and the job's summary."),
    ] = Format.table,
    since: Annotated[
        Path | None,
        typer.Option(
            "--since", metavar="RUN", help="With --format github: an earlier run's --out, to say what changed."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Also write JSON, JUnit and Markdown to this folder.")
    ] = None,
) -> None:
    """Judge claims, of resbench's networks or of your own.

    The verdict comes first, then what does not hold; --verbose shows every claim.

    Exit code 0: every selected claim HOLDS or is WAIVED (or is not measured, without --strict); 1: at least one is
    VIOLATED, INCONCLUSIVE, STALE or ERROR, or a waiver is unused or expired; 2: bad usage or bad input.

    Example: resbench check --select 'veit-single-*' --setting digits

    Example: resbench check --target mypackage.models:build --input 3x32x32

    Example: resbench check --refresh --setting cifar10 --data cifar10:data

    Example: resbench check --format github --out run --since last
    """
    from resbench.checking import Options, run_check
    from resbench.commands.check_defaults import configured
    from resbench.measuring.refresh import Refresh
    from resbench.targets.options import TargetOptions

    described = TargetOptions(
        target=target,
        checkpoint=checkpoint,
        data="" if refresh else data,
        download=download and not refresh,
        mean=mean,
        std=std,
        input=input,
        units=tuple(units or ()),
        survival=survival,
        limit=limit,
        thorough=thorough,
        against=against,
        against_checkpoint=against_checkpoint,
        device=device,
        seed=seed or 0,
    )
    options = Options(
        select=tuple(select or ()),
        kinds=_split(kind),
        settings=_split(setting),
        retrain=retrain,
        seed=seed,
        strict=strict,
        checkpoints=None if refresh else checkpoints,
        device=device,
        format=format.value,
        out=out,
        sequential=sequential,
        alpha=alpha,
        waivers=waivers,
        refresh=Refresh(data, download, checkpoints, device) if refresh else None,
        since=since,
        target=described,
    )
    options = configured(options, named_in(context))
    kept = "what single deletions have shown is kept for the next run" if options.sequential else "nothing is kept"
    with _interruptible(kept if options.target.target else "finished measurements are kept for the next run"):
        raise typer.Exit(run_check(options))


@app.command()
def units(
    model: Model,
    checkpoint: Checkpoint = None,
    input: Input = "",
    units: Units = None,
    device: Device = "cpu",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of random weights and inputs.")] = 0,
    format: JsonOption = ListFormat.table,
) -> None:
    """Show what is taken for the residual units of a network, and what can be done with each.

    Example: resbench units torchvision:resnet50
    """
    from resbench.checking import units_of
    from resbench.targets.options import TargetOptions

    options = TargetOptions(model, checkpoint, input=input, units=tuple(units or ()), device=device, seed=seed)
    print(units_of(options, format.value))


@app.command()
def survey(
    library: Annotated[
        list[str] | None,
        typer.Argument(
            help="torchvision, timm, transformers; all three if none is named.", autocompletion=completing.libraries
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many families of each.")] = None,
    out: Annotated[Path, typer.Option("--out", help="The table (CSV); finished rows in it are kept.")] = Path(
        "survey.csv"
    ),
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Networks at the same time.")] = 1,
    timeout: Annotated[float, typer.Option("--timeout", min=1.0, help="Seconds for one network.")] = 300.0,
    format: JsonOption = ListFormat.table,
) -> None:
    """Adapt and judge the architectures of whole libraries, with random weights; nothing is downloaded.

    Started again, it goes on with what is missing.

    Example: resbench survey torchvision --limit 10 --out survey.csv
    """
    import json

    from resbench.survey.command import SurveyOptions, run_survey, summary

    with _interruptible("finished rows are kept; start the command again to go on"):
        rows = run_survey(SurveyOptions(tuple(library or ()), limit, out, jobs, timeout))
    print(json.dumps({"out": str(out), "rows": rows}, indent=1) if format is ListFormat.json else summary(rows))


@app.command()
def calibrate(
    folders: Annotated[list[Path], typer.Argument(help="Checkpoint folders, one a seed (`resbench train --out`).")],
    out: Annotated[Path, typer.Option("--out", help="The folder of the records, one a seed.")],
    setting: Annotated[str, typer.Option("--setting", help="Whose networks these are.")] = "digits",
) -> None:
    """Measure every trained claim on networks of other seeds, and record the raw values.

    Tolerances and false-alarm probabilities come from these records.

    Example: resbench calibrate /tmp/seeds/* --out baselines/claims/digits
    """
    from resbench.calibration import record_seeds
    from resbench.claims import load_claims
    from resbench.errors import of_option
    from resbench.plan import items_of

    with _interruptible("finished seeds are recorded; start the command again with the others"):
        with of_option("--setting"):
            items_of(load_claims(), settings=(setting,))
        print(record_seeds(setting, folders, out))


def _split(values: list[str] | None) -> tuple[str, ...]:
    return tuple(part.strip() for value in values or () for part in value.split(",") if part.strip())


@contextmanager
def _interruptible(kept: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        print(f"resbench: interrupted; {kept}", file=sys.stderr)
        raise typer.Exit(_INTERRUPTED) from None


def main() -> None:
    """Run the command line; ends in SystemExit.  Where damaged files were set aside, it is no success."""
    with noticing() as aside, restored():
        try:
            app(prog_name="resbench")
        except (UserError, NotMeasured) as error:
            from resbench.reports.words import clean  # names in it may hold anything

            print(f"resbench: {clean(error)}", file=sys.stderr)
            sys.exit(2)
        except SystemExit as end:
            if aside and not end.code:
                what = "a damaged file was" if len(aside) == 1 else f"{len(aside)} damaged files were"
                print(f"resbench: done, but {what} set aside (see above): exit code 1", file=sys.stderr)
                sys.exit(1)
            raise


def run() -> None:
    """The console script: :func:`main`, but after Ctrl-C the process ends at once, with experiments still under way."""
    try:
        main()
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            sys.stderr.flush()
            os._exit(_INTERRUPTED)
        raise
