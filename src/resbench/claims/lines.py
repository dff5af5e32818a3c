"""Where a claim is written: its file and the line of its id, for annotations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files as resources
from pathlib import Path

__all__ = ["claim_lines"]

_ID = re.compile(r"""^id\s*=\s*["']([^"']+)["']""")


def claim_lines() -> Mapping[str, tuple[Path, int]]:
    """The file and line (from 1) of every claim of the package; the files may be those of an installed copy."""
    found: dict[str, tuple[Path, int]] = {}
    folder = Path(str(resources("resbench.claims")))
    for file in sorted(folder.glob("*.toml")):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            if match := _ID.match(line):
                found.setdefault(match[1], (file, number))
    return found
