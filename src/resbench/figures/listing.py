"""Which figures there are, and what each of them lacks; nothing is measured to find out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from resbench.figures import FIGURES, build
from resbench.figures.model import Missing
from resbench.figures.sources import Sources
from resbench.reports.words import clean, wrap

__all__ = ["Entry", "entries", "listing_json", "listing_table"]


@dataclass(frozen=True)
class Entry:
    """``drawn``: at least a part of it can be drawn here, from records or by measuring committed networks."""

    name: str
    title: str
    drawn: bool
    missing: tuple[Missing, ...]


def entries(sources: Sources) -> list[Entry]:
    """Every figure, in the order of the page; ``sources`` should not measure.

    Raises:
        UserError: a record is damaged.
    """
    found = []
    for name in FIGURES:
        figure = build(name, sources)
        drawn = figure.chart is not None or bool(sources.at_hand)
        sources.at_hand.clear()
        found.append(Entry(name, figure.title, drawn, figure.missing))
    return found


def listing_table(found: Sequence[Entry], *, width: int = 80) -> str:
    """A block a figure: name and state, title, and of what is missing what it is and the command."""
    lines: list[str] = []
    for entry in found:
        state = "missing" if not entry.drawn else "in part" if entry.missing else "drawn"
        lines += [f"{entry.name} ({state})", *wrap(clean(entry.title), width, "  ")]
        for one in entry.missing:
            lines += wrap(clean(f"missing: {one.what}"), width, "    ", "      ")
            lines += wrap(clean(one.command), width, "      ", "        ")
    whole = sum(entry.drawn and not entry.missing for entry in found)
    parts = sum(entry.drawn and bool(entry.missing) for entry in found)
    none = len(found) - whole - parts
    counted = f"{len(found)} figures: {whole} drawn in full, {parts} in part" + (f", {none} missing" if none else "")
    return "\n".join(
        [*lines, "", counted, *wrap("`resbench figure NAME --out FILE.svg` writes one (.png, .csv, .json too)", width)]
    )


def listing_json(found: Sequence[Entry]) -> str:
    """``resbench.figures/1``."""
    rows = [
        {
            "name": entry.name,
            "title": entry.title,
            "drawn": entry.drawn,
            "missing": [{"what": one.what, "command": one.command} for one in entry.missing],
        }
        for entry in found
    ]
    return json.dumps({"schema": "resbench.figures/1", "figures": rows}, indent=1)
