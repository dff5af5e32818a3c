"""Names and messages in Markdown: shown as they are, never taken for markup, HTML or a workflow's command."""

from __future__ import annotations

import re

from resbench.reports.words import clean

__all__ = ["code", "md"]


def md(text: object) -> str:
    """Text that Markdown shows as it is, in a table's cell as well."""
    plain = clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~$#])", r"\\\1", plain)


def code(text: object) -> str:
    """A code span; GitHub splits a table's cells before it reads the span, hence the escaped bar.

    A backslash before a bar would undo that, and is shown twice: a span knows no escapes.
    """
    return "`" + re.sub(r"(\\*)\|", r"\1\1\\|", clean(text).replace("`", "'")) + "`"
