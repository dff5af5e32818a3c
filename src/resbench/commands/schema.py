"""``resbench schema``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from resbench.commands import completing

__all__ = ["schema"]


class _Format(StrEnum):
    table = "table"
    json = "json"


def schema(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Of a command; all are listed without it.",
            autocompletion=completing.schemas,
        ),
    ] = None,
    format: Annotated[_Format, typer.Option("--format", help="Of the list; a schema is JSON.")] = _Format.table,
) -> None:
    """Show what --format json prints, as JSON Schema; without a name list the outputs that have one.

    Example: resbench schema check

    Example: resbench check --kind exact --format json > v.json && resbench schema check > s.json && check-jsonschema
    --schemafile s.json v.json
    """
    import json

    from resbench.schemas import names, read

    if name is not None:
        print(json.dumps(read(name), indent=2))
        return
    found = [(one, read(one)) for one in names()]
    if format is _Format.json:
        keys = ("title", "description")
        print(json.dumps([{"name": one, **{key: text[key] for key in keys}} for one, text in found], indent=1))
        return
    width = max(len(one) for one, _ in found)
    print("\n".join(f"{one.ljust(width)}  {text['title']}" for one, text in found))
