"""Published raw numbers, and Veit 2016's figures computed again from them."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = ["load_published"]


@cache
def load_published(name: str) -> dict[str, Any]:
    """The reference data of one paper, ``claims/published/<name>.toml``; one parse a process, so do not change it."""
    resource = files("resbench").joinpath("claims", "published", f"{name}.toml")
    return tomllib.loads(resource.read_text(encoding="utf-8"))
