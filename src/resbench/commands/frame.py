"""What every command has in common: options that work before and after its name, help in sections, one-line errors.

:class:`App` stands in for :class:`typer.Typer`; whatever is registered with it, a function or another app, gets all
of it.  Help is plain text, the same in a terminal and in a pipe: an option's ``rich_help_panel`` is the section that it
stands in, and paragraphs of a docstring that begin with ``Example:`` are shown as lines to copy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from copy import copy
from functools import cache
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from resbench import talking
from resbench.commands.help_text import first_sentence, in_words, parted, to_copy

__all__ = ["PANELS", "App", "Command", "Group", "Top", "named_in"]

EVERYWHERE = "Everywhere"
_ARGUMENTS, _OPTIONS = "Arguments", "Options"
_USAGE = 2

PANELS: Mapping[str, str] = {
    **dict.fromkeys(("check", "claims", "units", "diff", "init"), "Judge"),
    **dict.fromkeys(("lesion", "paths", "survey"), "Look into a network"),
    **dict.fromkeys(("report", "figure", "badge", "schema"), "Show"),
    **dict.fromkeys(("bench", "ab", "compare", "history", "export", "doctor"), "Time"),
    **dict.fromkeys(("measure", "train", "calibrate", "records", "faults"), "Evidence"),
}
"""Where each command stands in the list of all; one that is not named here stands last."""


_Function = TypeVar("_Function", bound=Callable[..., Any])

_SECTIONS: Mapping[str, str] = {
    **dict.fromkeys(
        ("target", "checkpoint", "input", "units", "survival", "against", "against_checkpoint", "device"), "The network"
    ),
    **dict.fromkeys(("data", "download", "mean", "std", "limit", "thorough"), "Its images"),
    **dict.fromkeys(("format", "out", "figure", "save", "force"), "Output"),
}
"""The section of an option, by its parameter's name, where a command has more than :data:`_FEW` and it names none."""
_FEW = 8


def _version(wanted: bool) -> None:
    if wanted:
        from resbench import __version__

        print(f"resbench {__version__}")
        raise typer.Exit


def _quiet(chosen: bool) -> None:
    if chosen:
        _not_both(talking.verbose())
        talking.say(quiet=True)


def _verbose(chosen: bool) -> None:
    if chosen:
        _not_both(talking.quiet())
        talking.say(verbose=True)


def _not_both(other: bool) -> None:
    if other:
        raise typer.BadParameter("--quiet and --verbose exclude each other (also RESBENCH_QUIET and RESBENCH_VERBOSE)")


def _plain(chosen: bool) -> None:
    talking.say(colours=not chosen)


def _option(*names: str, help: str, callback: Callable[[bool], None], eager: bool = False) -> Any:
    return typer.Option(
        *names, help=help, callback=callback, expose_value=False, is_eager=eager, rich_help_panel=EVERYWHERE
    )


def _everywhere(
    quiet: Annotated[bool, _option("--quiet", "-q", help="Only results and errors.", callback=_quiet)] = False,
    verbose: Annotated[bool, _option("--verbose", "-v", help="Details as well.", callback=_verbose)] = False,
    no_color: Annotated[bool, _option("--no-color", help="No colours (also: NO_COLOR=1).", callback=_plain)] = False,
) -> None:
    """The signature of the options that every command takes."""


def _top(
    version: Annotated[
        bool, _option("--version", help="Say the version, and end.", callback=_version, eager=True)
    ] = False,
) -> None:
    """The signature of what only ``resbench`` itself takes."""


@cache
def _options_of(function: Callable[..., None]) -> tuple[Any, ...]:
    """Its options as typer makes them, without ``--help``; made once, since every command takes a copy."""
    app = typer.Typer(add_completion=False)
    app.command()(function)
    return tuple(get_command(app).params)


class _Framed:
    """What commands and groups share; ``Any``: the classes below are typer's, of a click that it may bring along."""

    def _add_options(self: Any, signature: Callable[..., None]) -> None:
        self.params = [*self.params, *map(copy, _options_of(signature))]

    def format_help_text(self: Any, ctx: Any, formatter: Any) -> None:
        prose, examples = parted(self.help or "")
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(prose)
        if examples:
            with formatter.section("Examples" if len(examples) > 1 else "Example"):
                for example in examples:
                    formatter.write(to_copy(example, formatter.width))

    def _write_options(self: Any, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {_ARGUMENTS: [], _OPTIONS: []}
        few = sum(param.rich_help_panel != EVERYWHERE for param in self.params) <= _FEW
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None:
                continue
            if param.param_type_name == "argument":
                section, record = _ARGUMENTS, (record[0].partition(" ")[0], record[1])
            elif param.name in _LAST:
                section = EVERYWHERE
            else:
                section = param.rich_help_panel or (_OPTIONS if few else _SECTIONS.get(param.name, _OPTIONS))
            sections.setdefault(section, []).append((in_words(record[0]), record[1]))
        last = [*dict.fromkeys(_SECTIONS.values()), EVERYWHERE]
        for name in sorted(sections, key=lambda name: last.index(name) if name in last else -1):
            if sections[name]:
                with formatter.section(name):
                    formatter.write_dl(sections[name], col_max=24)


_LAST = ("help", "install_completion", "show_completion")


class Command(_Framed, TyperCommand):
    """A command with the options that work everywhere."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self._add_options(_everywhere)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        self._write_options(ctx, formatter)


class Group(_Framed, TyperGroup):
    """A group of commands with the same options; the outermost one prints usage errors on one line."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self._add_options(_everywhere)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        self.format_commands(ctx, formatter)
        self._write_options(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            if command is None or command.hidden:
                continue
            usual = PANELS.get(name, "Others") if ctx.parent is None else "Commands"
            text = first_sentence(command.help or "")
            sections.setdefault(command.rich_help_panel or usual, []).append((name, text))
        order = list(dict.fromkeys(PANELS.values()))
        widest = max((len(name) for rows in sections.values() for name, _ in rows), default=0)
        for section in sorted(sections, key=lambda name: order.index(name) if name in order else len(order)):
            with formatter.section(section):
                formatter.write_dl([(name.ljust(widest), text) for name, text in sections[section]])

    def main(self, *arguments: Any, **options: Any) -> Any:
        """As click's, but a wrong command line is one line and exit code 2."""
        try:
            code = super().main(*arguments, **{**options, "standalone_mode": False})
        except typer.Abort:
            sys.exit(130)
        except Exception as error:
            if not hasattr(error, "format_message"):
                raise
            _end(error)
        sys.exit(code if isinstance(code, int) else 0)


def _end(error: Any) -> None:
    """Say what is wrong with the command line, and end."""
    from resbench.reports.words import clean

    context = getattr(error, "ctx", None)
    if context is not None and type(error).__name__ == "NoArgsIsHelpError":
        print(context.get_help())
        sys.exit(_USAGE)
    message = clean(error.format_message()).rstrip(".")
    way_out = f"; see `{context.command_path} --help`" if context is not None else ""
    print(f"resbench: {message[:1].lower()}{message[1:]}{way_out}", file=sys.stderr)
    sys.exit(_USAGE)


class Top(Group):
    """``resbench`` itself: knows its version as well."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self._add_options(_top)


class App(typer.Typer):
    """A typer app all of whose commands, and those of apps added to it, are framed."""

    def __init__(self, **options: Any):
        usual = {
            "cls": Group,
            "rich_markup_mode": None,
            "add_completion": False,
            "no_args_is_help": True,
            "pretty_exceptions_enable": False,
            "context_settings": {"help_option_names": ["--help", "-h"]},
        }
        super().__init__(**{**usual, **options})

    def command(self, name: str | None = None, **options: Any) -> Callable[[_Function], _Function]:
        context = {"help_option_names": ["--help", "-h"], **(options.pop("context_settings", None) or {})}
        return super().command(name, cls=options.pop("cls", None) or Command, context_settings=context, **options)

    def add_typer(self, typer_instance: typer.Typer, **options: Any) -> None:
        if not isinstance(typer_instance, App):
            typer_instance.info.cls = Group
            for command in typer_instance.registered_commands:
                command.cls = Command
        super().add_typer(typer_instance, **options)


def named_in(context: typer.Context) -> frozenset[str]:
    """The parameters that the command line (or a variable of the environment) gives, by their names."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return frozenset(
        name for name, source in sources.items() if source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")
    )
