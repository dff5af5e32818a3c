"""``resbench export``: timing runs in other tools' formats."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from resbench.commands import completing
from resbench.commands.frame import App
from resbench.errors import UserError
from resbench.talking import note

__all__ = ["export_app"]

export_app = App(
    help="""Timing runs as asv's results, and asv's site.

    Example: resbench export site
    """
)


class _Format(StrEnum):
    table = "table"
    json = "json"


ConfigOption = Annotated[Path, typer.Option("--config", help="asv's settings.")]
CONFIG = Path("asv.conf.json")


@export_app.command("asv")
def export_asv(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Saved runs, or paths; all saved runs if none.",
            autocompletion=completing.runs,
        ),
    ] = None,
    results: Annotated[
        Path | None, typer.Option("--results", help="The folder of results; that of asv's settings by default.")
    ] = None,
    machine: Annotated[
        str, typer.Option("--machine", help="The machine's name in the site; by default from its fingerprint.")
    ] = "",
    config: ConfigOption = CONFIG,
) -> None:
    """Write saved timing runs as asv's results, so that `asv publish`, `show` and `compare` know them.

    Example: resbench bench --save tuesday && resbench export asv tuesday
    """
    from resbench.timing import store
    from resbench.timing.asv_check import read_config
    from resbench.timing.asv_export import export

    settings = read_config(config)
    names = runs or sorted(str(path) for path in store.store().glob("*.json"))
    if not names:
        raise UserError("no run is saved: `resbench bench --save NAME` saves one")
    done = export(
        [store.load(name) for name in names],
        results or settings.results,
        repository=settings.repository,
        machine=machine,
    )
    for path in done.files:
        print(path)
    for cases, what in ((done.missing, "without samples"), (done.unhealthy, "measured while the machine was not fit")):
        if cases:
            note(f"{len(cases)} cases {what}, exported as such: {', '.join(cases[:3])} ...")


@export_app.command("check")
def export_check(
    config: ConfigOption = CONFIG,
    format: Annotated[_Format, typer.Option("--format", help="How to print.")] = _Format.table,
) -> None:
    """Find what asv would leave out of its site without a word.  Exit code 2: something was found.

    Example: resbench export check
    """
    from resbench.timing.asv_check import check, read_config

    problems = check(read_config(config))
    if format is _Format.json:
        import json

        print(json.dumps({"problems": list(map(str, problems))}, indent=1))
    else:
        print("\n".join(map(str, problems)) or "asv will show all results")
    if problems:
        raise typer.Exit(2)


@export_app.command("site")
def export_site(config: ConfigOption = CONFIG) -> None:
    """Check, publish with asv, and make the site readable without a network.

    Example: resbench export site && asv preview
    """
    from resbench.timing.asv_check import read_config
    from resbench.timing.asv_site import publish

    site = publish(read_config(config))
    print(f"{site.folder}: {site.graphs} of {site.benchmarks} benchmarks have points; regressions: {site.regressions}")
    for address in site.online:
        note(f"the page still fetches {address}")
    print("To look at it: asv preview")


@export_app.command("history")
def export_history(
    revisions: Annotated[list[str], typer.Argument(help="Commits, or ranges such as v1..main.")],
    select: Annotated[list[str] | None, typer.Option("--select", help="Cases, with * and ?; may be repeated.")] = None,
    tag: Annotated[str, typer.Option("--tag", help="The set of cases that --select looks through.")] = "default",
    count: Annotated[int, typer.Option("--count", min=1, help="At most so many commits, evenly spaced.")] = 8,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Fresh processes a commit.")] = 5,
    seconds: Annotated[float, typer.Option("--seconds", min=0.01, help="Of samples, a case and process.")] = 0.5,
    machine: Annotated[str, typer.Option("--machine", help="The machine's name in the site.")] = "",
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be measured, and for how long.")] = False,
    config: ConfigOption = CONFIG,
) -> None:
    """Time past commits of this repository with the ruler of today, and write them as asv's results.

    Of a range, the commits that changed src/; the commits take turns block by block, so that the machine's moods do not
    look like history.

    Example: resbench export history 3ae8ed8~..main --count 8
    """
    from resbench.timing.asv_check import read_config
    from resbench.timing.asv_export import export
    from resbench.timing.history_run import HISTORY, chosen, measured, not_everywhere
    from resbench.timing.past import PastOptions
    from resbench.timing.worker.case import CaseError
    from resbench.timing.worker.grid import select as matching

    settings = read_config(config)
    commits = chosen(revisions, count)
    try:
        cases = matching(select or HISTORY, tag)
    except CaseError as error:
        raise UserError(f"--select: {error}") from None
    options = PastOptions(rounds, seconds)
    about = options.about(len(cases), len(commits)) / 60
    note(f"{len(commits)} commits, {len(cases)} cases, {rounds} rounds: about {about:.0f} minutes", prefix="")
    if plan:
        print("\n".join([*(commit[:9] for commit in commits), *(case.key for case in cases)]))
        return
    runs = measured(commits, cases, options)
    done = export(runs, settings.results, repository=settings.repository, machine=machine)
    for path in done.files:
        print(path)
    for line in not_everywhere(runs):
        note(line)
