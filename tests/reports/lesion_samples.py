"""A sweep's result as `resbench lesion --format json` prints it, drawn at random: nobody measured it."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

MODES = ("single", "multi", "reorder", "duplicate", "pairs")


def sweep(modes: tuple[str, ...] = MODES, *, n: int = 9, fixed: tuple[int, ...] = (4,), seed: int = 0) -> Any:
    """``n`` units in three stages; the unit ``fixed`` cannot be deleted."""
    generator = np.random.default_rng(seed)
    firsts = [0, n // 3, 2 * n // 3]
    units = [
        {
            "index": index,
            "name": f"layer{1 + sum(index >= first for first in firsts[1:])}.{index}",
            "deletable": index not in fixed,
            "reason": "changes the shape" if index in fixed else "",
            "downsampling": index in firsts[1:],
            "stage": sum(index >= first for first in firsts[1:]),
            "first_of_stage": index in firsts,
        }
        for index in range(n)
    ]
    free = [index for index in range(n) if index not in fixed]
    base = 6.61
    found: dict[str, Any] = {
        "schema": "resbench.lesion/1",
        "baseline_error": base,
        "baseline_interval": [6.1, 7.2],
        "n_images": 1000,
        "seed": 0,
        "excluded": firsts,
        "target": {"name": "resnet20", "units": n},
        "modes": list(modes),
        "environment": {},
        "engine": {"how": "trie", "seconds": 1.25, "device": "cpu", "precision": "float32", "threads": 1},
        "units": units,
    }

    def error() -> dict[str, Any]:
        value = base + float(generator.uniform(-1, 60))
        return {"error": value, "interval": [value - 1.5, value + 2]}

    def drawn(key: str) -> list[dict[str, Any]]:
        sizes = [(k, draw) for k in (1, 2, 3) for draw in range(4)]
        return [{"k": k, "draw": d, key: sorted(generator.choice(free, k, replace=False).tolist()), **error()}
                for k, d in sizes]  # fmt: skip

    def change(one: dict[str, Any]) -> dict[str, Any]:
        delta = one["error"] - base
        return {**one, "delta": delta, "delta_interval": [delta - 1, delta + 1]}

    def order() -> list[int]:
        return [int(index) for index in generator.permutation(n)]

    makers: dict[str, Any] = {
        "single": lambda: [change({"index": i, "name": units[i]["name"], **error()}) for i in free],
        "multi": lambda: drawn("deleted"),
        "duplicate": lambda: drawn("duplicated"),
        "reorder": lambda: [
            {"swaps": k, "draw": d, "kendall_tau": 1 - 0.02 * k - 0.005 * d, "order": order(), **error()}
            for k in (1, 2) for d in range(3)
        ],
        "pairs": lambda: [pair(i, j) for i, j in combinations(free, 2)],
    }  # fmt: skip

    def pair(i: int, j: int) -> dict[str, Any]:
        one, interaction = error(), float(generator.normal(0, 3))
        half = 1.0 + abs(float(generator.normal()))
        return {"units": [i, j], **one, "delta": one["error"] - base, "interaction": interaction,
                "interaction_interval": [interaction - half, interaction + half]}  # fmt: skip

    for mode in modes:
        found[mode] = makers[mode]()
    return found
