"""`resbench records`: stores of records checked, merged, compared, and taken to the present schemas."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resbench.commands.frame import App
from resbench.errors import UserError
from resbench.talking import note

if TYPE_CHECKING:
    from resbench.records.stores import Item

__all__ = ["records_app"]

records_app = App(
    help="""Recorded evidence, seeds and timing runs: check, merge, compare.

    Example: resbench records verify baselines
    """
)


class _Format(StrEnum):
    table = "table"
    json = "json"


_FormatOption = Annotated[_Format, typer.Option("--format", help="How to print.")]


class _Prefer(StrEnum):
    newest = "newest"
    first = "first"


@records_app.command("verify")
def records_verify(
    folder: Annotated[Path | None, typer.Argument(help="All below it; the committed evidence if not given.")] = None,
    format: _FormatOption = _Format.table,
) -> None:
    """Read every record and check its schema, digest and place, and checkpoints against their hashes.

    Exit code 0: all is as it was written; 1: something is not, a line each.

    Example: resbench records verify baselines
    """
    from resbench.records.places import baselines
    from resbench.records.verifying import verify

    root = folder or baselines()
    found = verify(root)
    if format is _Format.json:
        _print_json({"folder": str(root), "wrong": list(found.wrong), "summary": found.summary})
    else:
        print("\n".join([*found.wrong, found.summary]))
    raise typer.Exit(1 if found.wrong else 0)


@records_app.command("merge")
def records_merge(
    stores: Annotated[list[Path], typer.Argument(help="Folders of records (of evidence, seeds, timing runs).")],
    out: Annotated[Path, typer.Option("--out", help="The folder to write; what is in it already takes part.")],
    prefer: Annotated[
        _Prefer | None, typer.Option("--prefer", help="Where results differ; refused if not given.")
    ] = None,
    format: _FormatOption = _Format.table,
) -> None:
    """Put the records of several stores into one.

    Records that several stores have with the same result are taken once. Other results of one name are refused, before
    anything is written, unless --prefer says which to take.

    Example: resbench records merge from-one-machine from-another --out baselines/claims/cifar10
    """
    from resbench.records.merging import merge

    done = merge(stores, out, None if prefer is None else prefer.value)
    for line in done.unlike:
        note(line)
    if format is _Format.json:
        names = {name: getattr(done, name) for name in ("written", "kept", "twice", "preferred", "unlike")}
        _print_json({"out": str(out), **names})
        return
    text = f"{len(done.written)} written to {out}, {len(done.kept)} were there"
    text += f", {len(done.twice)} in several stores with the same result" if done.twice else ""
    print(text + (f", {len(done.preferred)} chosen ({prefer})" if done.preferred else ""))


@records_app.command("diff")
def records_diff(
    first: Annotated[Path, typer.Argument(help="A folder of records, or one record.")],
    second: Annotated[Path, typer.Argument(help="Another.")],
    format: _FormatOption = _Format.table,
) -> None:
    """What differs between two stores, or two records, in words and numbers.

    Exit code 0: the same results, whoever made them; 1: they differ.

    Example: resbench records diff baselines/claims/cifar10 /tmp/measured-again
    """
    from resbench.records.stores import whole_store

    mine, yours = whole_store(first).items, whole_store(second).items
    if first.is_file() != second.is_file():
        raise UserError(f"{first} and {second}: give two folders, or two records")
    if first.is_file():
        if len(mine) > 1 or len(yours) > 1:
            raise UserError("a file of all seeds is compared within its folder: give the folders")
        yours = dict(zip(mine, yours.values(), strict=True))
    names = sorted({*mine, *yours})
    differing = [found for name in names if (found := _difference(name, mine.get(name), yours.get(name))) is not None]
    same = len(names) - len(differing)
    if format is _Format.json:
        _print_json({"same": same, "different": differing})
    else:
        print("\n".join([*map(_told, differing), f"{same} the same, {len(differing)} not"]))
    raise typer.Exit(1 if differing else 0)


def _difference(name: str, mine: Item | None, yours: Item | None) -> dict[str, Any] | None:
    """What differs of one record; None where nothing does that is a result."""
    from resbench.records.comparing import differences, provenance

    if mine is None or yours is None:
        where = "second" if mine is None else "first"
        return {"name": name, "only_in": where, "differences": [], "provenance": []}
    found = differences(mine.record, yours.record)
    told = list(provenance(mine.record, yours.record)) if found else []
    return {"name": name, "only_in": None, "differences": list(found), "provenance": told} if found else None


def _told(difference: dict[str, Any]) -> str:
    if difference["only_in"]:
        return f"{difference['name']}: only in the {difference['only_in']}"
    return "\n  ".join([f"{difference['name']}:", *difference["differences"], *difference["provenance"]])


def _print_json(content: dict[str, Any]) -> None:
    import json

    print(json.dumps(content, indent=1))


@records_app.command("migrate")
def records_migrate(
    folder: Annotated[Path | None, typer.Argument(help="All below it; the committed evidence if not given.")] = None,
    format: _FormatOption = _Format.table,
) -> None:
    """Write files of older schemas as the present ones; what they say stays the same.

    Older files are read as they are, so this is for people who want one kind of file.

    Example: resbench records migrate baselines/claims
    """
    from resbench.records.places import baselines
    from resbench.records.verifying import migrate

    done = migrate(folder or baselines())
    if format is _Format.json:
        _print_json({"done": done})
        return
    print("\n".join(done) or "nothing to do: all is of the present schemas")
