"""Help of every command there is: it fits, it has examples, and they parse."""

from __future__ import annotations

import shlex
import sys

import pytest
from command_tree import NAMED, root

from conftest import Run
from resbench.commands.help_text import examples_of, first_sentence, in_words, to_copy
from resbench.talking import restored

ALL = pytest.mark.parametrize("name", sorted(NAMED))


def segments(line: str) -> list[list[str]]:
    """The calls of resbench in a line of shell, without what goes to files."""
    calls: list[list[str]] = [[]]
    for word in shlex.split(line):
        if word in ("&&", "|", ";"):
            calls.append([])
        else:
            calls[-1].append(word)
    found = []
    for call in calls:
        if call and call[0] == "resbench":
            found.append(call[1 : call.index(">")] if ">" in call else call[1:])
    return found


def parsed(arguments: list[str]) -> str:
    """Parse without running; the command that it is."""
    command, words, context = root(), list(arguments), None
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
        context = None
    with restored():
        context = command.make_context(command.name, words)
    return str(context.command.name)


@ALL
def test_help_fits_80_columns(name: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run(*NAMED[name][0], "--help")
    assert (code, err) == (0, "")
    assert out.startswith("Usage: resbench")
    assert max(len(line) for line in out.splitlines()) <= 80
    assert not any(mark in out for mark in ("<list", "<int", "<str", "<path", "<float", "Example: ")), out
    assert "\x1b" not in out


@ALL
def test_help_has_an_example_that_parses(name: str) -> None:
    words, command = NAMED[name]
    examples = examples_of(command.help)
    assert examples, f"resbench {name}: write a paragraph `Example: resbench {name} ...` into its docstring"
    calls = [call for example in examples for call in segments(example)]
    assert any(call[: len(words)] == list(words) for call in calls), examples
    for call in calls:
        parsed(call)


def test_a_broken_example_would_be_seen() -> None:
    with pytest.raises(Exception, match="No such option"):
        parsed(["check", "--kinds", "exact"])


@ALL
def test_every_command_is_described(name: str) -> None:
    command = NAMED[name][1]
    assert command.help
    hidden = [param.name for param in command.params if param.param_type_name == "option" and not param.help]
    assert not hidden, f"options of resbench {name} without help: {hidden}"


def test_examples_can_be_copied(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is broken over lines is one command for a shell."""
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = run("train", "--help")
    shown = out.split("Examples:\n")[1].split("\n\n")[0].replace(" \\\n", " ")
    assert [" ".join(line.split()) for line in shown.splitlines()] == examples_of(NAMED["train"][1].help)


@pytest.mark.parametrize("width", [30, 40, 78])
def test_a_long_command_is_one_for_a_shell(width: int) -> None:
    command = "resbench train --setting cifar10-short --max-minutes 30 --select 'a b/*' --data npz:a-long-name"
    shown = to_copy(command, width)
    assert max(map(len, shown.splitlines())) <= width + 1
    assert shlex.split(shown.replace("\\\n", "")) == shlex.split(command)


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        ("--select <list[str]>", "--select TEXT"),
        ("--seed <int range>", "--seed N"),
        ("--mode <list[single|multi]>", "--mode single|multi"),
        ("--format [table|json]", "--format table|json"),
        ("--units GLOB", "--units GLOB"),
    ],
)
def test_options_in_words(shown: str, words: str) -> None:
    assert in_words(shown) == words


def test_first_sentences() -> None:
    assert first_sentence("Judge claims.  More.\n\nExample: resbench check") == "Judge claims"
    assert first_sentence("Is head slower? Two processes.") == "Is head slower"


def test_the_list_of_commands_is_whole(run: Run) -> None:
    _, out, _ = run("--help")
    listed = {line.split()[0] for line in out.splitlines() if line.startswith("  ") and line.split()}
    assert {words[0] for words, _ in NAMED.values() if len(words) == 1} <= listed
    assert out.index("Judge:") < out.index("Everywhere:")


def test_version(run: Run) -> None:
    from resbench import __version__

    assert run("--version") == (0, f"resbench {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chek"], "did you mean 'check'"),
        (["check", "--sellect", "x"], "no such option: --sellect"),
        (["check", "--seed", "x"], "'--seed'"),
        (["check", "--format", "yaml"], "'--format'"),
        (["claims", "show"], "missing argument"),
        (["claims", "shw"], "no such command 'shw'"),
        (["doctor", "extra"], "unexpected extra argument"),
        (["check", "-q", "-v"], "--quiet and --verbose exclude each other"),
        (["-q", "check", "-v"], "--quiet and --verbose exclude each other"),
        (["check", "--select"], "--select"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(run: Run, arguments: list[str], message: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("resbench: ")
    assert err.count("\n") == 1
    assert message.lower() in err.lower()


@pytest.mark.parametrize("group", sorted(name for name, (_, command) in NAMED.items() if hasattr(command, "commands")))
def test_a_group_alone_shows_its_help(group: str, run: Run) -> None:
    if group == "claims":  # lists them
        return
    words = NAMED[group][0]
    code, out, err = run(*words)
    assert (code, err) == (2, "")
    assert out.startswith("Usage: resbench")
    assert "python" not in sys.argv[0]
