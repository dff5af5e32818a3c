"""asv's files: how they are named and read.  What asv skips without a word is an error here."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from resbench.errors import UserError

__all__ = [
    "BENCHMARKS",
    "BENCHMARKS_VERSION",
    "COLUMNS",
    "MACHINE",
    "MACHINE_VERSION",
    "RESULTS_VERSION",
    "asv_module",
    "dumps",
    "machine_folders",
    "read_object",
    "result_files",
    "result_name",
]

BENCHMARKS, MACHINE = "benchmarks.json", "machine.json"
BENCHMARKS_VERSION, RESULTS_VERSION, MACHINE_VERSION = 2, 2, 1
"""``api_version`` of asv.benchmarks.Benchmarks, asv.results.Results and asv.machine.Machine (asv 0.6)."""

COLUMNS = (
    "result",
    "params",
    "version",
    "started_at",
    "duration",
    "stats_ci_99_a",
    "stats_ci_99_b",
    "stats_q_25",
    "stats_q_75",
    "stats_number",
    "stats_repeat",
    "samples",
    "profile",
)
"""A row of a result file (asv.results.Results.save)."""

_SHORT = 8


def asv_module(name: str) -> Any:
    """A module of asv.  Raises: UserError if asv is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError("asv is not installed: pip install 'resbench[bench]'") from None


def result_name(commit: str, environment: str) -> str:
    """The file of one commit in one environment (asv.results.get_filename, for names below 128 characters)."""
    return f"{commit[:_SHORT]}-{environment}.json"


def machine_folders(results: Path) -> Iterator[Path]:
    """The folders of ``results`` that hold a machine's results; sorted."""
    if results.is_dir():
        yield from sorted(path for path in results.iterdir() if path.is_dir() and any(path.glob("*.json")))


def result_files(folder: Path) -> list[Path]:
    """The result files of one machine; sorted."""
    return sorted(path for path in folder.glob("*.json") if path.name != MACHINE)


def read_object(path: Path, version: int) -> dict[str, Any]:
    """The JSON object in ``path``, of format ``version``.

    Raises:
        ValueError: it is not readable, not JSON, or of another format; the message is one clause without the name.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise ValueError("is not JSON (cut off, or a merge left its marks in it)") from None
    if not isinstance(content, dict):
        raise ValueError("does not hold a JSON object")
    found = content.get("version")
    if found != version:
        what = 'has no "version"' if found is None else f"is of format {str(found)[:40]}"
        raise ValueError(f"{what}: asv's format {version} is needed")
    return content


def dumps(content: Mapping[str, Any], *, compact: bool) -> bytes:
    """As asv writes it: results compact, machines and benchmarks in readable form."""
    layout = {} if compact else {"indent": 4, "sort_keys": True}
    return (json.dumps(content, **layout) + "\n").encode()  # type: ignore[arg-type]
