"""Rows that cost nothing; importable in a fresh Python process."""

from __future__ import annotations

import os
from pathlib import Path

from resbench.survey.row import Row, blank_row
from resbench.survey.selection import Family


def fake_row(family: Family) -> Row:
    """A row at once; the family's network names the file in which the visit is noted, or ``exit``."""
    if family.networks[0] == "exit":
        os._exit(1)
    with Path(family.networks[0]).open("a") as file:
        file.write(f"{family.name}\n")
    return blank_row(family) | {"network": family.name, "adapted": "yes", "units": "3", "residual additions": "3"}
