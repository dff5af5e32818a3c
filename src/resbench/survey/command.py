"""``resbench survey``: adapt and judge the architectures of whole libraries, and write the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from resbench.errors import UserError
from resbench.records.locking import held
from resbench.survey.row import Row, blank_row, survey_row
from resbench.survey.selection import LIBRARIES, Family, families
from resbench.survey.table import read_table, share_adapted, write_table
from resbench.survey.verdicts import claim_ids
from resbench.survey.workers import Failed, run_each
from resbench.talking import note

__all__ = ["SurveyOptions", "run_survey", "summary"]

_MEMORY = 12 << 30
"""Bytes that the checks of one network may allocate."""


@dataclass(frozen=True)
class SurveyOptions:
    """``libraries``: all where none is named.  ``limit``: so many families of each.  ``timeout``: seconds a network."""

    libraries: tuple[str, ...] = ()
    limit: int | None = None
    out: Path = field(default_factory=lambda: Path("survey.csv"))
    jobs: int = 1
    timeout: float = 300.0


def run_survey(options: SurveyOptions) -> list[Row]:
    """Survey what ``options.out`` does not hold yet, a row at a time; returns the rows of the networks asked for.

    Interrupted, the file holds the finished rows, and the next run goes on from there.

    Raises:
        UserError: an unknown library, one that is not installed, a file that is no such table, or another survey that
            writes it.
    """
    wanted = [family for name in _libraries(options.libraries) for family in families(name)[: options.limit]]
    with held(options.out, "surveying"):
        return _surveyed(wanted, options)


def _surveyed(wanted: Sequence[Family], options: SurveyOptions) -> list[Row]:
    known = {_key(row): row for row in read_table(options.out)}
    kept = {_key(blank_row(f)) for f in wanted} & set(known)
    missing = [family for family in wanted if _key(blank_row(family)) not in kept]
    if kept:
        note(f"{len(kept)} rows of {options.out} are kept")
    results = run_each(survey_row, missing, processes=options.jobs, timeout=options.timeout, memory=_MEMORY)
    for done, (number, result) in enumerate(results, start=len(kept) + 1):
        row = _failed(missing[number], result) if isinstance(result, Failed) else result
        known[_key(row)] = row
        write_table(options.out, sorted(known.values(), key=_place))
        note(f"{done} of {len(wanted)}: {_line(row)}", prefix="")
    return [known[_key(blank_row(family))] for family in wanted]


def _libraries(named: Sequence[str]) -> list[str]:
    for name in named:
        if name not in LIBRARIES:
            raise UserError(f"no survey of {name!r}: choose from {', '.join(LIBRARIES)}")
    return [name for name in LIBRARIES if not named or name in named]


def _key(row: Row) -> tuple[str, ...]:
    """A row of other versions is another row."""
    return tuple(row[column] for column in ("library", "version", "torch", "family"))


def _place(row: Row) -> tuple[int, str]:
    return list(LIBRARIES).index(row["library"]), row["family"]


def _failed(family: Family, failure: Failed) -> Row:
    return blank_row(family) | {"adapted": "not run", "why not": failure.reason}


def _line(row: Row) -> str:
    name = f"{row['library']}:{row.get('network', row['family'])}"
    if row["adapted"] != "yes":
        return f"{name} {'not adapted' if row['adapted'] == 'no' else 'not run'}: {row['why not']}"
    violated = [claim for claim in claim_ids() if row.get(claim) in ("VIOLATED", "ERROR")]
    stopped = f", then {row['why not']}" if "why not" in row else ""
    return f"{name} {row['units']} units{stopped}{', violated: ' if violated else ''}{', '.join(violated)}"


def summary(rows: Sequence[Row]) -> str:
    """A few lines: how many networks of each library, how many are adapted, which claims are violated how often."""
    lines = []
    for library in LIBRARIES:
        own = [row for row in rows if row["library"] == library]
        if own:
            counts = Counter(row["adapted"] for row in own)
            lines.append(
                f"{library} {own[0]['version']}: {len(own)} networks, {counts['yes']} adapted, "
                f"{counts['no']} not, {counts['not run']} not run"
            )
    adapted, residual = share_adapted(rows)
    if residual:
        lines.append(
            f"adapted without help: {adapted} of {residual} with residual additions ({adapted / residual:.1%})"
        )
    for claim in claim_ids():
        statuses = Counter(row[claim] for row in rows if claim in row)
        if statuses:
            lines.append(f"{claim}: {', '.join(f'{count} {status}' for status, count in sorted(statuses.items()))}")
    return "\n".join(lines)
