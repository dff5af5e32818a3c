"""Which version of each experiment this is: what recorded evidence must be of.

Raise an experiment's number when what it returns for one and the same network and data changes: other lesions, other
images, other arrays.  A faster way to the same arrays changes nothing.  Evidence of another number is STALE.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["VERSIONS"]

VERSIONS: Mapping[str, int] = {
    "evaluation": 1,
    "single_deletion": 1,
    "multiple_deletion": 2,
    "reordering": 2,
    "duplication": 2,
    "path_gradients": 2,
    "path_spectrum": 1,
}
"""Those that can be recorded."""
