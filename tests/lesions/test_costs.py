"""What steps cost, and how a runner shares plans out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.lesions.lesion_nets import FixedBatch, Net, images_of, made, settled

from resbench.errors import NotMeasured
from resbench.lesions import running
from resbench.lesions.costs import step_costs
from resbench.lesions.executable import prepare
from resbench.lesions.plans import deleted, whole
from resbench.lesions.running import Runner, Store
from resbench.lesions.trie import Step

N, IMAGES = 5, images_of(60)
PLANS = [whole(N), *(deleted(N, [i]) for i in range(N))]


def test_multiply_adds_by_hand() -> None:
    """Two 3x3 convolutions a unit: 4 channels at 8x8, then 8 at 4x4; every unit puts out its numbers as well."""
    example = IMAGES.take(range(2))[0]
    executable = prepare(made(settled(Net()), IMAGES), example).workers[0]
    steps = {Step(kind, i) for i in range(N) for kind in ("apply", "without")}  # type: ignore[arg-type]
    found = step_costs(executable, steps, example)
    early, late = 2 * 4 * 8 * 8, 2 * 8 * 4 * 4  # numbers of two images
    assert found[Step("apply", 0)] == 2 * early * 9 * 4 + early
    assert found[Step("apply", 2)] == late * 9 * 4 + late * 9 * 8 + late
    assert found[Step("apply", 4)] == 2 * late * 9 * 8 + late
    assert found[Step("without", 0)] == early
    assert found[Step("without", 2)] == found[Step("without", 4)] == late


def test_a_step_between_units_is_counted() -> None:
    example = IMAGES.take(range(2))[0]
    executable = prepare(made(settled(Net("pre")), IMAGES), example).workers[0]
    assert step_costs(executable, [], example)[Step("between", 2)] == 2 * 8 * 4 * 4 * 4 + 2 * 8 * 4 * 4


def test_every_process_finds_the_same_shares() -> None:
    found = [Runner(made(settled(Net()), IMAGES), IMAGES, workers=1).shares(PLANS, 2) for _ in range(2)]
    assert found[0] == found[1]
    assert sorted(found[0][0] + found[0][1]) == list(range(len(PLANS)))
    assert len(found[0][0]) > len(found[0][1])  # late deletions share most of their way


def test_whole_passes_are_shared_out_by_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "prepare", lambda *_, **__: running.Prepared((), reason="one of a kind"))
    runner = Runner(made(settled(FixedBatch()), IMAGES), IMAGES)
    assert runner.shares(PLANS, 4) == [[0, 4], [1, 5], [2], [3]]
    with pytest.raises(NotMeasured, match="one of a kind"):
        runner.cost(PLANS)


def test_pieces_end_where_batches_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long pieces take, an image is in a batch with the same others: its logits have the same bits."""
    monkeypatch.setattr(running, "_FIRST_PIECE", 17)
    monkeypatch.setattr(running, "batch_size", lambda *_: 7)
    starts: list[int] = []

    class Told(Store):
        def put(self, start: int, piece: NDArray[np.int32]) -> None:
            starts.append(start)

    runner = Runner(made(settled(Net()), IMAGES), IMAGES, workers=1)
    found = runner.run(PLANS, None, Told("key", tmp_path, whole=True))
    assert starts[:2] == [0, 14]
    assert all(start % 7 == 0 for start in starts)
    assert np.array_equal(found, runner.run(PLANS))
