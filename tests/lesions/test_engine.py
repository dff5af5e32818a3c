"""The engine predicts what the plain loop predicts: the live model edited, one lesion after the other."""

from __future__ import annotations

import gc
import threading
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.lesions.lesion_nets import FixedBatch, Net, Past, PostUnit, images_of, made, plainly, settled
from torch import Tensor, nn

from resbench.lesions import engine
from resbench.lesions.engine import NOT_FINITE, batch_size, filled, predict, predicted_classes, shared_out
from resbench.lesions.executable import prepare
from resbench.lesions.live import predict_live
from resbench.lesions.plans import Plan, deleted, duplicated, reordered, whole

N = 5


def all_kinds() -> list[Plan]:
    return [
        whole(N),
        *(deleted(N, [i]) for i in range(N)),
        *(deleted(N, pair) for pair in combinations(range(N), 2)),
        deleted(N, range(N)),
        duplicated(N, [1]),
        duplicated(N, [1, 3]),
        reordered([1, 0, 2, 3, 4]),
        reordered([0, 1, 2, 4, 3]),
    ]


@pytest.mark.parametrize("kind", ["post", "pre"])
@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_predictions(kind: str, workers: int) -> None:
    images = images_of(43)
    target = made(settled(Net(kind)), images)
    assert len(target.units) == N
    prepared = prepare(target, images.take(range(8))[0], workers=workers)
    assert len(prepared.workers) == workers
    assert prepared.reason == ""
    assert prepared.folded == {"post": 11, "pre": 6}[kind]
    assert prepared.error < 1e-5
    plans = all_kinds()
    found = predict(prepared.workers, plans, images, 8)
    assert np.array_equal(found, plainly(target, plans, images))
    assert len({tuple(row) for row in found}) > 10  # lesions do make a difference


def test_the_model_is_left_as_it_was() -> None:
    images = images_of(8)
    model = settled(Net())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    grads = {name: p.requires_grad for name, p in model.named_parameters()}
    prepare(made(model, images), images.take(range(8))[0], workers=2)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert {name: p.requires_grad for name, p in model.named_parameters()} == grads
    assert not [m for m in model.modules() if "forward" in m.__dict__ or m._forward_hooks]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 30), st.integers(1, 9), st.integers(1, 3))
def test_any_batch_size(count: int, size: int, workers: int) -> None:
    images = images_of(30).subset(range(count))
    target = made(settled(Net()), images_of(30))
    plans = [whole(N), deleted(N, [1]), deleted(N, [1, 4])]
    prepared = prepare(target, images_of(30).take(range(size))[0], workers=workers)
    assert np.array_equal(predict(prepared.workers, plans, images, size), plainly(target, plans, images))


def test_a_pass_that_fixes_the_number_of_images() -> None:
    images = images_of(20)
    target = made(settled(FixedBatch()), images)
    prepared = prepare(target, images.take(range(6))[0])
    assert prepared.workers
    plans = all_kinds()
    assert np.array_equal(predict(prepared.workers, plans, images, 6), plainly(target, plans, images))


def test_what_leads_past_the_units_is_run_whole() -> None:
    images = images_of(20)
    target = made(settled(Past()), images)
    prepared = prepare(target, images.take(range(6))[0])
    assert not prepared.workers
    assert "leads past" in prepared.reason
    plans = all_kinds()
    assert np.array_equal(predict_live(target.model, prepared.units, plans, images, 6), plainly(target, plans, images))


class Uncopied(Net):
    def __deepcopy__(self, memo: object) -> nn.Module:
        raise RuntimeError("not to be copied")


def test_a_model_that_cannot_be_copied_is_cut_where_it_is() -> None:
    images = images_of(20)
    target = made(settled(Uncopied()), images)
    prepared = prepare(target, images.take(range(6))[0], workers=2)
    assert len(prepared.workers) == 1  # two threads must not run the same modules
    assert prepared.folded == 0
    assert prepared.reason == "not to be copied"
    plans = all_kinds()
    assert np.array_equal(predict(prepared.workers, plans, images, 6), plainly(target, plans, images))


def test_parts_that_do_not_add_up_to_the_model_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from resbench.lesions import executable

    def wrong(graph: object, borders: object = ()) -> int:
        for call in graph.recording.calls:  # type: ignore[attr-defined]
            if isinstance(call.module, nn.BatchNorm2d):
                call.module.bias.add_(0.5)
        return 3

    images = images_of(20)
    target = made(settled(Net()), images)
    monkeypatch.setattr(executable, "fold_batch_norms", torch.no_grad()(wrong))
    prepared = prepare(target, images.take(range(6))[0])
    assert prepared.folded == 0
    assert "differ from the whole by" in prepared.reason
    assert np.array_equal(predict(prepared.workers, all_kinds(), images, 6), plainly(target, all_kinds(), images))


def test_few_activations_are_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many lesions there are."""

    def most(plans: list[Plan]) -> int:
        images = images_of(6)
        target = made(settled(Net()), images)
        (one,) = prepare(target, images.take(range(6))[0]).workers
        alive: list[int] = []
        head = one.head

        def counting(x: Tensor) -> Tensor:
            shape = {t.data_ptr() for t in gc.get_objects() if type(t) is Tensor and t.dim() == 4 and len(t) == 6}
            alive.append(len(shape))
            return head(x)

        predict([type(one)(one.count, one.between, one.stem, one.take, counting)], plans, images, 6)
        return max(alive)

    few = most([whole(N), *(deleted(N, [i]) for i in range(N))])
    assert most(all_kinds()) <= few + 3


def test_not_finite_is_no_class() -> None:
    logits = torch.tensor([[1.0, 2.0], [float("nan"), 0.0], [float("inf"), 0.0]])
    assert predicted_classes(logits).tolist() == [1, NOT_FINITE, NOT_FINITE]


def test_batch_size_by_hand() -> None:
    assert batch_size(10_000, 65536) == 64  # 4 MiB of 64 KiB: 157 batches, evened out
    assert batch_size(900, 64, workers=2) == 450
    assert batch_size(3, 10**9) == 3
    assert batch_size(100, 10**9) == 8
    assert batch_size(1, 1, workers=2) == 1


@given(st.integers(1, 5000), st.integers(1, 10**7), st.integers(1, 8))
def test_the_last_batch_is_almost_full(images: int, bytes_each: int, workers: int) -> None:
    size = batch_size(images, bytes_each, workers)
    batches = -(-images // size)
    assert batches * size - images < batches
    assert size <= 1024


def test_filling() -> None:
    batch = torch.arange(3.0).view(3, 1)
    assert filled(batch, 3) is batch
    assert filled(batch, 7).view(-1).tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_an_error_in_a_thread_is_the_caller_s() -> None:
    def work(worker: int, start: int, batch: Tensor) -> None:
        if start == 3:
            raise ValueError("image 3")

    threads, cores = threading.active_count(), torch.get_num_threads()
    batches = ((i, torch.zeros(1)) for i in range(100))
    with pytest.raises(ValueError, match="image 3"):
        shared_out([0, 1], batches, work)
    assert next(batches)[0] < 20  # nothing more was read
    assert threading.active_count() == threads
    assert torch.get_num_threads() == cores


def test_batches_are_shared_out_once_each() -> None:
    seen: list[int] = []
    engine.shared_out(
        [0, 1, 2], ((i, torch.zeros(1)) for i in range(50)), lambda worker, start, batch: seen.append(start)
    )
    assert sorted(seen) == list(range(50))


class Folded(PostUnit):
    """As Swin's: the number of images is written into operations of the unit's own."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.reshape(int(x.shape[0]), -1).reshape(int(x.shape[0]), *x.shape[1:]))


class Flattened(Net):
    """It takes for granted how images lie in memory."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for unit in self.units:
            x = unit(x)
        return self.classifier(x.view(x.size(0), -1).view(x.size(0), 8, -1).mean(2))


@pytest.mark.parametrize("kind", ["written into a unit", "order of numbers"])
def test_code_that_takes_things_for_granted(kind: str) -> None:
    images = images_of(20)
    model = Net() if kind == "written into a unit" else Flattened()
    if kind == "written into a unit":
        model.units = nn.ModuleList(
            [Folded(4, 4), Folded(4, 4), PostUnit(4, 8, 2), Folded(8, 8), Folded(8, 8)],
        )
    target = made(settled(model), images)
    prepared = prepare(target, images.take(range(6))[0], workers=2)
    assert len(prepared.workers) == 2
    assert prepared.folded == 11
    assert ("view" in prepared.reason) == (kind == "order of numbers")
    plans = [whole(N), deleted(N, [1]), reordered([1, 0, 2, 3, 4])]
    found = predict(prepared.workers, plans, images, 6)
    assert np.array_equal(found, predict_live(target.model, prepared.units, plans, images, 6))
    with torch.no_grad():
        assert np.array_equal(found[0], target.model(images.take(range(20))[0]).argmax(1).numpy())
