"""The papers' statements as versioned data: the ``*.toml`` files, their schema, their loader and their lock."""

from __future__ import annotations

from resbench.claims.loader import (
    catalogue_json,
    check_quantities,
    cite,
    find,
    load_claims,
    resolve_quantity,
    select,
)
from resbench.claims.model import Claim, Comparator, Expectation, Source

__all__ = [
    "Claim",
    "Comparator",
    "Expectation",
    "Source",
    "catalogue_json",
    "check_quantities",
    "cite",
    "find",
    "load_claims",
    "resolve_quantity",
    "select",
]
