"""Sixteen processes that write to one store at once: nothing is lost, nothing is torn."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.records.evidence_samples import MADE, SETTING, subject

from resbench.measuring.pace import Pace, read_pace
from resbench.records.evidence import read_evidence, restored, write
from resbench.records.partial import PartialResults
from resbench.records.places import write_atomically
from resbench.records.results import Request
from resbench.records.versions import VERSIONS

PROCESSES, EACH = 16, 6
NETWORKS = [f"net-{number}" for number in range(4)]


def each(work: str, *arguments: object) -> list[int]:
    """Run ``work``, a function of this module, in sixteen processes that begin together; their exit codes."""
    context = multiprocessing.get_context("fork" if sys.version_info < (3, 12) else "spawn")
    begin = context.Barrier(PROCESSES)
    workers = [context.Process(target=_begun, args=(begin, work, number, *arguments)) for number in range(PROCESSES)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    return [-1 if worker.exitcode is None else worker.exitcode for worker in workers]


def _begun(begin: object, work: str, *arguments: object) -> None:
    begin.wait(60)  # type: ignore[attr-defined]
    globals()[work](*arguments)


def errors(network: str, number: int) -> dict[str, np.ndarray]:
    """What process ``number`` says of ``network``: an array that says so itself, throughout."""
    return {"wrong": np.full((40, 50), number), "name": np.array([network])}


def records(number: int, folder: Path) -> None:
    for round in range(EACH):
        for network in NETWORKS:
            request = Request("evaluation", network)
            made = (errors(network, number),)
            write(folder, SETTING, request, VERSIONS["evaluation"], subject(seed=number), MADE, made)
            found = read_evidence(folder, SETTING, request)
            assert found is not None, (round, network)
            _whole(network, found.subject.seed, restored(found)[0])


def _whole(network: str, seed: int, arrays: object) -> None:
    """The arrays are those of one process, the one that the record names."""
    wrong, name = arrays["wrong"], arrays["name"]  # type: ignore[index]
    assert name.tolist() == [network]
    assert np.unique(wrong).tolist() == [seed]
    assert wrong.shape == (40, 50)


def test_records_of_one_place(tmp_path: Path) -> None:
    assert each("records", tmp_path) == PROCESSES * [0]
    for network in NETWORKS:
        found = read_evidence(tmp_path, SETTING, Request("evaluation", network))
        assert found is not None
        _whole(network, found.subject.seed, restored(found)[0])
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir() and path.name[0] != ".") == NETWORKS
    assert not unfinished(tmp_path)


def unfinished(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*.*") if path.is_file() and path.suffix not in (".lock", ".holder")]


def own_records(number: int, folder: Path) -> None:
    for round in range(EACH):
        request = Request("evaluation", f"net-{number}-{round}")
        write(folder, SETTING, request, VERSIONS["evaluation"], subject(), MADE, (errors(request.network, number),))


def test_records_of_many_places_are_all_there(tmp_path: Path) -> None:
    assert each("own_records", tmp_path) == PROCESSES * [0]
    for number in range(PROCESSES):
        for round in range(EACH):
            network = f"net-{number}-{round}"
            found = read_evidence(tmp_path, SETTING, Request("evaluation", network))
            assert found is not None
            _whole(network, number, restored(found)[0])


def kept(number: int, folder: Path) -> None:
    """As the lab does: whoever comes first measures, the others find it."""
    store = PartialResults(folder, "key")
    for network in NETWORKS:
        request = Request("evaluation", network)
        with store.lock(request):
            if store.get(request) is None:
                with (folder / "measured").open("a") as file:
                    file.write(f"{network}\n")
                store.put(request, [errors(network, 1)])
        found = store.get(request)
        assert found is not None
        _whole(network, 1, found[0])


def test_what_is_kept_is_measured_once(tmp_path: Path) -> None:
    assert each("kept", tmp_path) == PROCESSES * [0]
    assert sorted((tmp_path / "measured").read_text().split()) == NETWORKS


def paces(number: int, folder: Path) -> None:
    """Each process notes networks of its own in the one file, as `resbench measure --parallel` does."""
    from resbench.measuring.own import _Run

    class Places:
        def lock(self, name: str, run: int) -> Path:
            return folder / f"{name}.lock"

    class Shelf:
        places, recipes, device_name = Places(), {"vgg15": None}, f"device {number}"

    noting = object.__new__(_Run)
    noting.shelf, noting.pace_file, noting.pace = Shelf(), folder / "pace.json", Pace()  # type: ignore[assignment]
    import resbench.measuring.own as own

    own.step_work = lambda recipe: 1e9
    noting._note("vgg15", 0.25)


def test_paces_of_all_are_noted(tmp_path: Path) -> None:
    assert each("paces", tmp_path) == PROCESSES * [0]
    assert len(read_pace(tmp_path / "pace.json").devices) == PROCESSES


def files(number: int, path: Path) -> None:
    for _ in range(20):
        write_atomically(path, bytes([number]) * 50_000)
        content = path.read_bytes()
        assert len(content) == 50_000
        assert len(set(content)) == 1


def test_a_file_is_always_one_writer_s(tmp_path: Path) -> None:
    assert each("files", tmp_path / "file") == PROCESSES * [0]
    assert os.listdir(tmp_path) == ["file"]


def failing(number: int) -> None:
    assert number != 3


@pytest.mark.filterwarnings("ignore")
def test_a_failure_is_seen(capfd: pytest.CaptureFixture[str]) -> None:
    codes = each("failing")
    assert codes == [1 if number == 3 else 0 for number in range(PROCESSES)]
    assert "AssertionError" in capfd.readouterr().err
