"""Counts without noise: against hand-computed steps, and equal whenever they are counted again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from resbench.timing.worker.case import Case
from resbench.timing.worker.steps import prepare
from resbench.timing.worker.witness import Dispatched, count

FLOAT = 4


class Step:
    """A step of a test's own, ``cycle`` of them with the number of the step since the last restart."""

    cuda = False
    least_bytes = 12

    def __init__(self, step: Callable[[int], object], cycle: int = 1):
        self._step, self.cycle, self._done = step, cycle, 0

    def eager(self) -> object:
        self._done += 1
        return self._step(self._done - 1)

    step = eager

    def restart(self) -> None:
        self._done = 0


def training(module: nn.Module, input: Tensor) -> Callable[[int], None]:
    """Forward, and the gradients of input and parameters, which are forgotten."""

    def step(_: int) -> None:
        output = module(input)
        torch.autograd.grad(output, [input, *module.parameters()], torch.ones_like(output))

    return step


def test_an_addition_is_one_operator_without_multiply_adds() -> None:
    a = torch.ones(1000)
    counts = count(Step(lambda _: a + a))
    assert (counts.operators, counts.macs, counts.allocated, counts.peak) == (1, 0, 1000 * FLOAT, 1000 * FLOAT)
    assert (counts.least_bytes, counts.kernels) == (12, None)


def test_a_linear_layer() -> None:
    layer, x = nn.Linear(16, 32), torch.ones(4, 16)
    counts = count(Step(lambda _: layer(x)))
    # The weight is transposed, a view; then one product with the bias in it.
    assert (counts.operators, counts.macs, counts.allocated) == (2, 4 * 16 * 32, 4 * 32 * FLOAT)


@pytest.mark.parametrize("groups", [1, 4])
def test_a_convolution_and_its_gradients(groups: int) -> None:
    layer = nn.Conv2d(8, 12, 3, padding=1, groups=groups, bias=False)
    x = torch.ones(2, 8, 6, 5, requires_grad=True)
    forward = 2 * 12 * 6 * 5 * (8 // groups) * 9
    assert count(Step(lambda _: layer(x))).macs == forward
    # The gradient of the input and that of the weight each cost what the forward pass did.
    assert count(Step(training(layer, x))).macs == 3 * forward
    frozen = x.detach()
    only_weight = Step(lambda _: torch.autograd.grad(layer(frozen).sum(), [layer.weight]))
    assert count(only_weight).macs == 2 * forward


def test_a_transposed_convolution_and_its_gradients() -> None:
    layer = nn.ConvTranspose2d(8, 6, 2, stride=2, bias=False)
    x = torch.ones(3, 8, 4, 4, requires_grad=True)
    assert count(Step(training(layer, x))).macs == 3 * (3 * 4 * 4 * 8 * 6 * 2 * 2)


def test_torchs_own_counter_agrees_where_there_are_no_groups() -> None:
    work = prepare(Case("net:resnet20-preact", "3x32x32", batch=2))
    try:
        counts = count(work)
        with FlopCounterMode(display=False) as counter:
            work.eager()
    finally:
        work.close()
    assert 2 * counts.macs == counter.get_total_flops()


@pytest.mark.parametrize("passing", ["inference", "forward", "step"])
def test_a_whole_unit_by_formula(passing: str) -> None:
    batch, width, side = 4, 16, 32
    work = prepare(Case("unit:preact", "16@32", passing, batch=batch))  # type: ignore[arg-type]
    try:
        counts, again = count(work), count(work)
    finally:
        work.close()
    assert counts == again
    convolutions = 2 * batch * width * width * 9 * side * side
    assert counts.macs == convolutions * (3 if passing == "step" else 1)
    assert counts.least_bytes == work.least_bytes
    feature = batch * width * side * side * FLOAT
    if passing == "inference":
        # Full pre-activation: BN, ReLU, convolution, twice, then the addition; each makes one feature map.
        assert counts.allocated == 7 * feature


def test_inference_mode_counts_the_same_operators_as_no_grad() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()
    x = torch.ones(2, 3, 8, 8)

    def under(mode: Callable[[], object]) -> Step:
        def step(_: int) -> Tensor:
            with mode():  # type: ignore[attr-defined]
                output: Tensor = network(x)
                return output

        return Step(step)

    inference, plain = count(under(torch.inference_mode)), count(under(torch.no_grad))
    assert (inference.operators, inference.macs) == (plain.operators, plain.macs)
    assert inference.macs == 2 * (4 * 36 * 27 + 144 * 5)


def test_a_cycle_is_counted_from_its_beginning_and_averaged() -> None:
    a, layer = torch.ones(100), nn.Linear(10, 10, bias=False)

    def step(index: int) -> Tensor:
        return layer(torch.ones(1, 10)) if index == 0 else a + a

    work = Step(step, cycle=2)
    counts = count(work)
    assert counts.macs == 100 / 2
    assert count(work) == counts


def test_the_peak_is_what_is_alive_at_once() -> None:
    a = torch.ones(1000)

    def chain(_: int) -> None:
        b = a + 1
        c = b + 1
        del b
        d = c + 1
        del c, d

    counts = count(Step(chain))
    assert (counts.allocated, counts.peak) == (3 * 1000 * FLOAT, 2 * 1000 * FLOAT)


def test_what_autograd_saves_is_alive_until_the_backward_pass() -> None:
    x = torch.ones(1000, requires_grad=True)

    def step(_: int) -> None:
        y = x.exp().exp().exp()  # Each saves its result, and only autograd holds the first two.
        assert seen.peak == 3 * 1000 * FLOAT
        torch.autograd.grad(y, x, x.detach())

    with Dispatched() as seen:
        step(0)
    # The gradients come one after the other while the saved ones go.
    assert 3 * 1000 * FLOAT < seen.peak < 6 * 1000 * FLOAT
    assert seen.allocated == 6 * 1000 * FLOAT


def test_views_and_operators_in_place_allocate_nothing() -> None:
    a = torch.ones(10, 10)
    counts = count(Step(lambda _: a.t().reshape(100)[:50].view(5, 10).mul_(1.0).relu_()))
    # A transposed matrix cannot be flattened without a copy.
    assert counts.allocated == 100 * FLOAT
    assert count(Step(lambda _: a.view(100).mul_(1.0))).allocated == 0


def test_momentum_is_made_before_counting() -> None:
    layer = nn.Linear(4, 4)
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.0, momentum=0.9)

    def step(_: int) -> None:
        optimiser.zero_grad()
        layer(torch.ones(1, 4)).sum().backward()
        optimiser.step()

    work = Step(step)
    assert count(work) == count(work)


class Event:
    """Of the profiler."""

    def __init__(self, name: str, device: str = "CUDA", annotation: bool = False):
        self.name, self.is_user_annotation = name, annotation
        self.device_type = type("Device", (), {"name": device})


EVENTS = [
    Event("void at::native::vectorized_elementwise_kernel<4>"),
    Event("sm90_xmma_fprop_implicit_gemm"),
    Event("Memcpy DtoD (Device -> Device)"),
    Event("Memset (Device)"),
    Event("Optimizer.step#SGD.step", annotation=True),
    Event("aten::add", "CPU"),
]


class Gpu:
    """torch.cuda's memory and torch.profiler's profile, as far as they are used."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, events: list[Event], held: int, most: int):
        self.events_, self.held, self.most, self.log = events, held, most, list[str]()
        monkeypatch.setattr(torch.cuda, "synchronize", lambda: self.log.append("wait"))
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: self.log.append("reset"))
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: self.held)
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: self.log.append("read") or self.most)
        monkeypatch.setattr("torch.profiler.profile", lambda activities: self)

    def __enter__(self) -> Gpu:
        self.log.append("profile")
        return self

    def __exit__(self, *_: object) -> None: ...

    def events(self) -> list[Event]:
        return self.events_


def on_gpu(gpu: Gpu) -> Step:
    work = Step(lambda _: gpu.log.append("eager"))
    work.cuda = True
    work.step = lambda: gpu.log.append("step")  # type: ignore[method-assign, assignment]
    return work


def test_on_a_gpu_kernels_and_memory_are_those_of_the_step_as_it_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu(monkeypatch, EVENTS, held=1000, most=5000)
    counts = count(on_gpu(gpu))
    assert (counts.kernels, counts.peak) == (2, 4000)
    # The first profile only attaches; the peak is reset after a step, and read when the next is done.
    assert gpu.log == [
        "eager",
        "eager",
        "wait",
        *["profile", "step", "wait"] * 2,
        *"step wait reset step wait read".split(),
    ]


def test_a_replayed_graph_has_no_peak_and_a_blind_profiler_no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = count(on_gpu(Gpu(monkeypatch, [Event("aten::add", "CPU")], held=1000, most=1000)))
    assert (counts.kernels, counts.peak) == (None, None)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "dilation"),
    [(8, 3, 1, 1, 1), (8, 3, 2, 1, 1), (7, 5, 2, 2, 1), (9, 3, 1, 2, 2), (8, 1, 1, 0, 1), (8, 3, 1, 0, 1)],
)
@pytest.mark.parametrize("training", [False, True])
def test_products_with_padding(
    size: int, kernel: int, stride: int, padding: int, dilation: int, training: bool
) -> None:
    """Against a convolution of ones by ones, whose outputs count the products that are not with padding."""
    layer = nn.Conv2d(2, 4, kernel, stride, padding, dilation, bias=False)
    ones = F.conv2d(torch.ones(1, 1, size, size), torch.ones(1, 1, kernel, kernel), None, stride, padding, dilation)
    input = torch.randn(3, 2, size, size, requires_grad=training)
    with Dispatched() as seen:
        output = layer(input)
        if training:
            output.sum().backward()
    passes = 3 if training else 1
    met = float(ones.sum()) * 3 * 2 * 4 * passes
    assert seen.flops / 2 - seen.padding / 2 == pytest.approx(met)


def test_padding_of_a_3x3_layer_at_8x8_by_hand() -> None:
    """Along one side 8 x 3 = 24 pairs of output and tap, two of them on padding: 1 - (22 / 24)^2."""
    with Dispatched() as seen:
        nn.Conv2d(1, 1, 3, padding=1)(torch.randn(1, 1, 8, 8))
    assert seen.padding / seen.flops == pytest.approx(1 - (22 / 24) ** 2)
