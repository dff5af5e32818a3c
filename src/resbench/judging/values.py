"""Measured values as the judge sees them: plain numbers, lists and tables; and how they and bounds are written.

Numbers become fractions of the decimal that they print as, so that 0.8 lies within 0.7 +- 0.1 and big integers are
never rounded.  Whatever is not a finite number, or a list or table of them, raises :class:`Unjudgeable`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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

__all__ = ["Unjudgeable", "equal", "expected_text", "has_words", "literal", "number", "plain", "short", "shown"]


class Unjudgeable(Exception):
    """A value or an uncertainty from which no verdict follows; the message says why."""


def plain(value: object) -> Any:
    """The value in Python's own types, arrays and scalars of numpy or torch included.

    Raises: Unjudgeable for NaN, infinities, empty lists and tables, and unknown types, at any depth.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, bool | str | int | Fraction):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Unjudgeable(f"{value} is not a finite number")
        return float(value)
    if isinstance(value, Mapping | Sequence) and not isinstance(value, bytes | bytearray):
        if not len(value):
            raise Unjudgeable("nothing was measured: the value is empty")
        if isinstance(value, Mapping):
            return {str(name): plain(entry) for name, entry in value.items()}
        return [plain(entry) for entry in value]
    raise Unjudgeable(f"a value of type {type(value).__name__} cannot be judged")


def number(value: object) -> Fraction:
    """A plain number as a fraction.  Raises: Unjudgeable for text, truth values and structures."""
    if isinstance(value, bool) or not isinstance(value, int | float | Fraction):
        raise Unjudgeable(f"{short(value)} is not a number")
    # An integral float is that integer; any other stands for the shortest decimal that denotes it.
    return Fraction(repr(value)) if isinstance(value, float) and not value.is_integer() else Fraction(value)


def literal(value: Any) -> Any:
    """An expected value with its fractions (``"161/4"``) read; any other text stays text."""
    if isinstance(value, list):
        return [literal(entry) for entry in value]
    if isinstance(value, str):
        try:
            return Fraction(value)
        except (ValueError, ZeroDivisionError):
            return value
    return value


def has_words(value: Any) -> bool:
    """Whether text or truth values take part: equality is then all that can be asked."""
    return any(map(has_words, value)) if isinstance(value, list) else isinstance(value, bool | str)


def equal(wanted: bool | int | float | str, seen: object) -> bool:
    """Equality of two entries of one sort.  Raises: Unjudgeable where the sorts differ: ``True`` is not 1, nor "16" 16.

    Two texts that are both fractions are compared as such; a number equals a text that is that fraction.
    """
    if isinstance(wanted, bool) or isinstance(seen, bool):
        if type(wanted) is not type(seen):
            raise Unjudgeable(
                f"{short(seen)} ({type(seen).__name__}) cannot equal {short(wanted)} ({type(wanted).__name__})"
            )
        return wanted == seen
    target = literal(wanted)
    if isinstance(seen, str) and isinstance(wanted, str):
        return bool(target == literal(seen))
    if isinstance(seen, str) or isinstance(target, str):
        raise Unjudgeable(f"'{short(seen)}' and '{short(wanted)}' cannot be compared: one is text, one a number")
    return number(seen) == number(target)


def shown(value: Any) -> Any:
    """A plain value ready for JSON: fractions as ``a/b`` text."""
    if isinstance(value, Fraction):
        return value.numerator if value.denominator == 1 else f"{value.numerator}/{value.denominator}"
    if isinstance(value, list):
        return [shown(entry) for entry in value]
    if isinstance(value, dict):
        return {name: shown(entry) for name, entry in value.items()}
    return value


def short(value: Any, entries: int = 6) -> str:
    """A value in a few words: six significant digits, at most ``entries`` entries of a list or table."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, list | tuple):
        words = [f"[{short(entry)}]" if isinstance(entry, list | tuple) else short(entry) for entry in value[:entries]]
        return ", ".join(words) + (f", ... ({len(value)} values)" if len(value) > entries else "")
    if isinstance(value, dict):
        words = [f"{name} = {short(entry)}" for name, entry in list(value.items())[:entries]]
        return ", ".join(words) + (f", ... ({len(value)} entries)" if len(value) > entries else "")
    return str(value)


def expected_text(compare: Comparator) -> str:
    """What a comparator accepts, such as ``>= 0.9``, ``16.5 +- 0.5`` or ``6.03 exactly``."""
    match compare:
        case Equals():
            return f"{short(compare.value)} exactly"
        case Within():
            parts = [f"+- {short(compare.abs)}"] if compare.abs else []
            parts += [f"+- {short(100 * compare.rel)} %"] if compare.rel else []
            return " ".join([short(compare.value), *parts])
        case AtLeast():
            return f">= {short(compare.bound)}"
        case AtMost():
            return f"<= {short(compare.bound)}"
        case Between():
            return f"{short(compare.low)} to {short(compare.high)}"
        case Monotone():
            slack = f", steps back <= {short(compare.slack)}" if compare.slack else ""
            return f"{'strictly ' if compare.strict else ''}{compare.direction}{slack}"
        case Rank():
            return f"{compare.statistic} {_bounds_text(compare.at_least, compare.at_most)}"
        case Ratio():
            return f"{compare.over} / {compare.under} {_bounds_text(compare.at_least, compare.at_most)}"
        case Order():
            margin = f", each by >= {short(compare.margin)}" if compare.margin else ""
            return " <= ".join(compare.names) + margin


def _bounds_text(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{short(low)} to {short(high)}"
    return f">= {short(low)}" if low is not None else f"<= {short(high)}"
