"""``resbench claims``: the catalogue."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from resbench.commands import completing
from resbench.commands.frame import App

__all__ = ["JsonOption", "ListFormat", "claims_app"]

claims_app = App(invoke_without_command=True, no_args_is_help=False)


class ListFormat(StrEnum):
    table = "table"
    json = "json"


JsonOption = Annotated[ListFormat, typer.Option("--format", help="How to print.")]


@claims_app.callback()
def claims_default(context: typer.Context, format: JsonOption = ListFormat.table) -> None:
    """List the claims, show one, or write the lock.

    Example: resbench claims show veit-single-delete-vgg
    """
    if context.invoked_subcommand is None:
        _list(format)


@claims_app.command("list")
def claims_list(format: JsonOption = ListFormat.table) -> None:
    """Every claim, one line each.

    Example: resbench claims list --format json
    """
    _list(format)


@claims_app.command("show")
def claims_show(
    id: Annotated[
        str,
        typer.Argument(
            help="Of the claim.",
            autocompletion=completing.claims,
        ),
    ],
    format: JsonOption = ListFormat.table,
) -> None:
    """One claim, whole: statement, source, expectations, where their tolerances come from, and what it can see.

    Example: resbench claims show veit-single-delete-vgg
    """
    import json

    from resbench.calibration import claim_powers, false_alarms
    from resbench.checking import terminal_width
    from resbench.claims import find, load_claims
    from resbench.reports import claim_details

    claim = find(load_claims(), id)
    alarms, powers = false_alarms(claim), claim_powers(claim)
    if format is ListFormat.json:
        import msgspec

        seen = {setting: [[one.to_json() for one in each] for each in found] for setting, found in powers.items()}
        whole = {**msgspec.to_builtins(claim), "kind": claim.kind, "false_alarm": alarms, "power": seen}
        print(json.dumps(whole, indent=1))
    else:
        print(claim_details(claim, width=terminal_width(), false_alarm=alarms, power=powers))


@claims_app.command("lock")
def claims_lock() -> None:
    """Record the hash of every claim's normative fields; refuses to change the hash of a version.

    Example: resbench claims lock
    """
    from resbench.claims import load_claims
    from resbench.claims.lock import lock_path, write_lock

    write_lock(load_claims(), lock_path())
    print(f"wrote {lock_path().name}")


@claims_app.command("wanted")
def claims_wanted(format: JsonOption = ListFormat.table) -> None:
    """The evidence of the papers' scale that is missing, best first; Markdown, as in baselines/WANTED.md.

    Example: resbench claims wanted
    """
    import json

    from resbench.reports.wanted import wanted_now

    found = wanted_now()
    print(json.dumps(found.to_json(), indent=1) if format is ListFormat.json else found.markdown().rstrip("\n"))


def _list(format: ListFormat) -> None:
    import json

    from resbench.checking import terminal_width
    from resbench.claims import catalogue_json, load_claims
    from resbench.reports import claims_table

    claims = load_claims()
    print(
        json.dumps(catalogue_json(claims), indent=1)
        if format is ListFormat.json
        else claims_table(claims, width=terminal_width())
    )
