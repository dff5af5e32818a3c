"""The course of a measurement, of given networks and of resbench's own: what is open, how far it is, what is kept."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resbench.errors import Damaged, NotMeasured
from resbench.records.aside import set_aside
from resbench.records.environment import environment
from resbench.records.evidence import Made, Subject, read_evidence, write
from resbench.records.partial import source_fingerprint
from resbench.records.results import Request, Result
from resbench.records.versions import VERSIONS
from resbench.talking import note

__all__ = ["Course", "Stopped", "current", "duration"]


class Stopped(Exception):
    """The time given has passed, or what comes next would probably end later."""


@dataclass
class Course:
    """How far a run is.

    ``setting``, ``folder``: where its records go.  ``total``: results in all.  ``minutes``: of the whole run, None for
    no end.  ``done``: recorded now; ``kept``: were there; ``missing``: cannot be measured, with the reason.
    ``expected``, ``taken``: seconds as estimated and as they were, of all that is done.  ``ahead``: seconds estimated
    of all that is still to be done, what is under way included.
    """

    setting: str
    folder: Path
    total: int
    minutes: float | None
    device: str
    started: float = field(default_factory=time.monotonic)
    done: int = 0
    kept: int = 0
    missing: list[str] = field(default_factory=list)
    expected: float = 0.0
    taken: float = 0.0
    ahead: float = 0.0

    @property
    def pace(self) -> float:
        """Seconds taken by seconds estimated, so far."""
        return self.taken / self.expected if self.expected else 1.0

    @property
    def until(self) -> float | None:
        """The end of the time given, of ``time.monotonic()``."""
        return None if self.minutes is None else self.started + 60.0 * self.minutes

    def check(self, expected: float = 0.0) -> None:
        """Raises: Stopped where something of ``expected`` seconds would probably end after the time given."""
        if self.until is not None and time.monotonic() + expected * self.pace > self.until:
            raise Stopped

    def say(self, network: str, text: str) -> None:
        """``resbench: 3/25 resnet56 single_deletion: about 20 s`` on standard error."""
        note(f"{self.done + self.kept}/{self.total} {network}{text}")

    def measure(
        self,
        requests: Sequence[Request],
        subject: Subject,
        measured: Callable[[Request], Result],
        seconds: Callable[[Request], float],
        *,
        run: int = 1,
        training: dict[str, Any] | None = None,
    ) -> None:
        """Measure and record ``requests`` of one network, one after the other; each is on disk before the next begins.

        ``seconds``: estimated.  What cannot be measured there is noted in ``missing``.

        Raises:
            Stopped: the next would probably end after the time given.
        """
        for request in requests:
            expected = seconds(request)
            self.check(expected)
            self.say(request.network, f" {request.experiment}: about {duration(expected * self.pace)}")
            begun = time.monotonic()
            try:
                result = measured(request)
            except NotMeasured as reason:
                self.missing.append(f"{request.network}/{request.experiment} ({reason})")
                self.total -= 1
                continue
            made = _made(self.device, time.monotonic() - begun, training)
            version = VERSIONS[request.experiment]
            write(self.folder, self.setting, request, version, subject, made, result, run=run)
            self.done += 1
            self.account(expected, time.monotonic() - begun)

    def account(self, expected: float, taken: float) -> None:
        """Something that was estimated to take ``expected`` seconds took ``taken``."""
        self.expected += expected
        self.taken += taken

    def summary(self, *, stopped: bool = False) -> str:
        """One line about the run."""
        text = f"{self.done} recorded in {self.folder}, {self.kept} were there, of {self.total}"
        if stopped:
            return f"{text}; stopped by --max-minutes, the same command goes on"
        return f"{text}; not measurable: {', '.join(self.missing)}" if self.missing else text


def current(folder: Path, setting: str, request: Request, subject: Subject, *, run: int = 1) -> bool:
    """Whether there is a record of the present subject and version; a damaged one is set aside, to be made again."""
    try:
        evidence = read_evidence(folder, setting, request, run=run)
    except Damaged as damage:
        set_aside(damage, "measured again")
        return False
    return evidence is not None and evidence.subject == subject and evidence.version == VERSIONS[request.experiment]


def duration(seconds: float) -> str:
    """``90 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _made(device: str, seconds: float, training: dict[str, Any] | None) -> Made:
    import torch

    return Made(
        at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        source=source_fingerprint(),
        environment=environment(),
        device=device,
        threads=torch.get_num_threads(),
        seconds=round(seconds, 1),
        training=training,
    )
