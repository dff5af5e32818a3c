"""Ranks in threads of one process, with a store in memory: meetings, signs of life, and who says what."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import torch
from torch.distributed import HashStore

from resbench import distributed
from resbench.distributed import Ranks, ranks
from resbench.errors import UserError

WORLD = 3


class Exited(Exception):
    """In the place of os._exit."""


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Any]:
    """A rank of three, which does not yet give signs of life."""
    store = HashStore()
    rank = threading.local()
    module = import_module("torch.distributed.rendezvous")
    monkeypatch.setattr(module, "rendezvous", lambda *_, **__: iter([(store, rank.of, WORLD)]))
    monkeypatch.setattr(distributed.signal, "signal", lambda *_: None)  # only the main thread may

    def leave(code: int) -> None:
        raise Exited(code)

    monkeypatch.setattr(os, "_exit", leave)

    def make(of: int) -> Any:
        rank.of = of
        return distributed._Started("nothing is kept")

    return make


def together(made: Callable[[int], Any], work: Callable[[Any], object], of: range = range(WORLD)) -> dict[int, Any]:
    """``work`` of several ranks at a time: what each returned or raised."""
    found: dict[int, Any] = {}

    def run(rank: int) -> None:
        try:
            found[rank] = work(made(rank))
        except (Exception, SystemExit) as error:
            found[rank] = error

    threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in of]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return found


def test_alone() -> None:
    one = Ranks()
    assert (one.rank, one.world, one.device("cuda")) == (0, 1, "cuda")
    assert one.gather("a") == one.share("a") == ["a"]
    one.meet()
    with one.in_turn(), one.undisturbed():
        pass


@pytest.mark.parametrize("environment", [{}, {"WORLD_SIZE": "1", "RANK": "0"}, {"WORLD_SIZE": "2"}])
def test_without_torchrun_a_process_is_alone(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with ranks("") as found:
        assert found.world == 1


def test_a_number_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(UserError, match="WORLD_SIZE=two: torchrun sets it to a number"), ranks(""):
        pass


def test_nobody_leaves_a_meeting_before_all_have_come(made: Callable[[int], Any]) -> None:
    came, left = [], []

    def work(one: Any) -> None:
        for _ in range(3):
            time.sleep(0.02 * one.rank)
            came.append(one.rank)
            one.meet()
            left.append(len(came))

    together(made, work)
    assert len(left) == 9
    assert all(count >= WORLD * (1 + index // WORLD) for index, count in enumerate(sorted(left)))


def test_the_first_of_a_machine_goes_first(made: Callable[[int], Any]) -> None:
    order = []

    def work(one: Any) -> None:
        with one.in_turn():
            time.sleep(0.1 if one.rank == 0 else 0)
            order.append(one.rank)

    together(made, work)
    assert order[0] == 0
    assert sorted(order) == [0, 1, 2]


def test_what_one_rank_finds_is_said_by_rank_0(made: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "_SECOND", 0.05)

    def work(one: Any) -> None:
        try:
            if one.rank == 2:
                raise UserError("no such\nfile")
            one.meet()
        except UserError as error:
            one.failed(error)
            raise

    found = together(made, work)
    assert isinstance(found[0], UserError)
    assert str(found[0]) == "rank 2: no such file"
    for rank in (1, 2):
        assert isinstance(found[rank], SystemExit)
        assert found[rank].code == 2


def test_a_rank_says_it_itself_where_rank_0_is_busy(
    made: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(distributed, "_COURTESY", 0.1)
    said: list[str] = []
    monkeypatch.setattr(distributed, "_say", said.append)
    found = together(made, lambda one: one.failed(UserError("no such file")), range(1, 2))
    assert found[1].code == 2
    assert said == ["rank 1: no such file"]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(distributed, "_say", lines.append)
    monkeypatch.setattr(distributed, "_SECOND", 0.1)
    return lines


def test_a_silent_rank_has_ended(made: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    """Its agent is on another machine, and tells nobody."""
    monkeypatch.setattr(distributed, "_SILENCE", 0.5)

    def work(one: Any) -> None:
        with one.living():
            one.meet()

    found = together(made, work, range(2))
    assert all(isinstance(error, Exited) and error.args == (1,) for error in found.values())
    assert said == ["rank 2 ended; nothing is kept"]


def test_stopped_from_outside_nobody_is_blamed(made: Callable[[int], Any], said: list[str]) -> None:
    found = together(made, lambda one: one._stop())
    assert all(isinstance(error, Exited) for error in found.values())
    assert said == ["stopped; nothing is kept"]


def test_the_lowest_of_those_left_speaks(made: Callable[[int], Any], said: list[str]) -> None:
    together(made, lambda one: one._stop(), range(1, 3))
    assert said == ["rank 0 ended; nothing is kept"]


def test_a_write_is_brought_to_an_end(made: Callable[[int], Any], said: list[str]) -> None:
    written = []

    def write() -> None:
        one = made(0)
        with one.undisturbed():
            one._stop()
            written.append("everything")

    with pytest.raises(Exited):
        write()
    assert written == ["everything"]


def test_every_process_has_a_gpu_of_its_own(made: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    one = made(1)
    assert (one.device("cuda"), one.device("cpu")) == ("cuda", "cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert one.device("cuda") == "cuda:1"
    assert (one.device("cpu"), one._backend, chosen) == ("cpu", "nccl", [1])
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UserError, match="3 processes or more on a machine with 2 GPUs: give --nproc-per-node 2"):
        one.device("cuda")
