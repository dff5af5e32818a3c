"""The survey's table as a CSV file that pandas reads: one row an architecture, in a fixed order, no times."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from resbench.errors import UserError
from resbench.records.places import write_atomically
from resbench.survey.row import Row
from resbench.survey.selection import LIBRARIES
from resbench.survey.verdicts import VIOLATIONS, claim_ids

__all__ = ["columns", "read_table", "share_adapted", "write_table"]

_FIXED = (
    "library",
    "version",
    "torch",
    "family",
    "networks",
    "network",
    "parameters",
    "input",
    "additions",
    "residual additions",
    "adapted",
    "why not",
    "units",
    "deletable",
    "exchangeable",
    "changing shape",
    "identity",
    "projection",
    "padding",
    "altered",
    "opaque",
    "after identity",
    "after relu",
    "after other",
    "handles",
    "drops",
)
"""``torch``: without the part of its version that names the build.  ``networks``: so many are in the family, of which
this one has the fewest parameters.  ``parameters``: in millions.  ``handles``: see :mod:`resbench.survey.handles`.
``drops``: units with stochastic depth."""


def columns() -> list[str]:
    """All columns: what the network is, what ``adapt`` finds, each structural claim's status, what violations say."""
    return [*_FIXED, *claim_ids(), VIOLATIONS]


def read_table(path: Path) -> list[Row]:
    """The rows of a table; none where there is no file.

    Raises:
        UserError: the file is another table, or one of other claims.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows, fields = list(reader), list(reader.fieldnames or [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    if fields != columns():
        raise UserError(f"{path} has other columns than this survey; remove it or choose another --out")
    for number, row in enumerate(rows, start=2):
        if not _whole(row):
            raise UserError(f"{path}, line {number}: damaged; remove the line, and its network is surveyed again")
    return [{column: value for column, value in row.items() if value} for row in rows]


def _whole(row: dict[str | Any, str | Any]) -> bool:
    """Whether a line has its place, its answer and its number of additions, and no cell too many."""
    return (
        None not in row
        and row["library"] in LIBRARIES
        and row["adapted"] in ("yes", "no", "not run")
        and all(row[column] for column in ("version", "torch", "family"))
        and (not row["residual additions"] or row["residual additions"].isdecimal())
        and (row["adapted"] == "yes" or bool(row["why not"]))
    )


def write_table(path: Path, rows: Iterable[Row]) -> None:
    """Write the whole table, so that the file is never half a table."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns(), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, buffer.getvalue().encode())


def share_adapted(rows: Sequence[Row]) -> tuple[int, int]:
    """Of the networks with residual additions how many are adapted, and how many there are."""
    residual = [row for row in rows if int(row.get("residual additions", "0"))]
    return sum(row["adapted"] == "yes" for row in residual), len(residual)
