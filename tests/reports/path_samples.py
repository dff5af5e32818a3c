"""What `resbench paths --format json` prints, of a network that nobody measured."""

from __future__ import annotations

import math
from typing import Any


def spectrum(n: int = 12, *, longest: int | None = None, method: str = "exact", r: float = 0.25) -> Any:
    """``n`` units whose branches shrink every gradient by ``r``."""
    counts = [math.comb(n, k) for k in range(n + 1)]
    per_path = [2.0 * r**k for k in range(n + 1)]
    norms = [count * norm for count, norm in zip(counts, per_path, strict=True)]
    shares = [norm / math.fsum(norms) for norm in norms]
    kept = n + 1 if longest is None else longest + 1
    found: dict[str, Any] = {
        "n_units": n,
        "length": list(range(kept)),
        "path_count": counts[:kept],
        "gradient_norm_per_path": per_path[:kept],
        "gradient_norm_of_length": norms[:kept],
        "share": shares[:kept],
        "effective_range": [0, 5 if kept > 5 else None],
        "method": method,
        "mass": 0.95,
        "standard_error": {
            "gradient_norm_per_path": [0.1 * norm for norm in per_path[:kept]],
            "gradient_norm_of_length": [0.1 * norm for norm in norms[:kept]],
            "share": [0.01] * kept,
        },
        "r": {"value": r, "interval": [0.9 * r, 1.1 * r], "r_squared": 1.0},
        "longer": None if longest is None else {"gradient_norm": math.fsum(norms[kept:]), "share": 0.1},
        "target": {"name": "resnet26"},
        "images": 16,
        "data": "given",
    }
    if method == "sampled":
        found["paths"] = [8] * kept
    return found
