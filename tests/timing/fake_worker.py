"""A worker that answers without a process: times from a function, errors on demand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resbench.timing.processes import Side, WorkerDied
from resbench.timing.worker.case import CaseError, parse

__all__ = ["FakeMachine"]


class FakeMachine:
    """Makes workers whose block times are ``time(side name, case key, calls so far, process number)``."""

    def __init__(self, time: Callable[[str, str, int, int], float]):
        self.time = time
        self.log: list[tuple[str, str]] = []
        self.calls: list[str] = []
        self.started = 0
        self.fails: dict[tuple[str, str], str] = {}
        self.dies: set[tuple[str, str]] = set()
        self.processor: Callable[[str, int], dict[str, Any]] = lambda side, call: {}

    def worker(self, side: Side, **_: Any) -> FakeWorker:
        self.started += 1
        self.log.append((side.name, "start"))
        return FakeWorker(self, side, self.started)


class FakeWorker:
    def __init__(self, machine: FakeMachine, side: Side, number: int):
        self.machine, self.side, self.number = machine, side, number
        self.answers: list[dict[str, Any] | Exception] = []
        self.key = ""

    def __enter__(self) -> FakeWorker:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        self.machine.log.append((self.side.name, "end"))

    def greet(self) -> dict[str, Any]:
        return {}

    def ask(self, action: str, **arguments: Any) -> dict[str, Any]:
        self.send(action, **arguments)
        return self.receive()

    def send(self, action: str, **arguments: Any) -> None:
        try:
            self.answers.append(getattr(self, f"_{action}")(**arguments))
        except (CaseError, WorkerDied) as error:
            self.answers.append(error)

    def receive(self) -> dict[str, Any]:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _open(self, case: dict[str, Any]) -> None:
        from msgspec import convert

        from resbench.timing.worker.case import Case

        self.key = convert(case, Case).key
        assert parse(self.key)
        if (self.side.name, self.key) in self.machine.dies:
            raise WorkerDied("killed by signal 9")
        if (self.side.name, self.key) in self.machine.fails:
            raise CaseError(self.machine.fails[self.side.name, self.key])

    def _prepare(self, case: dict[str, Any]) -> dict[str, Any]:
        self._open(case)
        return {"version": "1", "cycle": 1}

    def _warm(self, limit: float) -> dict[str, Any]:
        return {"steps": 2, "warmup": 20, "steady": True}

    def _time(self, steps: int) -> dict[str, Any]:
        self.machine.calls.append(self.side.name)
        seconds = self.machine.time(self.side.name, self.key, len(self.machine.calls), self.number)
        return {"seconds": seconds, **self.machine.processor(self.side.name, len(self.machine.calls))}

    def _measure(self, case: dict[str, Any], seconds: float) -> dict[str, Any]:
        self._open(case)
        self.machine.log.append((self.side.name, self.key))
        times = [self.machine.time(self.side.name, self.key, call, self.number) for call in range(5)]
        return {"round": {"seconds": times, "steps": 1, "warmup": 6, "steady": True}}

    def _count(self, case: dict[str, Any]) -> dict[str, Any]:
        self._open(case)
        counts = {"operators": 10, "macs": 1000, "allocated": 4096, "least_bytes": 512}
        return {"counts": counts}

    def _rates(self, device: str, dtype: str) -> dict[str, Any]:
        rates = {"device": device, "dtype": dtype, "macs": 1e10, "copies": {"1024": 1e9}}
        return {"rates": rates, "facts": {"cpu": "a fake"}}

    def _close(self) -> dict[str, Any]:
        return {}
