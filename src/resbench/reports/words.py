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

__all__ = ["brief", "clean", "cut", "expected", "figure", "place", "symbols", "unit_suffix", "wrap"]

_LONGEST_INTEGER = 10**7
_INTEGER_OR_FRACTION = re.compile(r"-?\d{1,4000}(/0*[1-9]\d{0,3999})?")
_PLACES = (
    (r"sections?|secs?\.|§+", "§"),
    (r"figures|figs\.", "figs. "),
    (r"figure|fig\.", "fig. "),
    (r"tables?|tabs?\.", "table "),
    (r"equations|eqs\.", "eqs. "),
    (r"equation|eq\.", "eq. "),
    (r"appendix|app\.", "app. "),
)


def clean(text: object) -> str:
    """One line of printable characters: no line breaks, tabs, escape sequences or lone surrogates."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in str(text)).split())


def cut(text: str, width: int) -> str:
    """At most ``width`` characters, the last an ellipsis where something is left out."""
    return text if len(text) <= width else text[: max(width - 1, 0)].rstrip() + "…" if width > 0 else ""


def wrap(text: str, width: int, first: str = "", rest: str | None = None) -> list[str]:
    """Lines of at most ``width`` characters; ids are not broken at their hyphens.  At least one line."""
    indent = " " * len(first) if rest is None else rest
    return textwrap.wrap(
        clean(text), width, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False
    ) or [first.rstrip()]


def figure(value: object, digits: int = 4) -> str:
    """One value with ``digits`` significant digits; integers of up to seven digits whole; None is a dash."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        text = clean(value)
        return figure(Fraction(text), digits) if len(text) > 7 and _INTEGER_OR_FRACTION.fullmatch(text) else text
    if isinstance(value, Fraction) and value.denominator == 1:
        value = value.numerator
    if isinstance(value, Fraction):
        whole = str(value) if max(abs(value.numerator), value.denominator) < 10_000 else ""
        return whole or _significant(Decimal(value.numerator) / Decimal(value.denominator), digits)
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
    if not -5 < magnitude < 7:
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        return f"{_unpadded(mantissa)}e{int(exponent)}"
    return _unpadded(f"{value:.{max(digits - 1 - magnitude, 0)}f}")


def _unpadded(number: str) -> str:
    return number.rstrip("0").rstrip(".") if "." in number else number


def brief(value: Any, width: int = 1000) -> str:
    """A value in ``width`` characters: ``17.3``, ``54 54 … 333 66``; of a table the values, as ``0.41 < 2.2``."""
    if isinstance(value, Mapping):
        return cut(_chain(list(value.values())), width)
    if not isinstance(value, list | tuple):
        return cut(figure(value), width)
    words = [f"({brief(entry)})" if isinstance(entry, list | tuple) else brief(entry) for entry in value]
    text = " ".join(words)
    for kept in range(len(words) - 2, 0, -1):
        if len(text) <= width:
            break
        text = " ".join([*words[:kept], "…", words[-1]])
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
            return _within(compare, width)
        case AtLeast():
            text = f"≥ {figure(compare.bound)}"
        case AtMost():
            text = f"≤ {figure(compare.bound)}"
        case Between():
            text = f"{figure(compare.low)} to {figure(compare.high)}"
        case Monotone():
            text = compare.direction
        case Rank():
            text = f"{compare.statistic} {_bounds(compare.at_least, compare.at_most)}"
        case Ratio():
            text = f"ratio {_bounds(compare.at_least, compare.at_most)}"
        case Order():
            text = f"steps ≥ {figure(compare.margin)}" if compare.margin else "ascending"
    return cut(text, width)


def _within(compare: Within, width: int) -> str:
    """A relative tolerance of one value is shown as what it comes to: ``16.5 ± 2 %`` would be taken for points."""
    if isinstance(compare.value, list):
        shares = [figure(compare.abs)] if compare.abs else []
        tolerance = " + ".join([*shares, f"{figure(100 * compare.rel)} %"] if compare.rel else shares)
    else:
        tolerance = figure(compare.abs + compare.rel * abs(compare.value))
    suffix = f" ± {tolerance}"
    return cut(brief(compare.value, max(width - len(suffix), 1)) + suffix, width)


def _bounds(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{figure(low)} to {figure(high)}"
    return f"≥ {figure(low)}" if low is not None else f"≤ {figure(high)}"


def place(source: str) -> str:
    """Where in the paper: ``arXiv:1605.06431v2, section 4.1, figure 3`` as ``§4.1, fig. 3``."""
    text = re.sub(r"^arXiv:[^,\s]+(,\s*|$)", "", clean(source))
    for pattern, mark in _PLACES:
        text = re.sub(rf"(?<!\w)(?:{pattern})(?!\w)\s*", mark, text, flags=re.IGNORECASE)
    return text.strip()
