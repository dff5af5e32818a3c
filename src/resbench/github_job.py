"""What `resbench check --format github` tells the job that it runs in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from resbench.judging.changes import Changes, changes_of
from resbench.judging.recorded import RecordedRun, run_of
from resbench.locating import claims_in, repository, target_line, waiver_lines_in
from resbench.records.waivers import find_waivers
from resbench.reporting import Report
from resbench.reports.annotations import Places, verdict_annotations
from resbench.reports.workflow_commands import append_summary, check_summary, command, limited

__all__ = ["SUMMARY", "check_job", "job_annotations", "show_changes", "tell_job", "write_job_summary"]

SUMMARY = "GITHUB_STEP_SUMMARY"
"""The variable that names the file to which a step appends its summary."""

_REST = "the log and the job's summary have them all"


def check_job() -> None:
    """Fail before measuring where the job's summary cannot be written.

    Raises:
        UserError: its file cannot be.
    """
    if path := os.environ.get(SUMMARY):
        check_summary(path)


def tell_job(
    report: Report, *, strict: bool, target: str, waivers: Path | None, since: tuple[str, RecordedRun] | None
) -> None:
    """Print the annotations, and append to the job's summary; a line on standard error where there is none.

    Raises:
        UserError: the summary cannot be written.
    """
    text = job_annotations(report, strict=strict, target=target, waivers=waivers)
    if text:
        print(text)
    if not write_job_summary(report, since):
        print(f"resbench: {SUMMARY} is not set: no job's summary was written", file=sys.stderr)


def job_annotations(report: Report, *, strict: bool, target: str, waivers: Path | None) -> str:
    """Workflow commands, one a line, no more than GitHub shows; empty where nothing is wrong.

    ``target``: as the user named the network, empty for resbench's own.  ``waivers``: the file that was given.
    """
    places = _places(Path(), target, waivers, [use.waiver.name for use in report.waivers])
    found = verdict_annotations(report.verdicts, report.waivers, places, strict=strict)
    return "\n".join(map(command, limited(found, _REST)))


def _places(start: Path, target: str, waivers: Path | None, names: list[str]) -> Places:
    root = repository(start)
    if root is None:
        return Places()
    file = waivers or find_waivers(start)
    return Places(
        claims={} if target else claims_in(root),
        target=target_line(root, start, target) if target else None,
        waivers=waiver_lines_in(root, file, names) if file and names else {},
    )


def write_job_summary(report: Report, since: tuple[str, RecordedRun] | None) -> bool:
    """Append the summary to the step's file; False where there is none.

    ``since``: the name of an earlier run, and the run.

    Raises:
        UserError: the file cannot be written.
    """
    path = os.environ.get(SUMMARY)
    if not path:
        return False
    from resbench.reports.changes import changes_markdown
    from resbench.reports.job_summary import LEFT_OUT, summary_parts

    changed = [] if since is None else changes_markdown(_changes(report, since[1]), since[0], "this run", level=3)
    parts = summary_parts(
        report.verdicts, report.claims, report.environment, report.sequential, report.waivers, changed
    )
    append_summary(path, parts, LEFT_OUT)
    return True


def _changes(report: Report, since: RecordedRun) -> Changes:
    """Against the present run as its file would be read."""
    import json

    from resbench.reports import to_json

    text = to_json(report.verdicts, report.environment, report.sequential, report.waivers)
    return changes_of(since, run_of(json.loads(text), "this run"))


def show_changes(changes: Changes, before: str, after: str) -> None:
    """Print an annotation for whatever became worse, and append all changes to the job's summary.

    Raises:
        UserError: the summary cannot be written.
    """
    from resbench.reports.changes import change_annotations, changes_markdown
    from resbench.reports.job_summary import LEFT_OUT

    text = "\n".join(map(command, limited(change_annotations(changes), _REST)))
    if text:
        print(text)
    if path := os.environ.get(SUMMARY):
        append_summary(path, changes_markdown(changes, before, after), LEFT_OUT)
