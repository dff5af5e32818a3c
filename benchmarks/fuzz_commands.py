"""Damaged files, through the whole commands: exit code and what is printed."""

from __future__ import annotations

import io
import os
import random
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

from benchmarks.fuzz_edits import edited
from benchmarks.fuzz_formats import FORMATS, ROOT, Format

__all__ = ["COMMANDS", "Command", "Ended", "called", "fault_of", "trial"]

_NET = "tests.lesions.lesion_nets:Net"
_FEW = ("--input", "3x8x8")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Command:
    """``file``: the damaged format.  ``arguments``: of the command, given the file.  ``places``: functions of resbench
    that name its own folders, replaced by the folder of the file, given how far above it that is."""

    file: str
    arguments: Callable[[Path], tuple[str, ...]]
    places: Mapping[str, Callable[[Path], object]] = field(default_factory=dict)
    made: Callable[[Path], Path] | None = None

    @property
    def name(self) -> str:
        """``check: evidence``."""
        return f"{self.arguments(Path('a/b/c/d/file'))[0]}: {self.file}"

    @property
    def format(self) -> Format:
        return next(format for format in FORMATS if format.name == self.file)


def called(arguments: tuple[str, ...], cache: Path) -> Ended:
    """Run the command line in this process.

    Raises:
        Exception: whatever the command lets through: on a terminal that is a traceback.
    """
    from resbench.cli import main

    out, err, code = io.StringIO(), io.StringIO(), 0
    with ExitStack() as stack:
        stack.enter_context(patch.object(sys, "argv", ["resbench", *arguments]))
        stack.enter_context(patch.dict(os.environ, {"RESBENCH_CACHE": str(cache)}))
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(redirect_stdout(out))
        stack.enter_context(redirect_stderr(err))
        warnings.simplefilter("ignore")
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    return Ended(code, out.getvalue(), err.getvalue())


def fault_of(found: Ended, good: Ended, guarded: bool) -> str:
    """What is wrong with how a command took a damaged file; empty where nothing is."""
    last = found.err.splitlines()[-1] if found.err.strip() else ""
    if "Traceback" in found.out + found.err:
        return "a traceback"
    if found.code == 2:
        told = last.startswith("resbench: ") and not found.out
        return "" if told else f"exit code 2, but says {last!r} {found.out[:80]!r}"
    if found.code not in (0, 1):
        return f"exit code {found.code}"
    if found.code == 0 and guarded and _said(found) != _said(good):
        return f"green, and says something else than of the good file: {found.out[:200]!r}"
    return ""


def _said(ended: Ended) -> str:
    """Standard output without what is of the moment."""
    return "\n".join(line for line in ended.out.splitlines() if '"dirty"' not in line and '"commit"' not in line)


def trial(command: Command, folder: Path, generator: random.Random) -> Iterator[tuple[str, str]]:
    """Damage after damage: what it was, and the fault, empty where there is none.  ``folder``: an empty one."""
    (folder / "files").mkdir()
    path = (command.made or command.format.made)(folder / "files")
    content = path.read_bytes()
    good = _ended(command, path, folder)
    assert isinstance(good, Ended), good
    assert good.code in (0, 1), good
    while True:
        what, damaged = edited(content, generator)
        path.write_bytes(damaged)
        found = _ended(command, path, folder)
        yield what, found if isinstance(found, str) else fault_of(found, good, bool(command.format.guard))


def _ended(command: Command, path: Path, folder: Path) -> Ended | str:
    shutil.rmtree(folder / "cache", ignore_errors=True)
    with _placed(command, path):
        try:
            return called(command.arguments(path), folder / "cache")
        except Exception as error:
            return f"a traceback: {type(error).__name__}: {str(error)[:200]}"


@contextmanager
def _placed(command: Command, path: Path) -> Iterator[None]:
    with ExitStack() as stack:
        for name, place in command.places.items():
            stack.enter_context(patch(name, lambda place=place: place(path)))
        yield


def _evidence(folder: Path) -> Path:
    """A record of the one network that its claims need, beside the package's own others."""
    shutil.copytree(ROOT / "baselines" / "claims" / "cifar10-short", folder / "claims" / "cifar10-short")
    return folder / "claims" / "cifar10-short" / "resnet20-preact" / "single_deletion.json"


def _seed(folder: Path) -> Path:
    """Of one claim, as it is committed: how often it failed is shown, and its power."""
    from resbench.records.seeds import read_seed_records, write_seed

    place = folder / "claims" / "digits"
    place.mkdir(parents=True)
    claim = "veit-single-delete-vgg"
    committed = read_seed_records(ROOT / "baselines" / "claims" / "digits")[3]
    return write_seed(place, "digits", 3, {}, {claim: committed.claims[claim]})


def _curves(file: str) -> Callable[[Path], Path]:
    """The one network whose recorded curves `huang-expected-depth` reads: nothing is computed."""

    def made(folder: Path) -> Path:
        from resbench.training.checkpoints import write_index

        shutil.copy(ROOT / "baselines" / "checkpoints" / "digits" / "post-54-stochastic.safetensors", folder)
        write_index(folder, ["post-54-stochastic"])
        return folder / file

    return made


def _judged(path: Path) -> tuple[str, ...]:
    select = ("--select", "huang-expected-depth", "--setting", "digits")
    return ("check", "--checkpoints", str(path.parent), *select, "--format", "json")


def _npz_of(path: Path) -> tuple[str, ...]:
    return ("lesion", _NET, "--data", f"npz:{path}", "--format", "json")


def _claims_of(path: Path) -> list[Path]:
    return sorted(path.parent.glob("*.toml"))


_CLAIMS: Mapping[str, Callable[[Path], object]] = {
    "resbench.claims.loader._package_files": _claims_of,
    "resbench.claims.loader.lock_path": lambda path: path.parent / "claims.lock",
}
_EXACT = ("check", "--kind", "exact", "--format", "json")

COMMANDS: tuple[Command, ...] = (
    Command("claims of a paper", lambda path: _EXACT, _CLAIMS),
    Command("claims of a paper", lambda path: ("claims", "--format", "json"), _CLAIMS),
    Command("claims.lock", lambda path: _EXACT, _CLAIMS),
    Command(
        "evidence",
        lambda path: ("check", "--setting", "cifar10-short", "--format", "json"),
        {"resbench.plan.baselines": lambda path: path.parents[3]},
        _evidence,
    ),
    Command(
        "record of a seed",
        lambda path: ("claims", "show", "veit-single-delete-vgg", "--format", "json"),
        {"resbench.calibration.baselines": lambda path: path.parents[2]},
        _seed,
    ),
    Command("checkpoint of the digits", _judged, made=_curves("post-54-stochastic.safetensors")),
    Command("checkpoint index", _judged, made=_curves("index.json")),
    Command("timing run", lambda path: ("compare", str(path), str(path), "--format", "json")),
    Command("asv result", lambda path: ("compare", str(path), str(path), "--format", "json")),
    Command("asv result", lambda path: ("history", str(path.parents[1]), "--format", "json")),
    Command("asv benchmarks", lambda path: ("history", str(path.parent))),
    Command("pytest-benchmark JSON", lambda path: ("compare", str(path), str(path), "--format", "md")),
    Command("user's .safetensors", lambda path: ("units", _NET, *_FEW, "--checkpoint", str(path))),
    Command("user's .pt", lambda path: ("paths", _NET, *_FEW, "--checkpoint", str(path), "--format", "json")),
    Command("user's .pt of old", lambda path: ("units", _NET, *_FEW, "--checkpoint", str(path), "--format", "json")),
    Command("verdicts of a run", lambda path: ("diff", str(path.parent), str(path), "--format", "json")),
    Command("verdicts of a run", lambda path: ("badge", str(path), "--out", str(path.parent / "badge.svg"))),
    Command("npz of images", _npz_of),
    Command("npz of images, compressed", _npz_of),
)
