"""Worker processes: started on the code of any revision, asked one thing at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import msgspec

from resbench.errors import UserError
from resbench.timing.worker.case import CaseError

__all__ = ["Side", "Worker", "WorkerDied", "here"]

_ALIAS = "_resbench_timing_worker"
_START = f"""
import importlib.util, sys
folder = sys.argv[1]
spec = importlib.util.spec_from_file_location({_ALIAS!r}, folder + "/__init__.py", submodule_search_locations=[folder])
sys.modules[{_ALIAS!r}] = package = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
importlib.import_module({_ALIAS!r} + ".serve").serve()
"""
"""The worker package of *this* resbench under another name, beside whatever resbench the path leads to."""


class WorkerDied(Exception):
    """A worker process ended without an answer: killed, out of memory, or crashed; the message has its last words."""


@dataclass(frozen=True)
class Side:
    """Whose code a worker runs.

    ``python``: its interpreter.  ``paths``: go before everything else on its module path.  ``inherit``: whether this
    process's PYTHONPATH follows them.  ``package``: what must be importable, from one of the ``paths`` if there are
    any.  ``folder``: where it runs; its own by default.
    """

    name: str
    python: str = sys.executable
    paths: tuple[Path, ...] = ()
    inherit: bool = True
    package: str = "resbench"
    folder: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def here(name: str) -> Side:
    """The side of the resbench that is running, wherever it was imported from."""
    return Side(name, paths=(Path(__file__).resolve().parents[2],))


class Worker:
    """One process; a context manager that ends it."""

    def __init__(self, side: Side, *, cores: Sequence[int] = ()):
        self.side = side
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        command = [side.python, "-P", "-c", _START, str(Path(__file__).parent / "worker")]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                cwd=side.folder,
                env=_environment(side),
            )
        except OSError as error:
            self._errors.close()
            raise UserError(f"{side.name}: cannot start {side.python}: {error.strerror or error}") from error
        if cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(self._process.pid, cores)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def greet(self) -> dict[str, Any]:
        """Wait until it runs; its versions.

        Raises:
            UserError: the code does not import there, or it is not the code that was meant.
        """
        try:
            answer = self.ask("hello", package=self.side.package)
        except (CaseError, WorkerDied) as error:
            raise UserError(f"{self.side.name}: does not run: {error}") from error
        found = Path(answer["file"]).resolve()
        if self.side.paths and not any(found.is_relative_to(path.resolve()) for path in self.side.paths):
            raise UserError(f"{self.side.name}: {self.side.package} is imported from {found.parent}, not from there")
        return answer

    def ask(self, action: str, **arguments: Any) -> dict[str, Any]:
        """The answer to one request.

        Raises:
            CaseError: the code under test cannot do it; one line.
            WorkerDied: the process ended.
        """
        self.send(action, **arguments)
        return self.receive()

    def send(self, action: str, **arguments: Any) -> None:
        """Ask without waiting, so that several workers can get ready at the same time."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode({"do": action, **arguments}).decode() + "\n")
            self._process.stdin.flush()
        except OSError:
            raise WorkerDied(self._last_words()) from None

    def receive(self) -> dict[str, Any]:
        """The answer to the oldest request that has none."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WorkerDied(self._last_words())
        answer: dict[str, Any] = msgspec.json.decode(line)
        if "error" in answer:
            raise CaseError(answer["error"])
        return answer

    def end(self) -> None:
        """End the process, whatever it is doing."""
        process = self._process
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):  # it had already gone
                    stream.close()
        try:
            process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._errors.close()

    def _last_words(self) -> str:
        try:
            status = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            status = None
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]
        ended = f"killed by signal {-status}" if status is not None and status < 0 else f"exit status {status}"
        return f"{ended}: {lines[-1][:300]}" if lines else ended


def _environment(side: Side) -> dict[str, str]:
    given = dict(os.environ)
    given.pop("PYTHONHOME", None)
    # Idle threads sleep: an operator's threads that spin after its end would slow the other side of a pair.
    given |= {"OMP_WAIT_POLICY": "passive", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore"}
    inherited = given.pop("PYTHONPATH", "")
    paths = [*map(str, side.paths), *([inherited] if inherited and side.inherit else [])]
    if paths:
        given["PYTHONPATH"] = os.pathsep.join(paths)
    return given | dict(side.environment)
