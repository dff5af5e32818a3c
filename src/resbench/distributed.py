"""The processes of ``torchrun``: ranks that share work out, and rank 0, which gathers the results and speaks.

Before ranks exchange anything they meet: each says so in the store that torchrun keeps, and looks there for the others.
So a rank waits for hours without a limit, hears signals meanwhile, and no exchange waits for a rank that is gone.

Every rank gives a sign of life each second.  Where one ends early, the others end with exit code 1 and one line from
the lowest of them: at once where torchrun's agent stops them, after two minutes of silence where it does not (an agent
knows of its own machine only).  What a user can mend is said once, by rank 0 where it finds the same: exit code 2.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from resbench.errors import NotMeasured, UserError

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

__all__ = ["Ranks", "ranks"]

T = TypeVar("T")

_SILENCE = 120.0
"""Seconds without a sign of life after which a rank has ended."""

_SECOND = 1.0
"""Between two signs of life."""

_COURTESY = 10.0
"""Seconds that rank 0 gets to say itself what another rank has to say."""

_LEAVING = 0.3
"""Seconds for the others to see that a last meeting is over, before rank 0, which may keep the store, ends."""

_CONNECTING = datetime.timedelta(minutes=10)
"""The machines of a job may start apart."""


class Ranks:
    """This process among those of a run: alone, rank 0 of 1."""

    rank = 0
    world = 1

    def device(self, named: str) -> str:
        """``cuda`` as this rank's own GPU; anything else as it is.

        Raises:
            UserError: more processes than GPUs.
        """
        return named

    def gather(self, mine: T) -> list[T] | None:
        """``mine`` of every rank, in order; None elsewhere than on rank 0."""
        return [mine]

    def share(self, mine: T) -> list[T]:
        """``mine`` of every rank, in order, on every rank."""
        return [mine]

    def meet(self) -> None:
        """Wait until every rank has come here."""

    @contextmanager
    def exchanging(self) -> Iterator[None]:
        """Within, ranks exchange by torch.distributed themselves, without meeting; where one ends, the others do."""
        yield

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """The first rank of every machine goes before its others: for what only one of them should download."""
        yield

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """What must be brought to an end should the process be stopped meanwhile: a few writes."""
        yield


@contextmanager
def ranks(kept: str) -> Iterator[Ranks]:
    """The processes of this run.  Within, all but rank 0 are silent.

    ``kept``: what is said to become of unfinished work, as in "finished pieces are kept".
    """
    world = _number("WORLD_SIZE", 1)
    if world < 2 or not {"RANK", "MASTER_ADDR", "MASTER_PORT"} <= set(os.environ):
        yield Ranks()
        return
    found = _Started(kept)
    with found.living():
        try:
            with _silent(found.rank > 0):
                yield found
        except (UserError, NotMeasured) as error:
            found.failed(error)
            raise
        except KeyboardInterrupt:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if found.rank > 0:
                os._exit(130)
            raise


class _Started(Ranks):
    """One of several processes that torchrun started."""

    def __init__(self, kept: str) -> None:
        from torch.distributed.distributed_c10d import PrefixStore
        from torch.distributed.rendezvous import rendezvous

        try:
            store, self.rank, self.world = next(iter(rendezvous("env://", timeout=_CONNECTING)))
        except (RuntimeError, ValueError) as error:
            where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
            raise UserError(f"rank {os.environ['RANK']} found no rank 0 at {where}: {_line(error)}") from error
        self._store: Store = PrefixStore("resbench", store)
        self._kept = kept
        self._meetings = 0
        self._backend = "gloo"
        self._connected = self._busy = self._stopped = False
        self._seen: dict[int, tuple[int, float]] = {}

    def device(self, named: str) -> str:
        import torch

        count = torch.cuda.device_count()
        if named != "cuda" or not count:  # that there is none is said by who wants to use it
            return named
        local = _number("LOCAL_RANK", self.rank % count)
        if local >= count:
            raise UserError(f"--device cuda: {local + 1} processes or more on a machine with {count} GPUs: "
                            f"give --nproc-per-node {count}")  # fmt: skip
        torch.cuda.set_device(local)
        self._backend = "nccl"
        return f"cuda:{local}"

    def gather(self, mine: T) -> list[T] | None:
        import torch.distributed as dist

        found: list[Any] | None = [None] * self.world if self.rank == 0 else None
        with self._together():
            dist.gather_object(mine, found)
        return found

    def share(self, mine: T) -> list[T]:
        import torch.distributed as dist

        found: list[Any] = [None] * self.world
        with self._together():
            dist.all_gather_object(found, mine)
        return found

    @contextmanager
    def exchanging(self) -> Iterator[None]:
        with self._together():
            yield

    @contextmanager
    def _together(self) -> Iterator[None]:
        import torch
        import torch.distributed as dist

        self.meet()
        try:
            if not self._connected:
                dist.init_process_group(self._backend, store=self._store, rank=self.rank, world_size=self.world)
                self._connected = True
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:  # one ended between the meeting and the exchange
            self._end()
        self.meet()  # everything has arrived

    def meet(self) -> None:
        self._meetings += 1
        self._store.set(f"met/{self._meetings}/{self.rank}", "")
        missing = [f"met/{self._meetings}/{rank}" for rank in range(self.world)]
        pause, heard = 0.005, time.monotonic()
        try:
            while not self._store.check(missing):
                if time.monotonic() > heard + _SECOND:
                    heard = time.monotonic()
                    self._listen()
                time.sleep(pause)
                pause = min(2 * pause, 0.1)
        except RuntimeError:  # the store is gone, with rank 0's machine
            self._end()

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        first = _number("LOCAL_RANK", self.rank) == 0
        if not first:
            self.meet()
        yield
        if first:
            self.meet()

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
            if self._stopped:
                self._end()

    @contextmanager
    def living(self) -> Iterator[None]:
        """Give signs of life and obey SIGTERM, with which an agent stops its ranks when one of them has ended."""
        import torch.distributed as dist

        over = threading.Event()

        def beat() -> None:
            with contextlib.suppress(RuntimeError):  # rank 0 is through, and its store with it
                while not over.is_set():
                    self._store.add(f"beat/{self.rank}", 1)
                    over.wait(_SECOND)

        thread = threading.Thread(target=beat, daemon=True)
        before = signal.signal(signal.SIGTERM, lambda *_: self._stop())
        thread.start()
        try:
            yield
            if self.rank == 0:
                time.sleep(_LEAVING)
        finally:
            over.set()
            thread.join()
            if self._connected:
                dist.destroy_process_group()
            if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
                signal.signal(signal.SIGTERM, before)

    def failed(self, error: Exception) -> None:
        """Rank 0 is about to say ``error``, as a process alone would; another rank leaves that to it, and ends.

        Raises:
            SystemExit: elsewhere than on rank 0.
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the first to end has the agent stop the others
        try:
            if self.rank == 0:
                self._store.set("failed", "")
                return
            self._store.set("error", f"rank {self.rank}: {_line(error)}")
            deadline = time.monotonic() + _COURTESY
            while not self._store.check(["failed"]) and time.monotonic() < deadline:
                time.sleep(0.05)
            if self._store.check(["failed"]):
                raise SystemExit(2)
        except RuntimeError:
            pass
        _say(f"rank {self.rank}: {_line(error)}")
        raise SystemExit(2)

    def _listen(self) -> None:
        """Whether a rank has said what is wrong, or none of it says anything any more."""
        if self.rank == 0 and self._store.check(["error"]):
            raise UserError(self._store.get("error").decode())
        if self.rank > 0 and self._store.check(["failed"]):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            raise SystemExit(2)
        now = time.monotonic()
        for rank in range(self.world):
            count = self._store.add(f"beat/{rank}", 0)
            before, since = self._seen.get(rank, (-1, now))
            self._seen[rank] = (count, now if count != before else since)
            if now - self._seen[rank][1] > _SILENCE:
                self._end()

    def _stop(self) -> None:
        if self._busy:
            self._stopped = True
        else:
            self._end()

    def _end(self) -> NoReturn:
        """Say who has ended, once, and end: here and now, whatever threads are still computing."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            gone = self._gone(3 * _SECOND)
            speaks = min(set(range(self.world)) - set(gone))
        except RuntimeError:
            gone, speaks = [0], self.rank
        if self.rank == speaks:
            who = f"rank{'s' * (len(gone) > 1)} {', '.join(map(str, gone))} ended" if gone else "stopped"
            _say(f"{who}; {self._kept}")
        os._exit(1)

    def _gone(self, seconds: float) -> list[int]:
        """The ranks that neither live on nor were stopped as this one is."""
        self._store.set(f"stopped/{self.rank}", "")
        others = [rank for rank in range(self.world) if rank != self.rank]
        before = {rank: self._store.add(f"beat/{rank}", 0) for rank in others}
        deadline = time.monotonic() + seconds
        while others and time.monotonic() < deadline:
            time.sleep(0.1)
            others = [
                rank
                for rank in others
                if not self._store.check([f"stopped/{rank}"]) and self._store.add(f"beat/{rank}", 0) == before[rank]
            ]
        return others


@contextmanager
def _silent(wanted: bool) -> Iterator[None]:
    """Without this process's output, progress bars included; exceptions are none of it."""
    if not wanted:
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield


def _number(name: str, default: int) -> int:
    """An environment variable.

    Raises:
        UserError: it is no whole number.
    """
    text = os.environ.get(name, "")
    if text and not text.isdecimal():
        raise UserError(f"{name}={text}: torchrun sets it to a number; unset it to run on one process")
    return int(text) if text else default


def _say(text: str) -> None:
    print(f"resbench: {text}", file=sys.__stderr__, flush=True)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
