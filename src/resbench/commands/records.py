"""`resbench records`: stores of records checked, merged, compared, and taken to the present schemas."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resbench.commands.frame import App
from resbench.errors import UserError

if TYPE_CHECKING:
    from resbench.records.stores import Item

__all__ = ["records_app"]

records_app = App(
    help="""Recorded evidence, seeds and timing runs: check, merge, compare.

    Example: resbench records verify baselines
    """
)


class _Prefer(StrEnum):
    newest = "newest"
    first = "first"


@records_app.command("verify")
def records_verify(
    folder: Annotated[Path | None, typer.Argument(help="All below it; the committed evidence if not given.")] = None,
) -> None:
    """Read every record and check its schema, digest and place, and checkpoints against their hashes.

    Exit code 0: all is as it was written; 1: something is not, a line each.

    Example: resbench records verify baselines
    """
    from resbench.records.places import baselines
    from resbench.records.verifying import verify

    found = verify(folder or baselines())
    for line in found.wrong:
        print(line)
    print(found.summary)
    raise typer.Exit(1 if found.wrong else 0)


@records_app.command("merge")
def records_merge(
    stores: Annotated[list[Path], typer.Argument(help="Folders of records (of evidence, seeds, timing runs).")],
    out: Annotated[Path, typer.Option("--out", help="The folder to write; what is in it already takes part.")],
    prefer: Annotated[
        _Prefer | None, typer.Option("--prefer", help="Where results differ; refused if not given.")
    ] = None,
) -> None:
    """Put the records of several stores into one.

    Records that several stores have with the same result are taken once. Other results of one name are refused, before
    anything is written, unless --prefer says which to take.

    Example: resbench records merge from-one-machine from-another --out baselines/claims/cifar10
    """
    from resbench.records.merging import merge

    done = merge(stores, out, None if prefer is None else prefer.value)
    for line in done.unlike:
        typer.echo(f"resbench: {line}", err=True)
    text = f"{len(done.written)} written to {out}, {len(done.kept)} were there"
    text += f", {len(done.twice)} in several stores with the same result" if done.twice else ""
    print(text + (f", {len(done.preferred)} chosen ({prefer})" if done.preferred else ""))


@records_app.command("diff")
def records_diff(
    first: Annotated[Path, typer.Argument(help="A folder of records, or one record.")],
    second: Annotated[Path, typer.Argument(help="Another.")],
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
    differing = [name for name in sorted({*mine, *yours}) if _told(name, mine.get(name), yours.get(name))]
    same = len({*mine, *yours}) - len(differing)
    print(f"{same} the same, {len(differing)} not")
    raise typer.Exit(1 if differing else 0)


def _told(name: str, mine: Item | None, yours: Item | None) -> bool:
    """Print what differs of one record; whether anything does that is a result."""
    from resbench.records.comparing import differences, provenance

    if mine is None or yours is None:
        print(f"{name}: only in the {'second' if mine is None else 'first'}")
        return True
    found = differences(mine.record, yours.record)
    if found:
        print("\n  ".join([f"{name}:", *found, *provenance(mine.record, yours.record)]))
    return bool(found)


@records_app.command("migrate")
def records_migrate(
    folder: Annotated[Path | None, typer.Argument(help="All below it; the committed evidence if not given.")] = None,
) -> None:
    """Write files of older schemas as the present ones; what they say stays the same.

    Older files are read as they are, so this is for people who want one kind of file.

    Example: resbench records migrate baselines/claims
    """
    from resbench.records.places import baselines
    from resbench.records.verifying import migrate

    done = migrate(folder or baselines())
    print("\n".join(done) or "nothing to do: all is of the present schemas")
