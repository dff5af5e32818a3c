"""The worker's side of the conversation: one JSON object a line in, one out.

What the code under test prints goes to standard error; the conversation has a file descriptor of its own.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import msgspec

from .allocator import pin_allocator
from .case import Case, CaseError
from .clock import Clock, clock_for
from .machine import facts
from .processor import Processor
from .sampling import measure, sample, warm_up
from .steps import Work, prepare

__all__ = ["Server", "serve"]


class Server:
    """Answers requests about one case at a time; ``case`` stays prepared between requests."""

    def __init__(self) -> None:
        self._work: Work | None = None
        self._clock: Clock | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """What ``request["do"]`` asks for; an error as ``{"error": one line, "crash": whether it is our fault}``."""
        actions: dict[str, Callable[..., dict[str, Any]]] = {
            "hello": self.hello,
            "prepare": self.prepare,
            "warm": self.warm,
            "time": self.time,
            "sample": self.sample,
            "measure": self.measure,
            "count": self.count,
            "rates": self.rates,
            "close": self.close,
        }
        arguments = dict(request)
        try:
            return actions[arguments.pop("do")](**arguments)
        except CaseError as error:
            return {"error": str(error), "crash": False}
        except Exception as error:  # whatever the code under test raises is an answer, not the end
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{os.path.basename(place.filename)}:{place.lineno}"
            message = " ".join(str(error).split())[:300]
            return {"error": f"{type(error).__name__} at {where}: {message}", "crash": True}

    def hello(self, package: str = "resbench") -> dict[str, Any]:
        """Which code is under test: the folder of ``package``; and the versions around it."""
        import importlib

        import torch

        module = importlib.import_module(package)
        return {
            "file": str(module.__file__),
            "torch": str(torch.__version__),
            "python": sys.version.split()[0],
            "pid": os.getpid(),
        }

    def prepare(self, case: dict[str, Any]) -> dict[str, Any]:
        self.close()
        asked = msgspec.convert(case, Case)
        self._work = prepare(asked)
        self._clock = clock_for(cuda=asked.cuda, flushed=asked.cache == "flushed")
        return {"version": asked.version, "cycle": self._work.cycle}

    def warm(self, limit: float) -> dict[str, Any]:
        steps, done, steady = warm_up(self._ready()[1], self._ready()[0], limit=limit)
        return {"steps": steps, "warmup": done, "steady": steady}

    def time(self, steps: int) -> dict[str, Any]:
        """One block: seconds *per step*, and what :class:`.processor.Processor` says of it."""
        work, clock = self._ready()
        with Processor() as processor:
            seconds = clock.seconds(work, steps) / steps
        cpu = None if processor.seconds is None else processor.seconds / steps
        return {"seconds": seconds, "cpu": cpu, "waited": processor.waited}

    def sample(self, steps: int, seconds: float) -> dict[str, Any]:
        work, clock = self._ready()
        return {"seconds": sample(clock, work, steps, seconds)}

    def measure(self, case: dict[str, Any], seconds: float) -> dict[str, Any]:
        """A whole round: see :func:`resbench.timing.worker.sampling.measure`."""
        return {"round": msgspec.to_builtins(measure(msgspec.convert(case, Case), seconds=seconds))}

    def count(self, case: dict[str, Any]) -> dict[str, Any]:
        """Counts without noise, in a pass of their own: counting slows what it counts."""
        from .witness import count

        work = prepare(msgspec.convert(case, Case))
        try:
            return {"counts": msgspec.to_builtins(count(work))}
        finally:
            work.close()

    def rates(self, device: str, dtype: str) -> dict[str, Any]:
        from .rates import rates

        return {
            "rates": msgspec.to_builtins(rates(device, dtype)),
            "facts": facts(),
        }

    def close(self) -> dict[str, Any]:
        if self._work is not None:
            self._work.close()
        self._work = self._clock = None
        return {}

    def _ready(self) -> tuple[Work, Clock]:
        if self._work is None or self._clock is None:
            raise CaseError("nothing is prepared")
        return self._work, self._clock


def serve() -> None:
    """Answer until standard input ends."""
    import warnings

    pin_allocator()
    warnings.simplefilter("ignore")  # of the libraries under test; their errors are answers
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    server = Server()
    for line in sys.stdin:
        reply = server.answer(msgspec.json.decode(line))
        replies.write(msgspec.json.encode(reply).decode() + "\n")
        replies.flush()
    # Nothing is left to be done, and torch takes its time to do it: 0.6 s were measured, 0.03 s without.
    sys.stderr.flush()
    os._exit(0)
