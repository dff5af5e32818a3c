"""A command's docstring as its help: prose, examples to copy, and options in people's words."""

from __future__ import annotations

import inspect
import re
import textwrap

__all__ = ["examples_of", "first_sentence", "in_words", "parted", "to_copy"]

_EXAMPLE = "Example:"

_METAVARS = (
    (re.compile(r"<(?:list\[)?(?:str|text)\]?>", re.IGNORECASE), "TEXT"),
    (re.compile(r"<(?:list\[)?(?:int|integer)(?: range)?\]?>", re.IGNORECASE), "N"),
    (re.compile(r"<float(?: range)?>", re.IGNORECASE), "X"),
    (re.compile(r"<(?:list\[)?path\]?>", re.IGNORECASE), "PATH"),
    (re.compile(r"<list\[?([a-z0-9]+(?:\|[a-z0-9]+)+)\]?>"), r"\1"),
    (re.compile(r"[<\[]([a-z0-9]+(?:\|[a-z0-9]+)+)[>\]]"), r"\1"),
)
"""What typer calls the types of options, and what people do."""


def examples_of(help: str | None) -> list[str]:
    """The command lines of the paragraphs of a docstring that begin with ``Example:``."""
    return parted(help or "")[1]


def parted(help: str) -> tuple[str, list[str]]:
    """A docstring as its prose and its examples, each on one line."""
    paragraphs = inspect.cleandoc(help).split("\n\n")
    examples = [" ".join(part.split()) for part in paragraphs if part.lstrip().startswith(_EXAMPLE)]
    prose = "\n\n".join(part for part in paragraphs if not part.lstrip().startswith(_EXAMPLE))
    return prose, [example.removeprefix(_EXAMPLE).strip() for example in examples]


def in_words(option: str) -> str:
    """``--select <list[str]>`` as ``--select TEXT``."""
    for pattern, words in _METAVARS:
        option = pattern.sub(words, option)
    return option


def to_copy(command: str, width: int) -> str:
    """A command line in ``width`` columns, broken so that it can be copied into a shell as it is."""
    lines = textwrap.wrap(
        command,
        width - 4,
        initial_indent="  ",
        subsequent_indent="    ",
        break_on_hyphens=False,
        break_long_words=False,
    )
    return " \\\n".join(lines) + "\n"


def first_sentence(help: str) -> str:
    """What a list of commands says of one: its first sentence, without the full stop."""
    first = " ".join(parted(help)[0].partition("\n\n")[0].split())
    for mark in (". ", "? ", ": ", "; "):
        first = first.partition(mark)[0]
    return first.rstrip(".")
