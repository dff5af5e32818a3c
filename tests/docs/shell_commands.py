"""Commands of shell blocks: taken apart, looked up, run in this process, and their output compared in shape."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from markdown_blocks import REPOSITORY, Block
from typer.main import get_command

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_OF_THE_SHELL = {".", "cd", "export", "git"}
_NUMBER = re.compile(r"[-+]?\d[\d.,]*(?:e[-+]?\d+)?")


@dataclass(frozen=True)
class Command:
    """``words``: of one command; ``shown``: the output below it, in a ``console`` block."""

    words: tuple[str, ...]
    shown: str = ""


def commands_of(block: Block) -> list[Command]:
    """The commands of a ``bash`` block: all lines; of a ``console`` one: those after ``$``, with what they print."""
    if block.language == "console":
        parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
        if parts[0].strip():
            raise ValueError(f"{block.place}: a console block begins with a command: $ resbench ...")
        pairs = [part.partition("\n") for part in parts[1:]]
        return [Command(tuple(shlex.split(line, comments=True)), shown) for line, _, shown in pairs]
    lines = block.text.replace("\\\n", " ").splitlines()
    split = (shlex.split(line, comments=True) for line in lines)
    return [Command(tuple(words)) for words in split if words and not _ASSIGNMENT.match(words[0])]


def only_parsed(block: Block, commands: Sequence[Command]) -> set[int]:
    """The positions, from 0, of the commands that the block's comments except from running."""
    found: set[int] = set()
    for numbers, _ in block.noted("parsed"):
        for part in numbers.split() or [f"1-{len(commands)}"]:
            first, _, last = part.partition("-")
            found |= set(range(int(first) - 1, int(last or first)))
    if found and max(found) >= len(commands):
        raise ValueError(f"{block.place}: there are {len(commands)} commands, parsed names number {max(found) + 1}")
    return found


def look_up(words: Sequence[str], page: str, config: pytest.Config) -> None:
    """Fail unless the command is known, with these options; ``config`` knows pytest's.

    Raises:
        ValueError: it is not, or nothing here knows how to tell.
    """
    words = list(words[: words.index(">")] if ">" in words else words)
    if "-m" in words and words[words.index("-m") + 1] == "resbench":
        words = ["resbench", *words[words.index("-m") + 2 :]]  # under torchrun, srun
    match words:
        case ["resbench", *arguments]:
            _look_up_resbench(arguments)
        case ["make", target]:
            if not re.search(rf"^{re.escape(target)}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE):
                raise ValueError(f"no target {target} in the Makefile")
        case ["pip", "install", *arguments]:
            for name in re.findall(r"\[(\w+)\]", " ".join(arguments)):
                if name not in tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"][_EXTRAS]:
                    raise ValueError(f"no extra {name} in pyproject.toml")
        case ["pytest", *arguments]:
            for option in _options(arguments):
                config.getoption(option)  # ValueError: no option named ...
        case ["python", "-m", module, *arguments]:
            spec = importlib.util.find_spec(module)
            if spec is None or spec.origin is None:
                raise ValueError(f"no module {module}")
            _named_in(Path(spec.origin).read_text(), arguments, module)
        case ["python", script, *_]:
            if not any((folder / script).is_file() for folder in (REPOSITORY, (REPOSITORY / page).parent)):
                raise ValueError(f"no file {script}")
        case [first, *_] if first in _OF_THE_SHELL:
            pass
        case _:
            raise ValueError(f"nothing here knows what {words[0]} is: tell tests/docs/shell_commands.py")


_EXTRAS = "optional-dependencies"


def _named_in(text: str, arguments: Sequence[str], whose: str) -> None:
    for option in _options(arguments):
        if not re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text):
            raise ValueError(f"{whose} has no option {option}")


def _options(arguments: Sequence[str]) -> list[str]:
    return [argument.partition("=")[0] for argument in arguments if argument.startswith("-")]


def _look_up_resbench(arguments: Sequence[str]) -> None:
    """Options, values and arguments as the command line itself takes them; but nothing is done."""
    from resbench.cli import app

    command: Any = get_command(app)  # made anew: nobody else sees what is changed below
    group = command
    for argument in arguments:
        if not hasattr(group, "commands") or argument not in group.commands:
            break
        group = group.commands[argument]
    group.callback = lambda **_: None
    try:
        with command.make_context("resbench", list(arguments)) as context:
            command.invoke(context)
    except typer.Exit:  # --help
        pass
    except SystemExit as end:  # --show-completion
        if end.code:
            raise ValueError(f"resbench {' '.join(arguments)} ends with exit code {end.code}") from end


@cache
def _command_line() -> Any:
    from resbench.cli import app

    return get_command(app)


def look_up_mention(code: str) -> None:
    """Fail unless a command that a sentence names is there, with the options that it names; arguments may be missing.

    Raises:
        ValueError: it is not.
    """
    command = _command_line()
    words = code.replace("...", "").split()[1:]
    while words and hasattr(command, "commands") and re.fullmatch(r"[a-z-]*[a-z]", words[0]) and words[0][0] != "-":
        if words[0] not in command.commands:
            raise ValueError(f"no command {words[0]}: {code}")
        command, words = command.commands[words[0]], words[1:]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    for option in _options(words):
        if option not in known | {"--help"}:
            raise ValueError(f"no option {option}: {code}")


def matches(shown: str, printed: str) -> bool:
    """Whether the output has the shape of what the page shows.

    Numbers match numbers, blanks blanks, and ``...`` anything; beyond that, word for word.
    """
    parts = [re.escape(_shape(part)) for part in shown.split("...")]
    return re.fullmatch(r"[\s\S]*?".join(parts), _shape(printed)) is not None


def _shape(text: str) -> str:
    return _NUMBER.sub("#", " ".join(text.split()))
