"""What a step does: the same work every time, what the case says, and as the peers do it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from resbench.networks.units import ComposedUnit
from resbench.timing.worker.case import Case, CaseError
from resbench.timing.worker.steps import Work, prepare
from resbench.timing.worker.subjects import DRAW_CYCLE, PEERS, build, systematic_draws

_SMALL = {"batch": 2}


@pytest.fixture
def work() -> object:
    """Prepared cases, closed in the end."""
    made: list[Work] = []

    def make(*arguments: object, **settings: object) -> Work:
        made.append(prepare(Case(*arguments, **{**_SMALL, **settings})))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()


def _state(module: nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in module.parameters()]


def test_a_training_step_has_gradients_of_everything_and_moves_nothing(work) -> None:
    ready = work("unit:preact", "16@32")
    before = _state(ready.module)
    ready.step()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in ready.module.parameters())
    assert ready._subject.input.grad is not None
    ready.step()
    assert all(torch.equal(a, b) for a, b in zip(before, _state(ready.module), strict=True))


def test_the_gradient_of_a_step_is_that_of_one_pass(work) -> None:
    """Gradients are not accumulated over steps: the thousandth step does what the first did."""
    ready = work("unit:original", "16@32")
    ready.step()
    first = [p.grad.clone() for p in ready.module.parameters()]
    ready.step()
    for a, p in zip(first, ready.module.parameters(), strict=True):
        assert torch.allclose(a, p.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("passing", "training", "graph"), [("inference", False, False), ("forward", True, True)])
def test_the_passes_without_an_update(work, passing: str, training: bool, graph: bool) -> None:
    ready = work("unit:original", "16@32", passing=passing)
    output = ready.step()
    assert ready.module.training is training
    assert (output.grad_fn is not None) is graph
    assert output.is_inference() is not graph


def test_channels_last_reaches_input_weights_and_output(work) -> None:
    ready = work("unit:original", "16@32", passing="inference", format="nhwc")
    for tensor in (ready._subject.input, ready.step(), *(p for p in ready.module.parameters() if p.ndim == 4)):
        if tensor.shape[-1] > 1:
            assert tensor.is_contiguous(memory_format=torch.channels_last)
    assert work("unit:original", "16@32", passing="inference").step().is_contiguous()


def test_bfloat16_is_autocast(work) -> None:
    seen: list[torch.dtype] = []
    ready = work("unit:preact", "16@32", passing="inference", dtype="bf16")
    convolution = next(m for m in ready.module.modules() if isinstance(m, nn.Conv2d))
    convolution.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    ready.step()
    assert seen == [torch.bfloat16]
    assert convolution.weight.dtype is torch.float32


def test_threads_are_set_and_put_back() -> None:
    before = torch.get_num_threads()
    ready = prepare(Case("unit:preact", "16@32", device="cpu2", batch=2))
    assert torch.get_num_threads() == 2
    ready.close()
    assert torch.get_num_threads() == before


def test_threads_are_put_back_when_a_case_does_not_build() -> None:
    before = torch.get_num_threads()
    with pytest.raises(CaseError, match="engine has no compiled mode"):
        prepare(Case("engine:lesion-single", "-", mode="compiled", device="cpu2", batch=2))
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("passing", ["inference", "step"])
def test_a_peer_computes_what_our_unit_computes(peer: str, passing: str) -> None:
    """With its weights in ours, in order: the comparison is of the same function."""
    pytest.importorskip(peer.partition(".")[0])
    wide = PEERS[peer][0].endswith("-bottleneck")
    shape = "64@56" if wide else "16@32"
    theirs = build(Case(f"peer:{peer}", shape, batch=2))
    ours = build(Case(f"unit:{PEERS[peer][0]}", shape, batch=2))
    for module in (theirs.module, ours.module):
        module.train(passing == "step")
    kinds = (nn.Conv2d, nn.BatchNorm2d)
    pairs = [[m for m in subject.module.modules() if isinstance(m, kinds)] for subject in (theirs, ours)]
    for kind in kinds:
        a, b = ([m for m in found if isinstance(m, kind)] for found in pairs)
        assert len(a) == len(b) > 0
        for source, copy in zip(a, b, strict=True):
            nn.init.uniform_(source.weight, 0.5, 1.0) if kind is nn.BatchNorm2d else None
            copy.load_state_dict(source.state_dict(), strict=False)
    assert theirs.input.shape == ours.input.shape
    assert torch.allclose(theirs.call(theirs.input), ours.call(theirs.input), atol=1e-4)


def test_systematic_draws_give_every_unit_its_share() -> None:
    rows = systematic_draws([0.1, 0.5, 0.8, 1.0], 10)
    assert rows.shape == (10, 4)
    assert rows.sum(0).tolist() == [1, 5, 8, 10]


def test_systematic_draws_of_different_units_are_not_the_same() -> None:
    rows = systematic_draws([0.5] * 50, 10)
    assert rows.sum(0).tolist() == [5] * 50
    assert len({tuple(column) for column in rows.T.tolist()}) > 20


def _branches(ready: Work, steps: int) -> int:
    """How often residual branches ran."""
    ran: list[int] = []
    branches = [m.residual for m in ready.module.modules() if isinstance(m, ComposedUnit)]
    handles = [branch.register_forward_hook(lambda *_: ran.append(1)) for branch in branches]
    for _ in range(steps):
        ready.step()
    for handle in handles:
        handle.remove()
    return len(ran)


@pytest.mark.parametrize(("p", "used"), [("0.5", 5), ("0.8", 8)])
def test_a_stochastic_unit_runs_its_branch_as_often_as_it_survives(work, p: str, used: int) -> None:
    ready = work(f"unit:original~{p}", "16@32")
    assert ready.cycle == DRAW_CYCLE
    assert _branches(ready, DRAW_CYCLE) == used


def test_a_block_begins_with_the_first_draw(work) -> None:
    ready = work("unit:original~0.5", "16@32")
    counts = []
    for _ in range(2):
        ready.restart()
        counts.append([_branches(ready, 1) for _ in range(DRAW_CYCLE)])
    assert counts[0] == counts[1]


def test_in_inference_a_stochastic_unit_is_always_used(work) -> None:
    ready = work("unit:original~0.5", "16@32", passing="inference")
    assert ready.cycle == 1
    assert _branches(ready, 4) == 4


def test_a_stochastic_network_repeats_its_draws(work) -> None:
    ready = work("net:resnet20-stochastic", "3x32x32")
    assert ready.cycle == DRAW_CYCLE
    counts = []
    for _ in range(2):
        ready.restart()
        counts.append(_branches(ready, DRAW_CYCLE))
    # Linear decay from 1 to 0.5 over nine units (Huang 2016, equation 4): 6.5 units expected, rounded unit by unit.
    assert counts[0] == counts[1]
    assert abs(counts[0] / DRAW_CYCLE - 6.5) < 0.45


def test_least_bytes_by_hand(work) -> None:
    """``original`` at 16@32 with two images: 2 x 16 x 32 x 32 floats in and out; two 3x3 layers and two BNs."""
    image = 2 * 16 * 32 * 32 * 4
    parameters = (2 * 16 * 16 * 9 + 4 * 16) * 4
    assert work("unit:original", "16@32", passing="inference").least_bytes == 2 * image + parameters
    # Training: gradients of input and output; gradients, momentum (read and written) and the written parameters.
    assert work("unit:original", "16@32").least_bytes == 4 * image + 4 * parameters


def test_compiled_computes_the_same() -> None:
    case = Case("unit:original", "16@32", passing="inference", mode="compiled", batch=2)
    try:
        ready = prepare(case)
    except CaseError as error:
        pytest.skip(f"no compiler here: {error}")
    try:
        assert torch.allclose(ready.step(), ready.eager(), atol=1e-5)
        assert ready.module._compiled_call_impl is not None
    finally:
        ready.close()
    assert ready.module._compiled_call_impl is None


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (Case("unit:preakt", "64@8"), "preact"),
        (Case("unit:preact~2", "64@8"), "survival probability"),
        (Case("peer:torchvision.Basic", "64@8"), "the peers are"),
        (Case("engine:lesions", "-"), "the engines are"),
        (Case("net:resnet20", "64@8"), "CxHxW"),
        (Case("net:resnet21", "3x32x32"), "resnet21"),
        (Case("unit:preact", "64@8", mode="graph"), "GPU"),
        (Case("unit:preact", "64@8", dtype="tf32"), "GPU"),
        (Case("unit:preact", "64@8", cache="flushed"), "GPU"),
    ],
)
def test_what_cannot_be_timed_is_one_line(case: Case, message: str) -> None:
    with pytest.raises(CaseError, match=message) as caught:
        prepare(case)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_an_absent_gpu_is_one_line() -> None:
    with pytest.raises(CaseError, match="there is no GPU that torch can use"):
        prepare(Case("unit:preact", "64@8", device="cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("mode", ["eager", "compiled", "graph"])
@pytest.mark.parametrize("dtype", ["float32", "tf32", "bf16"])
@pytest.mark.parametrize("passing", ["inference", "step"])
def test_on_a_gpu(mode: str, dtype: str, passing: str) -> None:
    settings = {"mode": mode, "dtype": dtype, "passing": passing, "device": "cuda", "format": "nhwc"}
    ready = prepare(Case("unit:preact", "64@8", **settings))
    try:
        ready.step()
        torch.cuda.synchronize()
        if passing == "step":
            assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in ready.module.parameters())
    finally:
        ready.close()
