"""resbench: the claims of the residual-network papers as versioned assertions, judged on real networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resbench.adapters import ResidualUnit, adapt
    from resbench.checking import check
    from resbench.claims import load_claims
    from resbench.judge import Verdict
    from resbench.lesioning import lesion
    from resbench.records import Measurement
    from resbench.unravelling import paths

__all__ = ["Measurement", "ResidualUnit", "Verdict", "__version__", "adapt", "check", "lesion", "load_claims", "paths"]

__version__ = "0.1.0"

_HOMES = {
    "Measurement": "resbench.records",
    "ResidualUnit": "resbench.adapters",
    "Verdict": "resbench.judge",
    "adapt": "resbench.adapters",
    "check": "resbench.checking",
    "lesion": "resbench.lesioning",
    "load_claims": "resbench.claims",
    "paths": "resbench.unravelling",
}


def __getattr__(name: str) -> Any:
    """Public names are imported when used: `import resbench` loads no torch."""
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'resbench' has no attribute {name!r}")
