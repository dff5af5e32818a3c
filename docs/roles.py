"""Docstrings name other things by Sphinx's roles, :func:`like.this`: in the site they become links to their pages.

An extension of griffe, which reads the docstrings for mkdocstrings.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:func|class|data|meth|mod|attr|exc):`~?\.?([\w.]+)`")


def linked(text: str, module: str) -> str:
    """``text`` with each role as an optional cross-reference; short names are of ``module``."""

    def reference(match: re.Match[str]) -> str:
        name = match[1]
        full = name if name.startswith("resbench.") else f"{module}.{name}"
        return f'<autoref identifier="{full}" optional><code>{name}</code></autoref>'

    return _ROLE.sub(reference, text)


class Roles(griffe.Extension):
    """Rewrites the docstring of everything that is loaded."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = linked(obj.docstring.value, obj.module.path)
