"""Numbers and sentences made short enough for a column, and safe to print."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from resbench.claims.model import (
    AtLeast,
    AtMost,
    Between,
    Comparator,
    Equals,
    Monotone,
    Order,
    Rank,
    Ratio,
    Within,
)

__all__ = [
    "MIN_WIDTH",
    "brief",
    "clauses",
    "clean",
    "cut",
    "expected",
    "figure",
    "place",
    "symbols",
    "unit_suffix",
    "wrap",
]

MIN_WIDTH = 40
"""Narrower reports would be columns of fragments."""

_LONGEST_INTEGER = 10**7
_NUMBER = re.compile(r"-?[0-9]{1,4000}/0*[1-9][0-9]{0,3999}|-?[0-9]{8,4000}")
"""A fraction, or an integer too long for TOML: claims have these as text."""
_PLACES = (
    (r"sections?|secs?\.|§+", "§"),
    (r"figures|figs\.", "figs. "),
    (r"figure|fig\.", "fig. "),
    (r"tables?|tabs?\.", "tab. "),
    (r"equations|eqs\.", "eqs. "),
    (r"equation|eq\.", "eq. "),
    (r"appendix|app\.", "app. "),
)


def clean(text: object) -> str:
    """One line of printable characters: no line breaks, tabs, escape sequences or lone surrogates.

    Nor what GitHub's runners take for a command, ``::error::`` where a line begins and ``##[error]`` anywhere: logs are
    read by them, and names are not always ours.
    """
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in str(text)).split())
    return re.sub(r"(?<!\S)::(?=\S)", ": :", line).replace("##[", "## [")


def cut(text: str, width: int) -> str:
    """At most ``width`` characters, the last an ellipsis where something is left out."""
    return text if len(text) <= width else text[: max(width - 1, 0)].rstrip() + "…" if width > 0 else ""


def clauses(text: str, width: int) -> str:
    """As many of the text's clauses, from the first on, as ``width`` characters hold: ``§4.1`` of ``§4.1, fig. 3``."""
    while len(text) > width:
        end = max(text.rfind(mark) for mark in (", ", " and ", " ("))
        if end <= 0:
            return cut(text, width)
        text = text[:end]
    return text


def wrap(text: str, width: int, first: str = "", rest: str | None = None) -> list[str]:
    """Lines of at most ``width`` characters; ids are not broken at their hyphens.  At least one line."""
    indent = " " * len(first) if rest is None else rest
    return textwrap.wrap(
        clean(text), width, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False
    ) or [first.rstrip()]


def figure(value: object, digits: int = 4) -> str:
    """One value with ``digits`` significant digits, fractions as decimals, integers below ten million whole."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        text = clean(value)
        return figure(Fraction(text), digits) if _NUMBER.fullmatch(text) else text
    if isinstance(value, Fraction):
        if value.denominator > 1:
            return _significant(Decimal(value.numerator) / Decimal(value.denominator), digits)
        value = value.numerator
    if isinstance(value, float) and value.is_integer() and abs(value) < _LONGEST_INTEGER:
        value = int(value)
    if isinstance(value, int):
        # A path count of a 1202-layer network is no float any more.
        return str(value) if abs(value) < _LONGEST_INTEGER else _significant(Decimal(value), digits)
    if isinstance(value, float):
        return _significant(Decimal(repr(value)), digits) if math.isfinite(value) else str(value)
    return clean(value)


def _significant(value: Decimal, digits: int) -> str:
    """``1.801e16``, ``0.9802``, ``5.55e-17``: no trailing zeros, no plus sign in the exponent."""
    magnitude = value.adjusted()
    if not -4 < magnitude < 7:
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        return f"{_unpadded(mantissa)}e{int(exponent)}"
    return _unpadded(f"{value:.{max(digits - 1 - magnitude, 0)}f}")


def _unpadded(number: str) -> str:
    return number.rstrip("0").rstrip(".") if "." in number else number


def brief(value: Any, width: int = 1000) -> str:
    """A value in ``width`` characters: ``17.3``, ``54 54 … 333 66``; of a table the values, as ``0.41 < 2.2``."""
    if isinstance(value, Mapping):
        return cut(_chain(list(value.values())), width)
    if not isinstance(value, list | tuple) or not value:
        return cut("nothing" if value in ([], ()) else figure(value), width)
    words = [f"({brief(entry)})" if isinstance(entry, list | tuple) else brief(entry) for entry in value]
    text = " ".join(words)
    for kept in range(len(words) - 2, 0, -1):
        if len(text) <= width:
            break
        text = " ".join([*words[:kept], "…", words[-1]])
    if len(text) > width and len(words) > 1:
        text = f"{words[0]} …"
    return cut(text, width)


def _chain(values: list[Any]) -> str:
    """Values joined by how each compares with the next."""
    text = ""
    for index, value in enumerate(values):
        if index:
            before = values[index - 1]
            comparable = all(isinstance(entry, int | float | Fraction) for entry in (before, value))
            text += ", " if not comparable else " < " if before < value else " > " if before > value else " = "
        text += brief(value)
    return text


def unit_suffix(unit: str) -> str:
    """`` points``; nothing for the dimensionless ``1``."""
    return f" {clean(unit)}" if unit not in ("", "1") else ""


def symbols(text: str) -> str:
    """The judge's ``>= 0.9`` as ``≥ 0.9``."""
    plain = clean(text).replace(">=", "≥").replace("<=", "≤").replace("+-", "±")
    return plain.removesuffix(" exactly")


def expected(compare: Comparator, width: int = 1000) -> str:
    """What a comparator accepts, in ``width`` characters; a ratio's and an order's names are left out."""
    match compare:
        case Equals():
            return brief(compare.value, width)
        case Within():
            texts = _within(compare, width)
        case AtLeast():
            texts = [f"≥ {figure(compare.bound)}"]
        case AtMost():
            texts = [f"≤ {figure(compare.bound)}"]
        case Between():
            texts = [f"{figure(compare.low)} to {figure(compare.high)}"]
        case Monotone():
            texts = [f"strictly {compare.direction}" if compare.strict else compare.direction, compare.direction]
        case Rank():
            bounds = _bounds(compare.at_least, compare.at_most)
            texts = [f"{compare.statistic} {bounds}", f"{'r_s' if compare.statistic == 'spearman' else 'tau'} {bounds}"]
        case Ratio():
            bounds = _bounds(compare.at_least, compare.at_most)
            texts = [f"ratio {bounds}", bounds]
        case Order():
            texts = [f"steps ≥ {figure(compare.margin)}" if compare.margin else "ascending"]
    return next((text for text in texts if len(text) <= width), cut(texts[-1], width))


def _within(compare: Within, width: int) -> list[str]:
    """With all the digits that matter, with fewer, and without the tolerance.

    A relative tolerance of one value is shown as what it comes to: ``16.5 ± 2 %`` would be taken for points.
    """
    if isinstance(compare.value, list):
        shares = [figure(compare.abs)] if compare.abs else []
        shares += [f"{figure(100 * compare.rel)} %"] if compare.rel else []
        suffix = f" ± {' + '.join(shares)}"
        room = width - len(suffix)
        whole_entry = room >= len(f"{figure(compare.value[0])} …")
        return [(brief(compare.value, room) if whole_entry else "…") + suffix]
    suffix = f" ± {figure(compare.abs + compare.rel * abs(compare.value))}"
    return [*(figure(compare.value, digits) + suffix for digits in (7, 4)), f"≈ {figure(compare.value)}"]


def _bounds(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{figure(low)} to {figure(high)}"
    return f"≥ {figure(low)}" if low is not None else f"≤ {figure(high)}"


def place(source: str) -> str:
    """Where in the paper: ``arXiv:1605.06431v2, section 4.1, figure 3`` as ``§4.1, fig. 3``."""
    text = re.sub(r"^arXiv:[^,\s]+(,\s*|$)", "", clean(source))
    for pattern, mark in _PLACES:
        text = re.sub(rf"(?<!\w)(?:{pattern})(?![\w-])\s*", mark, text, flags=re.IGNORECASE)
    return text.strip()
