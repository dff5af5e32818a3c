"""``resbench figure``."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from resbench.commands import completing
from resbench.talking import note

__all__ = ["figure"]


class _Format(StrEnum):
    svg = "svg"
    png = "png"
    csv = "csv"
    json = "json"


class _Theme(StrEnum):
    light = "light"
    dark = "dark"


def figure(
    name: Annotated[
        str, typer.Argument(help="A figure: veit-fig3, he-table1, ... (see --list).", autocompletion=completing.figures)
    ] = "",
    listed: Annotated[bool, typer.Option("--list", help="All figures, and what is missing of each.")] = False,
    format: Annotated[
        _Format | None, typer.Option("--format", help="By the suffix of --out if not given, else svg.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to; standard output if not given.")
    ] = None,
    theme: Annotated[_Theme, typer.Option("--theme", help="Of pictures.")] = _Theme.light,
) -> None:
    """Draw a figure: the paper's published numbers beside ours, or its numbers as CSV.

    Networks of the digits are measured from the committed checkpoints (seconds); the others come from records.

    Exit code 0: written; 2: bad usage or bad input, or nothing of the figure is there (what to run is said).

    Example: resbench figure veit-fig3 --out fig3.svg

    Example: resbench figure he-table1 --format csv

    Example: resbench figure --list
    """
    from resbench.errors import UserError

    if listed:
        if name or out is not None:
            raise UserError("--list takes no figure and no --out")
        _list(format)
        return
    if not name:
        raise UserError("name a figure; `resbench figure --list` shows them all")
    chosen = _format(format, out)
    if out is None and chosen in (_Format.svg, _Format.png) and sys.stdout.isatty():
        raise UserError(f"a terminal shows no picture: name a file, --out {name}.{chosen.value}")
    content = _content(name, chosen, theme, out)
    if out is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    from resbench.records.places import write_atomically

    write_atomically(out, content)
    note(f"wrote {out}")


def _content(name: str, format: _Format, theme: _Theme, out: Path | None) -> bytes:
    from resbench.figures import build, check_name
    from resbench.figures.export import rendered
    from resbench.figures.sources import Sources
    from resbench.plan import Run
    from resbench.progress import MeasurementProgress
    from resbench.records.places import write_atomically

    check_name(name)
    if out is not None:
        # Fail before measuring, not after.
        probe = out.parent / f".{out.name}.resbench-probe"
        write_atomically(probe, b"")
        probe.unlink(missing_ok=True)
    with MeasurementProgress() as progress:
        drawn = build(name, Sources(Run([], listener=progress)))
    if drawn.missing:
        count = len(drawn.missing)
        note(f"{name} lacks {count} thing{'s' if count > 1 else ''}: see `resbench figure --list`")
    return rendered(drawn, format.value, theme.value)


def _format(given: _Format | None, out: Path | None) -> _Format:
    from resbench.errors import UserError

    if given is not None or out is None:
        return given or _Format.svg
    suffix = out.suffix.lower().removeprefix(".")
    if suffix not in list(_Format):
        raise UserError(f"--out {out}: name a .svg, .png, .csv or .json file, or say --format")
    return _Format(suffix)


def _list(format: _Format | None) -> None:
    from resbench.errors import UserError

    if format not in (None, _Format.json):
        raise UserError("--list is a table, or JSON with --format json")
    from resbench.checking import terminal_width
    from resbench.figures.listing import entries, listing_json, listing_table
    from resbench.figures.sources import Sources
    from resbench.plan import Run

    found = entries(Sources(Run([]), measure=False))
    print(listing_json(found) if format is _Format.json else listing_table(found, width=terminal_width()))
