"""What asv passes over in silence: found before a site is published that shows nothing, or not all.

asv publishes an empty site from a shallow clone, skips damaged results, ignores misspelt settings, and drops results of
commits and benchmarks that it does not know, each time with exit status 0 (asv 0.6).
"""

from __future__ import annotations

import difflib
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resbench.errors import UserError
from resbench.timing.asv_files import (
    BENCHMARKS,
    BENCHMARKS_VERSION,
    MACHINE,
    MACHINE_VERSION,
    RESULTS_VERSION,
    asv_module,
    machine_folders,
    read_object,
    result_files,
    result_name,
)

__all__ = ["CONFIG", "Config", "check", "read_config"]

CONFIG = "asv.conf.json"

_READ_ELSEWHERE = {"version", "build_cache_size", "wheel_cache_size", "env_nobuild"}
"""Keys that asv reads without a default in its Config."""

_NEEDED = ("commit_hash", "env_name", "date", "params", "python", "requirements", "result_columns", "results")


@dataclass(frozen=True)
class Config:
    """asv's settings: those that matter here, with paths made absolute; ``written``: all that the file has."""

    path: Path
    results: Path
    html: Path
    branches: tuple[str, ...]
    written: Mapping[str, Any]

    @property
    def repository(self) -> Path:
        return self.path.parent


def read_config(path: Path) -> Config:
    """Raises: UserError if there is no such file, it is not JSON, or asv refuses it."""
    util, config = asv_module("asv.util"), asv_module("asv.config")
    if not path.is_file():
        raise UserError(f"no {path}: run this in a checkout of resbench, or name the file with --config")
    try:
        written = util.load_json(str(path), config.Config.api_version, js_comments=True)
        loaded = config.Config.from_json(written)
    except (util.UserError, ValueError) as error:
        raise UserError(f"{path} is not a configuration of asv: {' '.join(str(error).split())}") from None
    folder = path.resolve().parent
    branches = tuple(branch or "HEAD" for branch in loaded.branches)
    return Config(folder / path.name, folder / loaded.results_dir, folder / loaded.html_dir, branches, written)


def check(config: Config) -> list[str]:
    """The problems, one line each with what to do about it; empty where asv will show all that is there."""
    return [
        *_settings(config),
        *_repository(config),
        *(problem for folder in machine_folders(config.results) for problem in _machine(folder)),
        *_results(config),
    ]


def _settings(config: Config) -> Iterator[str]:
    known = {*vars(asv_module("asv.config").Config()), *_READ_ELSEWHERE}
    for key in config.written:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            meant = f": did you mean '{near[0]}'?" if near else ": remove it"
            yield f"{config.path.name}: asv knows no setting '{key}' and ignores it{meant}"


def _repository(config: Config) -> Iterator[str]:
    shallow = _git(config, "rev-parse", "--is-shallow-repository")
    if shallow is None:
        yield f"{config.repository} is no git repository: asv places results by their commits"
    elif shallow == "true":
        yield "this clone is shallow, and asv would show no graph: git fetch --unshallow (fetch-depth: 0 in CI)"
    else:
        for branch in config.branches:
            if _git(config, "rev-parse", "--verify", "--quiet", f"{branch}^{{commit}}") is None:
                # A checkout of a pull request has no local branch; HEAD in its place would be a history of its own.
                yield f"this clone has no branch '{branch}', which asv publishes: git fetch origin {branch}:{branch}"


def _machine(folder: Path) -> Iterator[str]:
    path = folder / MACHINE
    if not path.is_file():
        yield f"{path} is missing, and asv shows nothing of this machine: git restore it, or export its runs again"
        return
    try:
        found = read_object(path, MACHINE_VERSION).get("machine")
    except ValueError as error:
        yield f"{path} {error}: git restore it"
        return
    if found != folder.name:
        yield f"{path} is of machine '{found}', not of '{folder.name}': rename the folder"


def _results(config: Config) -> Iterator[str]:
    """Files, commits and benchmarks."""
    read: list[tuple[Path, dict[str, Any]]] = []
    for folder in machine_folders(config.results):
        for path in result_files(folder):
            problem, content = _result(path, folder.name)
            if problem:
                yield f"{path} {problem}, and asv skips it: git restore it, or delete it and export its run again"
            else:
                read.append((path, content))
    if not read:
        yield f"{config.results} holds no results: `resbench bench --save NAME`, then `resbench export asv NAME`"
        return
    yield from _commits(config, [content["commit_hash"] for _, content in read])
    yield from _benchmarks(config, read)


def _result(path: Path, machine: str) -> tuple[str, dict[str, Any]]:
    try:
        content = read_object(path, RESULTS_VERSION)
    except ValueError as error:
        return str(error), {}
    missing = [key for key in _NEEDED if key not in content]
    if missing:
        return f"has no '{missing[0]}'", {}
    if content["params"].get("machine") != machine:
        return f"is of machine '{content['params'].get('machine')}', not of '{machine}'", {}
    name = result_name(content["commit_hash"], content["env_name"])
    # asv shortens long names to a hash of them, which says nothing.
    if path.name != name and len(content["env_name"]) < 128:
        return f"should be named {name}", {}
    return "", content


def _commits(config: Config, commits: list[str]) -> Iterator[str]:
    shown: set[str] = set()
    for branch in config.branches:
        shown |= set((_git(config, "rev-list", "--first-parent", branch, "--") or "").split())
    tags = (_git(config, "for-each-ref", "--format=%(objectname) %(*objectname)", "refs/tags") or "").split()
    for commit in sorted({*commits} - shown - {*tags}):
        where = " or ".join(config.branches)
        yield f"results of commit {commit[:8]}, which is neither on {where} nor a tag, stay hidden: delete them"


def _benchmarks(config: Config, read: list[tuple[Path, dict[str, Any]]]) -> Iterator[str]:
    path = config.results / BENCHMARKS
    try:
        known = read_object(path, BENCHMARKS_VERSION)
    except ValueError as error:
        yield f"{path} {error}: git restore it, or asv run --bench just-discover"
        return
    lost: dict[str, None] = {}
    for _, content in read:
        for name, row in content["results"].items():
            cells = dict(zip(content["result_columns"], row, strict=False))
            listed = known.get(name, {}).get("params")
            if listed is None or not _all_listed(cells.get("params") or [], listed):
                lost[name] = None
    for name in lost:
        yield f"{path} does not know all of {name}, which asv then hides: git restore it, or export the runs again"


def _all_listed(measured: list[list[str]], listed: list[list[str]]) -> bool:
    return len(measured) == len(listed) and all(set(a) <= set(b) for a, b in zip(measured, listed, strict=True))


def _git(config: Config, *arguments: str) -> str | None:
    """What git says; None where it fails."""
    done = subprocess.run(
        ["git", "-C", str(config.repository), *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else None
