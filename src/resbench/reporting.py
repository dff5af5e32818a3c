"""What `resbench check` prints, and the files that it writes."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resbench.claims.model import Claim
from resbench.judge import Verdict
from resbench.judging.waivers import Use
from resbench.records.places import write_atomically
from resbench.talking import coloured, verbose

__all__ = ["Report", "show", "terminal_width"]

_FILES = (("json", "verdicts.json"), ("junit", "junit.xml"), ("md", "verdicts.md"))


@dataclass(frozen=True)
class Report:
    """A run as it is reported: ``started`` by `time.perf_counter`; ``environment``, ``sequential`` ready for JSON."""

    verdicts: Sequence[Verdict]
    claims: Sequence[Claim]
    waivers: Sequence[Use]
    environment: Mapping[str, object]
    sequential: Mapping[str, Any] | None
    started: float
    strict: bool = False


def terminal_width() -> int:
    """The columns to fill: the terminal's, 80 where there is none."""
    return max(80, shutil.get_terminal_size((80, 24)).columns)


def show(report: Report, format: str, out: Path | None) -> None:
    """Print the report, and write it to the folder ``out`` as JSON, JUnit and Markdown.

    The written JSON says when the claims were judged; what is printed is the same whenever the verdicts are.

    Raises:
        UserError: the folder cannot be written.
    """
    seconds = time.perf_counter() - report.started
    if out is not None:
        for form, name in _FILES:
            write_atomically(out / name, _rendered(report, form, seconds, dated=True).encode())
    print(_rendered(report, format, seconds))


def _rendered(report: Report, form: str, seconds: float, *, dated: bool = False) -> str:
    import datetime

    from resbench.reports import junit, markdown, table, to_json, verdict_line
    from resbench.reports.sequential import sequential_text

    verdicts, waivers, record = report.verdicts, report.waivers, report.sequential
    timestamp = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds)
    if form == "json":
        at = timestamp.isoformat(timespec="seconds") if dated else ""
        return to_json(verdicts, report.environment, record, waivers, at)
    if form == "junit":
        return junit(verdicts, seconds=seconds, timestamp=timestamp, sequential=record, waivers=waivers)
    if form == "md":
        return markdown(verdicts, report.claims, report.environment, record, waivers)
    width = terminal_width()
    first = verdict_line(verdicts, waivers=waivers, strict=report.strict, width=width)
    colour, whole = coloured(sys.stdout), verbose()
    board = table(verdicts, report.claims, width=width, colour=colour, waivers=waivers, whole=whole)
    text = "\n".join([*first, "", board])
    return text if record is None else f"{text}\n\n{sequential_text(record, width=width)}"
