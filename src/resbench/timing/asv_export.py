"""Stored runs as asv's results: the dashboard is asv's, the measuring is ours.

asv gets one sample a process, its undisturbed time: samples within a process share its moment and its memory
layout, and an interval computed from all of them would be several times too narrow.
"""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from resbench.errors import UserError
from resbench.records.places import write_atomically
from resbench.timing.asv_files import (
    BENCHMARKS,
    BENCHMARKS_VERSION,
    COLUMNS,
    MACHINE,
    MACHINE_VERSION,
    RESULTS_VERSION,
    asv_module,
    dumps,
    read_object,
    result_name,
)
from resbench.timing.asv_machine import Machine, machine_of, same_hardware
from resbench.timing.record import TimingRecord, TimingRun
from resbench.timing.worker.suites import param_names, parameters, place
from resbench.timing.worker.undisturbed import undisturbed

__all__ = ["Exported", "export"]

TIMEOUT = 600.0
"""Seconds that asv gives a benchmark of these; the suites in ``benchmarks/suites/`` have the same."""


LOCK_SECONDS = 60.0
"""How long another export is waited for."""


@dataclass(frozen=True)
class Exported:
    """``files``: written, absolute.  ``missing``, ``unhealthy``: cases without samples, and from an unfit machine."""

    files: tuple[Path, ...]
    missing: tuple[str, ...]
    unhealthy: tuple[str, ...]


@dataclass
class _Result:
    """One result file to be: a commit on a machine in an environment, from one run or several."""

    commit: str
    machine: Machine
    started_at: int = 0
    records: dict[str, list[TimingRecord]] = field(default_factory=dict)


def export(runs: Sequence[TimingRun], results: Path, *, repository: Path, machine: str = "") -> Exported:
    """Write ``runs`` below ``results``, the folder that asv.conf.json names; runs of one commit are put together.

    What is there already stays: other cases of the same commit, and benchmarks that these runs do not have.
    ``machine``: its name in the site, instead of the one from the runs' fingerprint.

    Raises:
        UserError: a run has no commit or was made on a changed tree; its commit is not in ``repository``; a machine of
            the same name with other hardware, or the same commit measured with other software, is there already; a file
            there is damaged; the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    wanted = _grouped(runs, machine)
    dates = {one.commit: _date(one.commit, repository) for one in wanted}
    try:
        results.mkdir(parents=True, exist_ok=True)
        with FileLock(results / ".lock", timeout=LOCK_SECONDS):
            return _write(wanted, dates, results)
    except Timeout:
        raise UserError(
            f"another export has held {results / '.lock'} for a minute: try again when it has ended"
        ) from None
    except OSError as error:
        raise UserError(f"cannot write {results}: {error.strerror or error}; choose another --results") from error


def _grouped(runs: Sequence[TimingRun], name: str) -> list[_Result]:
    grouped: dict[tuple[str, str, str], _Result] = {}
    for run in runs:
        commit, machine = _clean_commit(run), machine_of(run, name)
        key = (machine.name, commit, machine.environment)
        result = grouped.setdefault(key, _Result(commit, machine))
        if result.machine != machine:
            raise UserError(f"{run.name}: measured with other software or hardware than another run of {commit[:8]}")
        result.started_at = max(result.started_at, _milliseconds(run.created))
        for record in run.records:
            result.records.setdefault(record.key, []).append(record)
    return list(grouped.values())


def _clean_commit(run: TimingRun) -> str:
    git = run.environment.get("git")
    if not isinstance(git, Mapping) or not git.get("commit"):
        raise UserError(f"{run.name}: does not know its commit: measure from a git checkout of resbench")
    if git.get("dirty"):
        raise UserError(f"{run.name}: measured on a changed tree, which is no commit: commit, then measure again")
    commit = str(git["commit"])
    if not re.fullmatch("[0-9a-f]{7,64}", commit):  # it goes to git, and into a file's name
        raise UserError(f"{run.name}: '{commit[:40]}' is no commit: measure from a git checkout of resbench")
    return commit


def _milliseconds(created: str) -> int:
    return int(datetime.fromisoformat(created).timestamp() * 1000)


def _date(commit: str, repository: Path) -> int:
    """When the commit was authored, in milliseconds: what asv itself takes."""
    asked = subprocess.run(
        ["git", "-C", str(repository), "show", "--no-patch", "--format=%at", commit, "--"],
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode != 0:
        raise UserError(f"commit {commit[:8]} is not in {repository}: git fetch --unshallow, or run it in its checkout")
    return int(asked.stdout.split()[-1]) * 1000


def _write(wanted: Sequence[_Result], dates: Mapping[str, int], results: Path) -> Exported:
    """All is read and checked before the first file is written; results come last, when what they need is there."""
    contents: dict[Path, bytes] = {}
    for result in wanted:
        machine = result.machine
        at = results / machine.name / MACHINE
        there = _existing(at, MACHINE_VERSION)
        if there is None:
            contents[at] = dumps({**machine.facts, "version": MACHINE_VERSION}, compact=False)
        else:
            same_hardware(there, machine, at)
    benchmarks = results / BENCHMARKS
    contents[benchmarks] = dumps(_benchmarks(_existing(benchmarks, BENCHMARKS_VERSION), wanted), compact=False)
    missing, unhealthy = list[str](), list[str]()
    for result in wanted:
        path = results / result.machine.name / result_name(result.commit, result.machine.environment)
        content = _result(result, dates[result.commit], _existing(path, RESULTS_VERSION), path)
        contents[path] = dumps(content, compact=True)
        missing += [key for key, records in result.records.items() if not _times(records)]
        unhealthy += [key for key, records in result.records.items() if any(one.unhealthy for one in records)]
    for path, data in contents.items():
        write_atomically(path, data)
    return Exported(tuple(contents), tuple(dict.fromkeys(missing)), tuple(dict.fromkeys(unhealthy)))


def _existing(path: Path, version: int) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        return read_object(path, version)
    except ValueError as error:
        raise UserError(f"{path} {error}: git restore it, or delete it and export all its runs again") from None


def _benchmarks(there: Mapping[str, Any] | None, wanted: Sequence[_Result]) -> dict[str, Any]:
    """What is known of each benchmark; values of parameters are added and none is taken away."""
    merged: dict[str, Any] = dict(there or {"version": BENCHMARKS_VERSION})
    cases = [records[0].case for result in wanted for records in result.records.values()]
    versions = {place(case).benchmark: case.version for case in cases}
    for name, values in parameters(cases).items():
        known = merged.get(name, {})
        old = known.get("params", [[], []])
        merged[name] = {
            "code": f"# written by `resbench export asv`; `resbench bench` measures {name}",
            "type": "track",
            **known,
            "name": name,
            "param_names": list(param_names(name)),
            "params": [_union(a, map(repr, b)) for a, b in zip(old, values, strict=True)],
            "timeout": TIMEOUT,
            "unit": "seconds",
            "version": versions[name],
        }
    return merged


def _union(old: Iterable[str], new: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*old, *new]))


def _result(result: _Result, date: int, there: Mapping[str, Any] | None, path: Path) -> dict[str, Any]:
    machine = result.machine
    if there is not None and there.get("params") != machine.parameters:
        changed = [key for key, value in machine.parameters.items() if there["params"].get(key) != value]
        raise UserError(
            f"{path} was measured with another {' and '.join(changed) or 'set of facts'}: give another --machine"
        )
    return {
        "commit_hash": result.commit,
        "env_name": machine.environment,
        "date": date,
        "params": machine.parameters,
        "python": machine.parameters["python"],
        "requirements": {},
        "env_vars": {},
        "result_columns": list(COLUMNS),
        "results": _rows(result, dict(there["results"]) if there else {}),
        "durations": {},
        "version": RESULTS_VERSION,
    }


def _rows(result: _Result, rows: dict[str, Any]) -> dict[str, Any]:
    """One row a benchmark; measured anew: this is what counts.  Of another version: the old row is of no use."""
    new: dict[str, dict[tuple[str, ...], list[float]]] = {}
    versions: dict[str, str] = {}
    for records in result.records.values():
        name, *values = place(records[0].case)
        new.setdefault(name, {})[tuple(map(repr, values))] = _times(records)
        versions[name] = records[0].version
    for name, samples in new.items():
        cells: dict[tuple[str, ...], dict[str, Any]] = {}
        old = dict(zip(COLUMNS, rows.get(name, ()), strict=False))
        if old.get("version") == versions[name]:
            cells |= _cells(old)
        cells |= {key: _cell(values) for key, values in samples.items()}
        rows[name] = _row(cells, versions[name], result.started_at)
    return rows


def _times(records: Iterable[TimingRecord]) -> list[float]:
    return [undisturbed(one.seconds) for record in records for one in record.rounds]


_PER_CELL = (*(name for name in COLUMNS if name.startswith("stats_")), "result", "samples")


def _cell(samples: list[float]) -> dict[str, Any]:
    if not samples:
        return {}
    result, stats = asv_module("asv_runner.statistics").compute_stats(samples, 1)
    return {"result": result, "samples": samples, **{f"stats_{key}": value for key, value in stats.items()}}


def _cells(row: Mapping[str, Any]) -> dict[tuple[str, ...], dict[str, Any]]:
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for index, values in enumerate(itertools.product(*row["params"])):
        cell = {name: row[name][index] for name in _PER_CELL if row.get(name) is not None}
        found[values] = {name: value for name, value in cell.items() if value is not None}
    return found


def _row(cells: Mapping[tuple[str, ...], Mapping[str, Any]], version: str, started_at: int) -> list[Any]:
    """asv's row over the product of the parameters' values: None where no such case was measured."""
    params = [_union((), (key[axis] for key in cells)) for axis in range(2)]
    row: dict[str, Any] = {"params": params, "version": version, "started_at": started_at, "duration": None}
    for name in _PER_CELL:
        values = [cells.get(key, {}).get(name) for key in itertools.product(*params)]
        row[name] = None if all(value is None for value in values) else values
    # What has no value at all ends the row, as in asv's own files.
    trimmed = [row.get(name) for name in COLUMNS]
    while trimmed and trimmed[-1] is None:
        trimmed.pop()
    return trimmed
