"""What a sequential run spent, for people: a line a statement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resbench.reports.words import clean, cut, wrap

__all__ = ["sequential_text"]


def sequential_text(record: Mapping[str, Any], width: int = 80) -> str:
    """The statements with the images that they used, and the share of the passes; no line over ``width``."""
    statements, networks = record["statements"], record["networks"]
    early = sum(one["decided"] == "early" for one in statements)
    done, of = (sum(network[key] for network in networks) for key in ("passes", "of"))
    spent = f"; {done:,} of {of:,} lesioned images ({100 * done / of:.0f} %)" if of else ""
    lines = wrap(
        f"sequential, alpha {record['alpha']:g}: {early} of {len(statements)} statements decided early{spent}", width
    )
    for one in statements:
        used = f"{one['images']:>7,} of {one['of']:,} images" if one["images"] else f"{one['decided']:>7}"
        name = clean(f"{one['name']} {one['quantity'].split('.')[1]}")
        lines.append(cut(f"{used:<24}  {name}", width))
    if record["on_all_images"]:
        names = dict.fromkeys(clean(one["name"]) for one in record["on_all_images"])
        lines += wrap(f"on all their images (they vary between draws): {' '.join(names)}", width, rest="  ")
    lines += wrap(f"{record['method']}: {record['source']}", width, rest="  ")
    return "\n".join(lines)
