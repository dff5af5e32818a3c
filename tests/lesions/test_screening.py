"""Through bfloat16 to float32's predictions; a change that was not allowed for is found and undone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.lesions.lesion_nets import Net, images_of, made, plainly, settled
from tests.lesions.test_engine import N, all_kinds
from torch import Tensor

from resbench.lesions import screening
from resbench.lesions.engine import predict
from resbench.lesions.executable import Executable, prepare
from resbench.lesions.plans import deleted, whole
from resbench.lesions.screening import screened

IMAGES = images_of(300)


def both(kind: str = "post") -> tuple[object, tuple[Executable, ...], tuple[Executable, ...]]:
    target = made(settled(Net(kind)), IMAGES)
    example = IMAGES.take(range(50))[0]
    exact = prepare(target, example, workers=2)
    fast = prepare(target, example, workers=2, dtype=torch.bfloat16)
    assert fast.error > 1e-4  # it does round
    return target, fast.workers, exact.workers


@pytest.mark.parametrize("kind", ["post", "pre"])
def test_float32_s_predictions(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening._Sweep, "expected", lambda self, speed: np.zeros(self.plans))  # worth it everywhere
    target, fast, exact = both(kind)
    plans = all_kinds()
    found = screened(fast, exact, plans, IMAGES, 50)
    expected = plainly(target, plans, IMAGES)  # type: ignore[arg-type]
    assert np.array_equal(found.classes, expected)
    assert 0.0 < found.again < 1.0
    # bfloat16 alone does not give them.
    assert not np.array_equal(predict(fast, plans, IMAGES, 50), expected)


def test_lesions_that_gain_nothing_are_computed_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening._Sweep, "expected", lambda self, speed: np.arange(self.plans) % 2 * 2.0)
    target, fast, exact = both()
    plans = all_kinds()
    found = screened(fast, exact, plans, IMAGES, 50)
    assert found.exact == len(plans) // 2
    assert np.array_equal(found.classes, plainly(target, plans, IMAGES))  # type: ignore[arg-type]
    monkeypatch.setattr(screening._Sweep, "expected", lambda self, speed: np.ones(self.plans))
    found = screened(fast, exact, plans, IMAGES, 50)
    assert (found.exact, found.again) == (len(plans), 1.0)
    assert np.array_equal(found.classes, plainly(target, plans, IMAGES))  # type: ignore[arg-type]


def test_a_change_that_was_not_allowed_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first batch the fast network goes wrong under one lesion: the audit finds it, float32 undoes it."""
    monkeypatch.setattr(screening._Sweep, "expected", lambda self, speed: np.zeros(self.plans))
    target, fast, exact = both()
    plans = [whole(N), deleted(N, [1]), deleted(N, [2])]
    one, heads = fast[0], 0

    def broken(x: Tensor) -> Tensor:
        nonlocal heads
        heads += 1
        logits = one.head(x)
        # Two passes over the first batch of three lesions each measure what bfloat16 changes.
        return logits.flip(1) if heads > 6 and heads % 3 == 0 else logits

    bad = Executable(one.count, one.between, one.stem, one.take, broken)
    found = screened([bad], exact[:1], plans, IMAGES, 50)
    assert found.largest > 1.0
    assert found.exact == 1
    assert np.array_equal(found.classes, plainly(target, plans, IMAGES))  # type: ignore[arg-type]


def test_not_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Overflow is computed again."""
    monkeypatch.setattr(screening._Sweep, "expected", lambda self, speed: np.zeros(self.plans))
    target, fast, exact = both()
    one = fast[0]
    bad = Executable(one.count, one.between, one.stem, one.take, lambda x: one.head(x) * float("inf"))
    plans = [whole(N), deleted(N, [1])]
    assert np.array_equal(screened([bad], exact[:1], plans, IMAGES, 50).classes, plainly(target, plans, IMAGES))  # type: ignore[arg-type]


def test_the_change_of_a_lead_by_hand() -> None:
    """Fast: class 0 leads by 1 and 3; exact: by 0.5 and 3.5.  The largest change of a lead is 0.5."""
    fast, exact = torch.tensor([[4.0, 3.0, 1.0]]), torch.tensor([[4.5, 4.0, 1.0]])
    assert screening._changes(fast, exact).tolist() == [0.5]
    assert screening._margins(fast).tolist() == [1.0]
    assert screening._changes(fast, torch.tensor([[float("nan"), 0.0, 0.0]])).tolist() == [float("inf")]
