"""Compiled units, CUDA graphs, float32 on a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.lesions.lesion_nets import Net, images_of, made, plainly, settled
from tests.lesions.test_engine import all_kinds
from torch import Tensor, nn

import resbench
from resbench.lesions import accelerating
from resbench.lesions.accelerating import Graphed, arithmetic, compile_units
from resbench.lesions.engine import predict
from resbench.lesions.executable import prepare
from resbench.lesions.running import Runner

IMAGES = images_of(40)

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need an NVIDIA GPU")


def faked(monkeypatch: pytest.MonkeyPatch, compiled: float) -> None:
    """Compilation by ``eager`` in no time; a unit takes 1 s, compiled ``compiled``."""
    times = iter([1.0, compiled] * 100)

    def seconds(work: object) -> float:
        work()  # type: ignore[operator]
        return next(times)

    monkeypatch.setattr(accelerating, "_seconds", seconds)


def compiled_modules(model_units: object) -> int:
    return sum(unit.place.module._compiled_call_impl is not None for unit in model_units)  # type: ignore[attr-defined]


def test_compiled_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    faked(monkeypatch, 0.5)
    target = made(settled(Net()), IMAGES)
    prepared = prepare(target, IMAGES.take(range(10))[0], workers=2)
    done = compile_units([worker.units for worker in prepared.workers], backend="eager")
    assert done.units == 5
    assert [compiled_modules(worker.units) for worker in prepared.workers] == [5, 5]
    assert compiled_modules(target.units) == 0  # the user's own are left alone
    assert np.array_equal(predict(prepared.workers, all_kinds(), IMAGES, 10), plainly(target, all_kinds(), IMAGES))


def test_not_compiled_where_it_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    faked(monkeypatch, 1.0)
    target = made(settled(Net()), IMAGES)
    prepared = prepare(target, IMAGES.take(range(10))[0])
    assert compile_units([prepared.workers[0].units], backend="eager").units == 0
    assert compiled_modules(prepared.workers[0].units) == 0


def test_what_cannot_be_compiled_runs_as_it_is() -> None:
    target = made(settled(Net()), IMAGES)
    prepared = prepare(target, IMAGES.take(range(10))[0])

    def refused(*_: object, **__: object) -> None:
        raise RuntimeError("no compiler")

    torch._dynamo.reset()
    assert compile_units([prepared.workers[0].units], backend=refused).units == 0  # type: ignore[arg-type]
    assert np.array_equal(predict(prepared.workers, all_kinds(), IMAGES, 10), plainly(target, all_kinds(), IMAGES))


def test_the_record_says_what_was_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    from resbench.lesions import running

    monkeypatch.setattr(running, "compile_units", lambda workers: accelerating.Compiled(len(workers[0]), 2.0))
    found = resbench.lesion(settled(Net()), IMAGES, compiled=True)
    assert found["engine"]["compiled_units"] == 5
    assert found["engine"]["compile_seconds"] == 2.0
    assert "compiled_units" not in resbench.lesion(settled(Net()), IMAGES)["engine"]


@pytest.mark.parametrize(("precision", "allowed"), [("float32", False), ("screened", False), ("tf32", True)])
def test_float32_is_float32_on_a_gpu_too(precision: str, allowed: bool) -> None:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    with arithmetic(precision):
        assert torch.backends.cudnn.allow_tf32 is allowed
        assert torch.backends.cuda.matmul.allow_tf32 is allowed
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == before


@needs_gpu
def test_a_graph_does_what_the_unit_does() -> None:
    layer = nn.Conv2d(3, 3, 3, padding=1).cuda().eval()
    x = torch.randn(4, 3, 8, 8, device="cuda")
    with torch.inference_mode():
        run = Graphed(layer, x)
        first = run(x)
        second = run(x + 1)
        assert torch.equal(first, layer(x))  # not overwritten by the second
        assert torch.equal(second, layer(x + 1))
        assert torch.equal(run(x[:2]), layer(x[:2]))


@needs_gpu
@pytest.mark.parametrize("precision", ["float32", "screened", "bfloat16", "tf32"])
def test_a_sweep_on_a_gpu(precision: str) -> None:
    model = settled(Net()).cuda()
    target = made(model, IMAGES)
    classes = Runner(target, IMAGES, precision, device="cuda").run(all_kinds())

    def plain(x: Tensor) -> object:
        return plainly(made(settled(Net()), IMAGES), all_kinds(), IMAGES)

    same = (classes == plain(torch.empty(0))).mean()
    assert same >= (0.95 if precision in ("bfloat16", "tf32") else 0.999)
