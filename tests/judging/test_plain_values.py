"""Measured values made plain, and how values and bounds are written."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from resbench.claims.model import Comparator, Monotone, Rank, Ratio, Within
from resbench.judging.values import Unjudgeable, expected_text, number, plain, short


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.23456789, "1.23457"),
        (Fraction(1, 3), "1/3"),
        (True, "True"),
        ("relu", "relu"),
        (10**20, "1" + 20 * "0"),
        ([1, 2.5], "1, 2.5"),
        ((1, 2.5), "1, 2.5"),
        ([[1, 2], (3, 4)], "[1, 2], [3, 4]"),
        (list(range(6)), "0, 1, 2, 3, 4, 5"),
        (list(range(7)), "0, 1, 2, 3, 4, 5, ... (7 values)"),
        ({"a": 1, "b": 0.5}, "a = 1, b = 0.5"),
        (dict.fromkeys("abcdef", 1), "a = 1, b = 1, c = 1, d = 1, e = 1, f = 1"),
        (dict.fromkeys("abcdefg", 1), "a = 1, b = 1, c = 1, d = 1, e = 1, f = 1, ... (7 entries)"),
    ],
)
def test_a_value_in_a_few_words(value: Any, text: str) -> None:
    assert short(value) == text


@pytest.mark.parametrize(
    ("comparator", "text"),
    [
        (Within(value=100, abs=0.5, rel=0.02), "100 +- 0.5 +- 2 %"),
        (Within(value=100), "100"),
        (Monotone(direction="increasing"), "increasing"),
        (Monotone(direction="increasing", strict=True, slack=1), "strictly increasing, steps back <= 1"),
        (Rank(statistic="kendall", at_most=0.5), "kendall <= 0.5"),
        (Ratio(over="a", under="b", at_least=0.5, at_most=2), "a / b 0.5 to 2"),
    ],
)
def test_bounds_in_a_few_words(comparator: Comparator, text: str) -> None:
    assert expected_text(comparator) == text


@pytest.mark.parametrize(
    ("value", "made"),
    [
        (np.float32(0.5), 0.5),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        ({1: (0.5, np.int64(2))}, {"1": [0.5, 2]}),
        (Fraction(1, 3), Fraction(1, 3)),
        (True, True),
        ("relu", "relu"),
    ],
)
def test_values_made_plain(value: Any, made: Any) -> None:
    found = plain(value)
    assert found == made
    assert type(found) is type(made)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("nan"), "nan is not a finite number"),
        ([1.0, [np.inf]], "inf is not a finite number"),
        ([], "nothing was measured: the value is empty"),
        ({"a": {}}, "nothing was measured: the value is empty"),
        (b"1", "a value of type bytes cannot be judged"),
        (bytearray(b"1"), "a value of type bytearray cannot be judged"),
        ({"a": None}, "a value of type NoneType cannot be judged"),
        ({1, 2}, "a value of type set cannot be judged"),
    ],
)
def test_values_that_cannot_be_judged(value: Any, words: str) -> None:
    with pytest.raises(Unjudgeable) as caught:
        plain(value)
    assert str(caught.value) == words


def test_a_float_is_the_decimal_that_it_prints_as() -> None:
    assert number(0.1) == Fraction(1, 10)
    assert number(2.0**70) == 2**70
    assert number(1e-7) == Fraction(1, 10**7)
    for word in ("1", True, [1]):
        with pytest.raises(Unjudgeable, match="is not a number"):
            number(word)
