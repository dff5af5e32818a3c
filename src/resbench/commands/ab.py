"""``resbench ab``."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from resbench.talking import note

if TYPE_CHECKING:
    from resbench.timing.sides import Subject
    from resbench.timing.worker.case import Case

__all__ = ["ab"]


class _Format(StrEnum):
    table = "table"
    md = "md"
    json = "json"


def ab(
    base: Annotated[str, typer.Argument(help="A git revision, a folder (a checkout or an environment), or a model.")],
    head: Annotated[str, typer.Argument(help="Likewise; . is the working tree as it is.")] = ".",
    select: Annotated[
        list[str] | None,
        typer.Option("--select", metavar="GLOB", help="Cases by name, with * and ?; may be repeated."),
    ] = None,
    tag: Annotated[str | None, typer.Option("--set", metavar="NAME", help="Of cases, as of `resbench bench`.")] = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only cases whose code the change between the revisions can reach.")
    ] = False,
    input: Annotated[str, typer.Option("--input", metavar="CxHxW", help="Of two models: an image's size.")] = "",
    batch: Annotated[int, typer.Option("--batch", min=1, help="Of two models: images a step.")] = 8,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda: whose default set.")] = "cpu",
    pairs: Annotated[int, typer.Option("--pairs", min=2, help="Pairs of fresh processes.")] = 5,
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, help="Of each side, for a case in a pair.")] = 2.0,
    margin: Annotated[float, typer.Option("--margin", metavar="PERCENT", min=0.1, help="Less is SAME.")] = 5.0,
    strict: Annotated[bool, typer.Option("--strict", help="AMBIGUOUS and FASTER fail as well.")] = False,
    format: Annotated[_Format, typer.Option("--format", help="How to print.")] = _Format.table,
) -> None:
    """Is head slower than base?  Two processes in lock step on one machine, call by call.

    Exit code 0: no case is SLOWER, and each is measured in head; 1: otherwise; 2: bad usage or bad input.  FASTER is
    amber: the new baseline is written, ready to commit.  Under GitHub Actions there are annotations and a summary.

    Example: resbench ab HEAD~1 HEAD

    Example: resbench ab main . --changed --select 'unit:*'

    Example: resbench ab torchvision:resnet18 timm:resnet18 --input 3x64x64
    """
    from contextlib import ExitStack

    from resbench.checking import terminal_width
    from resbench.errors import UserError
    from resbench.progress import CountProgress
    from resbench.records.environment import environment
    from resbench.reports.ab import ab_annotations, ab_json, ab_markdown, ab_table
    from resbench.reports.workflow_commands import append_summary
    from resbench.timing.ab import AbOptions, run_ab
    from resbench.timing.new_baseline import write_new_baseline
    from resbench.timing.sides import resolved

    with ExitStack() as stack:
        sides = [stack.enter_context(resolved(text, label=label)) for text, label in ((base, "base"), (head, "head"))]
        if (sides[0].kind == "model") != (sides[1].kind == "model"):
            raise UserError(f"{base} is a {sides[0].kind}, {head} a {sides[1].kind}: compare two models, or two codes")
        if sides[0].kind == "model":
            cases = _model_cases(sides[0], sides[1], input, batch, device)
        else:
            cases = [(case, case) for case in _cases(sides[0], sides[1], select, tag, device, changed=changed)]
        if not cases:
            print("resbench: the change reaches no case that is timed", file=sys.stderr)
            return
        options = AbOptions(pairs, seconds, margin / 100)
        try:
            with CountProgress(len(cases) * pairs) as progress:
                result = run_ab(sides[0].side, sides[1].side, cases, options, progress)
        except KeyboardInterrupt:
            print("resbench: interrupted; nothing is kept", file=sys.stderr)
            raise typer.Exit(130) from None
    rows, names = result.rows, (sides[0].description, sides[1].description)
    if format is _Format.table:
        print(ab_table(rows, *names, margin=options.margin, rates=result.rates, width=terminal_width()))
    elif format is _Format.md:
        print(ab_markdown(rows, *names, margin=options.margin), end="")
    else:
        print(ab_json(rows, *names, margin=options.margin, environment={**environment(), **result.facts}))
    written = write_new_baseline(result, sides[1].commit)
    if written is not None:
        print(f"resbench: FASTER: a new baseline is in {written}; copy it to baselines/throughput/", file=sys.stderr)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        print("\n".join(ab_annotations(rows)), file=sys.stderr)
        if os.environ.get("GITHUB_STEP_SUMMARY"):
            parts = [ab_markdown(rows, *names, margin=options.margin)]
            append_summary(os.environ["GITHUB_STEP_SUMMARY"], parts, "for lack of room: --format json has them")
    raise typer.Exit(_exit_code([(row.change.value, bool(row.missing[1])) for row in rows], strict=strict))


def _cases(
    base: Subject, head: Subject, select: list[str] | None, tag: str | None, device: str, *, changed: bool
) -> list[Case]:
    from resbench.commands.bench import chosen_cases
    from resbench.errors import UserError
    from resbench.timing.sides import changed_files
    from resbench.timing.touched import touched

    cases = chosen_cases(select, tag, device)
    if not changed:
        return cases
    files = changed_files(base, head)
    if files is None:
        raise UserError("--changed needs two revisions of this repository, or one and .: git tells what changed")
    sources = [path for subject in (base, head) for path in subject.side.paths]
    found = touched(cases, files, sources)
    note(f"the change reaches {len(found)} of {len(cases)} cases")
    return found


def _model_cases(base: Subject, head: Subject, input: str, batch: int, device: str) -> list[tuple[Case, Case]]:
    from resbench.targets.options import parse_input
    from resbench.timing.worker.case import Case

    size = "x".join(map(str, parse_input(input) or (3, 32, 32)))
    where = "cuda" if device == "cuda" else "cpu1"
    return [
        (
            Case(f"net:{base.model}", size, passing=passing, batch=batch, device=where),  # type: ignore[arg-type]
            Case(f"net:{head.model}", size, passing=passing, batch=batch, device=where),  # type: ignore[arg-type]
        )
        for passing in ("inference", "step")
    ]


def _exit_code(verdicts: list[tuple[str, bool]], *, strict: bool) -> int:
    """``verdicts``: with whether head is what lacks the case.  A case that only base lacks is new, not lost."""
    bad = {"SLOWER"} | ({"AMBIGUOUS", "FASTER", "MISSING"} if strict else set())
    return int(any(change in bad or (change == "MISSING" and head_lacks) for change, head_lacks in verdicts))
