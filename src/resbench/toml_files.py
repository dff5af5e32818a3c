"""Files that people write in TOML: claims, waivers, configuration."""

from __future__ import annotations

import tomllib
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from resbench.errors import UserError

__all__ = ["read_toml"]


def read_toml(file: Traversable | Path, name: str, hint: str = "") -> dict[str, Any]:
    """The document in ``file``, which errors call ``name``; ``hint``: what to do where it cannot be opened.

    Raises:
        UserError: it cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{name}: {error.strerror or error}{hint and f'; {hint}'}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: is not UTF-8 text (byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{name}: not valid TOML: {error}") from None
