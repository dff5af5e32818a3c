"""Rates are measured where a case would run, and everything is put back."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from resbench.timing.worker import rates as module
from resbench.timing.worker.rates import rates


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    module._measured.cache_clear()
    yield
    module._measured.cache_clear()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.02)
    monkeypatch.setattr(module, "SIDES", (16, 32))
    monkeypatch.setattr(module, "COPIES", {"cpu": (2**12, 2**15)})


def fixed(by_size: Callable[[Callable[[], object]], float]) -> Callable[[Callable[[], object]], float]:
    """A stopwatch that runs the call and says what it is told to."""

    def seconds(call: Callable[[], object]) -> float:
        call()
        return by_size(call)

    return seconds


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("dtype", ["float32", "bf16"])
def test_rates_of_this_machine(dtype: str) -> None:
    found = rates("cpu1", dtype)
    assert (found.device, found.dtype) == ("cpu1", dtype)
    assert found.macs > 0
    assert list(found.copies) == [2**12, 2**15]
    assert all(rate > 0 for rate in found.copies.values())


@pytest.mark.usefixtures("quick")
def test_the_best_product_and_each_copy_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def by_size(call: Callable[[], object]) -> float:
        size: int = call.args[0].numel()  # type: ignore[attr-defined]
        return {16 * 16: 1e-6, 32 * 32: 1e-2, 2**12 // 8: 1e-3, 2**15 // 8: 1e-4}[size]

    monkeypatch.setattr(module, "cpu_seconds", fixed(by_size))
    found = rates("cpu1", "float32")
    assert found.macs == pytest.approx(16**3 / 1e-6)
    # Read and written bytes together.
    assert found.copies == pytest.approx({2**12: 2**12 / 1e-3, 2**15: 2**15 / 1e-4})


def test_the_median_repeat_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([9.0, 1.0, 2.0])
    calls = list[int]()
    assert module.median_seconds(lambda: calls.append(1), fixed(lambda _: next(taken)), share=0.0) == 2.0
    assert len(calls) == 4  # once to warm up


def test_larger_products_wait_for_a_faster_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = list[int]()

    def by_size(call: Callable[[], object]) -> float:
        tried.append(call.args[0].shape[0])  # type: ignore[attr-defined]
        return 1.0

    monkeypatch.setattr(module, "SIDES", (8, 16))
    monkeypatch.setattr(module, "SECONDS", 0.02)
    module._products(torch.device("cpu"), torch.float32, fixed(by_size))
    assert set(tried) == {8}


@pytest.mark.usefixtures("quick")
def test_measured_once_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    first = rates("cpu1", "float32")
    monkeypatch.setattr(module, "_products", None)
    assert rates("cpu1", "float32") is first


@pytest.mark.usefixtures("quick")
def test_the_cases_threads_are_used_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[int]()

    def products(*_: object) -> float:
        seen.append(torch.get_num_threads())
        return 1.0

    monkeypatch.setattr(module, "_products", products)
    before = torch.get_num_threads()
    rates("cpu2", "float32")
    assert seen == [2]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(("dtype", "precision"), [("float32", "ieee"), ("tf32", "tf32")])
def test_the_gpus_number_format_is_set_and_put_back(dtype: str, precision: str) -> None:
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    with module._conditions("cuda", dtype):
        assert matmul.fp32_precision == precision
    assert matmul.fp32_precision == before


def test_a_gpu_is_timed_by_events(monkeypatch: pytest.MonkeyPatch) -> None:
    log = list[str]()

    class Event:
        def __init__(self, enable_timing: bool):
            assert enable_timing

        def record(self) -> None:
            log.append("record")

        def synchronize(self) -> None:
            log.append("wait")

        def elapsed_time(self, end: object) -> float:
            return 5.0  # milliseconds

    monkeypatch.setattr(torch.cuda, "Event", Event)
    assert module.cuda_seconds(lambda: log.append("call")) == pytest.approx(5e-3)
    assert log == ["record", "call", "record", "wait"]
