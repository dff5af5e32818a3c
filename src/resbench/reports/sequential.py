"""What a sequential run spent, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resbench.reports.words import clean, cut, wrap

__all__ = ["images_of", "joined", "quantity_name", "sequential_text", "spent_text"]


def sequential_text(record: Mapping[str, Any], width: int = 80) -> str:
    """The statements with the images that they used, and the share of the passes; no line over ``width``."""
    lines = wrap(spent_text(record), width)
    for one in record["statements"]:
        used = f"{one['images']:>7,} of {one['of']:,} images" if one["images"] else f"{one['decided']:>7}"
        lines.append(cut(f"{used:<24}  {clean(one['name'])} {quantity_name(one)}", width))
    if record["on_all_images"]:
        names = dict.fromkeys(clean(one["name"]) for one in record["on_all_images"])
        lines += wrap(f"on all their images (they vary between draws): {' '.join(names)}", width, rest="  ")
    lines += wrap(f"{record['method']}: {record['source']}", width, rest="  ")
    return "\n".join(lines)


def spent_text(record: Mapping[str, Any]) -> str:
    """All in one line."""
    statements, networks = record["statements"], record["networks"]
    early = sum(one["decided"] == "early" for one in statements)
    done, of = (sum(network[key] for network in networks) for key in ("passes", "of"))
    spent = f"; {done:,} of {of:,} lesioned images ({100 * done / of:.0f} %)" if of else ""
    return f"sequential, alpha {record['alpha']:g}: {early} of {len(statements)} statements decided early{spent}"


def quantity_name(statement: Mapping[str, Any]) -> str:
    """``interior_layer_errors`` of ``lesions.interior_layer_errors``."""
    return clean(statement["quantity"].split(".")[1])


def images_of(record: Mapping[str, Any], name: str) -> tuple[int, int] | None:
    """How many images the verdict ``id@setting`` took, and of how many; None where none of it could be decided early.

    A verdict on several statements took as many as the one that took most.
    """
    taken = [(one["images"], one["of"]) for one in record["statements"] if one["name"] == name and one["images"]]
    return max(taken, default=None)


def joined(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One record of several that processes of one run made: each has measured what its verdicts read."""
    parts: dict[str, dict[str, Any]] = {key: {} for key in ("statements", "networks", "on_all_images")}
    for record in records:
        for key, found in parts.items():
            for one in record[key]:
                found.setdefault(str([one.get(field) for field in ("name", "quantity", "params", "network")]), one)
    return {**records[0], **{key: list(found.values()) for key, found in parts.items()}}
