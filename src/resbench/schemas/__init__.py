"""What `--format json` prints, as JSON Schema (2020-12): a file a command, named after it with hyphens.

A new optional field is no new schema; one that goes away or changes its meaning is.  Readers do well to pass over
fields that they do not know.
"""

from __future__ import annotations

import json
from difflib import get_close_matches
from importlib.resources import files
from typing import Any

from resbench.errors import UserError

__all__ = ["names", "read"]


def names() -> list[str]:
    """Every schema: ``check``, ``claims-show``, ..."""
    return sorted(path.name.removesuffix(".json") for path in files(__name__).iterdir() if path.name.endswith(".json"))


def read(name: str) -> dict[str, Any]:
    """The schema of the command ``name``, in which blanks and hyphens are the same.

    Raises:
        UserError: there is none; with the nearest.
    """
    wanted = "-".join(name.split())
    if wanted not in names():
        near = get_close_matches(wanted, names(), n=3, cutoff=0.3)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        raise UserError(f"no schema {name!r}{hint}; `resbench schema` lists them")
    found: dict[str, Any] = json.loads((files(__name__) / f"{wanted}.json").read_text(encoding="utf-8"))
    return found
