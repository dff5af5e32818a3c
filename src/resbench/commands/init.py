"""``resbench init``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from resbench.commands.target_options import Checkpoint, Data, Input, Mean, Std, Survival, Target, Units

__all__ = ["init"]


class _Format(StrEnum):
    table = "table"
    json = "json"


def init(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Of the repository; the current one if not given.")
    ] = None,
    target: Target = "",
    input: Input = "",
    data: Data = "",
    mean: Mean = "",
    std: Std = "",
    checkpoint: Checkpoint = None,
    units: Units = None,
    survival: Survival = "",
    without_target: Annotated[
        bool, typer.Option("--without-target", help="Judge no network yet, only the papers' arithmetic.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be written, whole.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there and says something else.")] = False,
    format: Annotated[_Format, typer.Option("--format", help="How to print.")] = _Format.table,
) -> None:
    """Set a repository up: [tool.resbench] in pyproject.toml, a test file, a workflow.

    The network is looked for in the repository's source, tried in a process of its own, and with it the size of its
    input; every option says what is otherwise found out. What is there is kept, and started again it changes nothing.

    Exit code 0: done; 2: no network of the repository can be judged, or a file is in the way, and nothing is written.

    Example: resbench init

    Example: resbench init --target mypackage.models:build --input 1x28x28 --dry-run
    """
    import json

    from resbench.initialising.setting_up import InitOptions, set_up, text_of

    options = InitOptions(
        folder=folder or Path(),
        target=target,
        input=input,
        data=data,
        mean=mean,
        std=std,
        checkpoint=checkpoint,
        units=tuple(units or ()),
        survival=survival,
        without_target=without_target,
        dry_run=dry_run,
        force=force,
    )
    done = set_up(options)
    if format is _Format.json:
        print(json.dumps(done.to_json(dry_run=dry_run), indent=1))
        return
    if dry_run:
        for change in done.changes:
            if change.writes:
                print(f"--- {change.path}\n{change.content}")
    print(text_of(done, dry_run=dry_run, folder=options.folder.resolve()))
