"""Timing runs out of other tools' files: pytest-benchmark's JSON and asv's results.  Files are known by their content.

What these files do not say is not made up: samples of one process are one process, so that verdicts on them stay
AMBIGUOUS; a benchmark that is none of resbench's cases keeps its own name and nothing else.
"""

from __future__ import annotations

import ast
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from resbench.errors import UserError
from resbench.timing.asv_files import BENCHMARKS, BENCHMARKS_VERSION, MACHINE, MACHINE_VERSION, read_object
from resbench.timing.record import SCHEMA, TimingRecord, TimingRun
from resbench.timing.store import checked, decode, find, parse_json, read_bytes
from resbench.timing.summary import TOOL
from resbench.timing.worker.case import Case, CaseError, parse
from resbench.timing.worker.seen import Round
from resbench.timing.worker.suites import Place, case_at

__all__ = ["EXTRA", "read"]

EXTRA = "resbench"
"""Under this name stand a whole :class:`TimingRecord` in pytest-benchmark's ``extra_info``, and an environment in its
``machine_info``."""

_ONE_PROCESS_A_SAMPLE = "resbench-"
"""asv's environments of this name were written by ``resbench export asv``: each sample is the time of a process."""


def read(name: str) -> TimingRun:
    """The run of this name (see :func:`resbench.timing.store.find`), of this tool's or another's format.

    Raises:
        UserError: there is no such file, or it is of none of the three formats.
    """
    path = find(name)
    content = read_bytes(path)
    document = parse_json(content, str(path))
    if not isinstance(document, dict):
        document = {}
    try:
        if "schema" in document:
            return decode(content, str(path))
        if isinstance(document.get("benchmarks"), list) and "machine_info" in document:
            return checked(_pytest_benchmark(document, path), str(path))
        if isinstance(document.get("results"), dict) and "env_name" in document:
            return checked(_asv(document, path), str(path))
    except (KeyError, TypeError, ValueError, AttributeError, SyntaxError) as error:
        raise UserError(f"{path} is damaged, or of a version that is not known here ({error!r})") from error
    raise UserError(
        f"{path} is none of the files that can be read: resbench's runs, pytest-benchmark's --benchmark-json, "
        "asv's results of a commit"
    )


def _pytest_benchmark(document: Mapping[str, Any], path: Path) -> TimingRun:
    machine = document["machine_info"]
    environment = machine.get(EXTRA) or _pytest_environment(machine, document.get("commit_info") or {})
    environment = {**environment, TOOL: f"pytest-benchmark {document.get('version', '')}".strip()}
    records = tuple(_pytest_record(one, path) for one in document["benchmarks"])
    return _run(path, str(document.get("datetime") or ""), environment, records)


def _pytest_environment(machine: Mapping[str, Any], commit: Mapping[str, Any]) -> dict[str, Any]:
    cpu = machine.get("cpu") or {}
    return {
        "python": machine.get("python_version"),
        "system": f"{machine.get('system')} {machine.get('machine')}",
        "cpu": cpu.get("brand_raw") or machine.get("processor") or machine.get("machine"),
        "cores": cpu.get("count"),
        "git": _git(commit.get("id"), commit.get("dirty"), commit.get("time")),
    }


def _pytest_record(one: Mapping[str, Any], path: Path) -> TimingRecord:
    extra = (one.get("extra_info") or {}).get(EXTRA)
    if extra is not None:
        try:
            return msgspec.convert(extra, TimingRecord)
        except msgspec.ValidationError as error:
            raise UserError(f"{path}: the record of '{one['name']}' is damaged ({error})") from error
    stats = one["stats"]
    # A file of --benchmark-autosave has no samples unless --benchmark-save-data was given.
    samples = stats.get("data") or [stats["median"]]
    case = _case_of(one.get("param")) or Case(f"pytest:{one['fullname']}", "-")
    return TimingRecord(case, "1", (_round(samples, int(stats.get("iterations", 1))),))


def _case_of(text: object) -> Case | None:
    try:
        return parse(str(text))
    except CaseError:
        return None


def _asv(document: Mapping[str, Any], path: Path) -> TimingRun:
    machine = _beside(path.parent / MACHINE, MACHINE_VERSION)
    benchmarks = _beside(path.parent.parent / BENCHMARKS, BENCHMARKS_VERSION)
    facts = {**machine, **document.get("params", {})}
    cores = str(facts.get("num_cpu") or "")
    environment = {
        "python": document.get("python"),
        "packages": {"torch": facts.get("torch") or (document.get("requirements") or {}).get("torch") or None},
        "system": f"{facts.get('os')} {facts.get('arch')}",
        "cpu": facts.get("cpu") or facts.get("machine"),
        "cores": int(cores) if cores.isdigit() else None,
        "gpu": facts.get("gpu") or None,
        "host": facts.get("machine"),
        "git": _git(document["commit_hash"], False, _moment(document.get("date"))),
        TOOL: "asv",
    }
    records = tuple(_asv_records(document, benchmarks))
    if not records:
        raise UserError(f"{path} holds no times: nothing in it is measured in seconds")
    return _run(path, _moment(document.get("date")), environment, records)


def _beside(path: Path, version: int) -> dict[str, Any]:
    """A file that asv keeps beside results, and that a copied result may have lost."""
    if not path.exists():
        return {}
    try:
        return read_object(path, version)
    except ValueError as error:
        raise UserError(f"{path} {error}") from error


def _asv_records(document: Mapping[str, Any], benchmarks: Mapping[str, Any]) -> Iterator[TimingRecord]:
    by_process = str(document["env_name"]).startswith(_ONE_PROCESS_A_SAMPLE)
    for name, values in document["results"].items():
        row = dict(zip(document["result_columns"], values, strict=False))
        known = (benchmarks.get(name) or {}).get("unit") or (
            "seconds" if name.rpartition(".")[2].startswith("time_") else ""
        )
        results = row.get("result") or []
        for index, texts in enumerate(itertools.product(*(row.get("params") or []))):
            case = _asv_case(name, texts)
            if case.kind == "asv" and known != "seconds":
                continue
            result = results[index] if index < len(results) else None
            if isinstance(result, float) and math.isnan(result):
                continue  # "Not applicable": no such case on this machine.
            if result is None and by_process:
                continue  # The product of the parameters has more places than there were cases to export.
            samples = (row.get("samples") or [])[index : index + 1]
            numbers = (row.get("stats_number") or [])[index : index + 1]
            yield _asv_record(case, str(row.get("version") or ""), result, samples, numbers, by_process)


def _asv_record(
    case: Case,
    version: str,
    result: float | None,
    samples: Sequence[Sequence[float] | None],
    numbers: Sequence[int | None],
    by_process: bool,
) -> TimingRecord:
    if result is None:
        return TimingRecord(case, version, error="failed or timed out in asv")
    found = (samples[0] if samples else None) or [result]
    steps = int((numbers[0] if numbers else None) or 1)
    rounds = tuple(_round([one], steps) for one in found) if by_process else (_round(found, steps),)
    return TimingRecord(case, version, rounds)


def _asv_case(name: str, texts: Sequence[str]) -> Case:
    """The case that stands at a benchmark's parameters, which asv keeps as ``repr`` writes them."""
    if len(texts) == 2:
        try:
            return case_at(Place(name, *map(_plain, texts)))
        except CaseError:
            pass
    return Case(f"asv:{name}({', '.join(map(_plain, texts))})" if texts else f"asv:{name}", "-")


def _plain(text: str) -> str:
    try:
        return str(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return text  # The repr of some object.


def _round(samples: Sequence[float], steps: int) -> Round:
    """Neither tool says whether its warm-up was enough."""
    return Round(tuple(float(one) for one in samples), steps, 0, True)


def _moment(milliseconds: object) -> str:
    if not isinstance(milliseconds, int | float):
        return ""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")


def _git(commit: object, dirty: object, date: object) -> dict[str, object] | None:
    if not commit or commit == "unversioned":
        return None
    return {"commit": str(commit), "dirty": bool(dirty), "date": str(date or "")}


def _run(path: Path, created: str, environment: dict[str, Any], records: tuple[TimingRecord, ...]) -> TimingRun:
    from resbench.timing.fingerprint import fingerprint

    return TimingRun(SCHEMA, path.stem, created, fingerprint(environment), environment, records)
