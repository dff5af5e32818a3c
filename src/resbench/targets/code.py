"""What a network computes is not all in its weights: the rest, as bytes for a fingerprint."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from torch import nn

__all__ = ["feed_code"]

_PLAIN = (bool, int, float, str)


def feed_code(model: nn.Module, digest: Callable[[bytes], object]) -> None:
    """The files that the modules' classes are written in, and the modules' plain attributes: not all is weights."""
    modules = dict(model.named_modules())
    for home in sorted({type(module).__module__ for module in modules.values()}):
        file = getattr(sys.modules.get(home), "__file__", None)
        if file is not None and Path(file).is_file():
            digest(home.encode() + Path(file).read_bytes())
    for name, module in modules.items():
        plain = {key: value for key, value in vars(module).items() if isinstance(value, _PLAIN)}
        digest(f"{name} {type(module).__qualname__} {plain}".encode())
