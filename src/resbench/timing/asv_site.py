"""asv's site, published whole: checked before, and readable without a network after."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from resbench.errors import UserError
from resbench.records.places import write_atomically
from resbench.timing.asv_check import Config, check
from resbench.timing.asv_files import asv_module

__all__ = ["Site", "make_offline", "publish"]

LIBRARIES = Path("benchmarks") / "site"
"""What asv's page would fetch from three content networks, kept in the repository; see its README.md."""

_TAG = re.compile(r'<(?:script|link)\b[^>]*?\b(?:src|href)="(https://[^"]+)"[^>]*>')


@dataclass(frozen=True)
class Site:
    """``graphs``: benchmarks with at least one point.  ``online``: addresses that the page still fetches."""

    folder: Path
    benchmarks: int
    graphs: int
    regressions: int
    online: tuple[str, ...]


def publish(config: Config) -> Site:
    """Check, publish, and make the page independent of the network.

    Raises:
        UserError: the check found something, asv failed, or its site shows nothing.
    """
    problems = check(config)
    if problems:
        raise UserError("; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else ""))
    asv_module("asv")
    command = [sys.executable, "-m", "asv", "--config", str(config.path), "publish", "--no-pull"]
    done = subprocess.run(command, cwd=config.repository, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise UserError(f"asv publish failed: {last[0].strip() if last else f'exit status {done.returncode}'}")
    index = json.loads((config.html / "index.json").read_bytes())
    graphs = {path.stem for path in (config.html / "graphs").rglob("*.json")} & set(index["benchmarks"])
    if not graphs:
        raise UserError(f"asv published {config.html}, which shows no graph: its results are of no benchmark it knows")
    regressions = json.loads((config.html / "regressions.json").read_bytes())["regressions"]
    online = make_offline(config.html, config.repository / LIBRARIES)
    return Site(config.html, len(index["benchmarks"]), len(graphs), len(regressions), online)


def make_offline(html: Path, libraries: Path) -> tuple[str, ...]:
    """Let ``html/index.html`` load ``libraries`` from beside it; the addresses for which there is no file stay."""
    names = {path.name for path in libraries.glob("*.*s")}
    left: list[str] = []

    def local(match: re.Match[str]) -> str:
        name = match[1].rpartition("/")[2]
        if name not in names:
            left.append(match[1])
            return match[0]
        # The hashes are those of the networks' files: some of ours are the same release unminified.
        kept = re.sub(r'\s(?:integrity|crossorigin|referrerpolicy)="[^"]*"', "", match[0])
        return kept.replace(match[1], f"libraries/{name}")

    index = html / "index.html"
    text = _TAG.sub(local, index.read_text())
    shutil.copytree(libraries, html / "libraries", dirs_exist_ok=True)
    write_atomically(index, text.encode())
    return tuple(left)
