"""Weights lent as copies, modes, threads: everything is put back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from resbench.experiments.probes import copied, modes_kept, noise
from resbench.experiments.threads import one_thread
from resbench.experiments.unit_probes import working_copy


class Stateful(nn.Module):
    """Fills a buffer that was None, adds one, takes one away, and exchanges one for another tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.register_buffer("empty", None)
        self.register_buffer("whole", torch.arange(3))
        self.register_buffer("lost", torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        self.empty = torch.ones(1)
        self.whole = self.whole + 1
        del self.lost
        self.register_buffer("added", torch.ones(1))
        return self.norm(x)  # type: ignore[no-any-return]


def held(model: nn.Module) -> list[tuple[str, int, Tensor]]:
    tensors = [*model.named_parameters(), *model.named_buffers()]
    return [(name, id(tensor), tensor.detach().clone()) for name, tensor in tensors]


def same(model: nn.Module, before: list[tuple[str, int, Tensor]]) -> bool:
    after = held(model)
    return [entry[:2] for entry in after] == [entry[:2] for entry in before] and all(
        torch.equal(a, b) and a.dtype == b.dtype for (*_, a), (*_, b) in zip(after, before, strict=True)
    )


@pytest.mark.parametrize("raised", [False, True])
def test_what_a_pass_and_an_edit_change_is_put_back(raised: bool) -> None:
    model = Stateful()
    before, keys = held(model), list(model._buffers)
    weight = model.norm.weight
    with pytest.raises(ValueError, match="x") if raised else torch.no_grad(), copied(model, dtype=torch.float64):
        assert weight is model.norm.weight
        assert (weight.dtype, model.whole.dtype) == (torch.float64, torch.int64)
        weight.data.fill_(7.0)
        model(torch.randn(2, 3, 4, 4, dtype=torch.float64))
        assert model.empty is not None
        if raised:
            raise ValueError("x")
    assert same(model, before)
    assert list(model._buffers) == keys
    assert model.empty is None


def test_only_buffers_are_copied_where_only_a_pass_is_run() -> None:
    model = nn.BatchNorm2d(3)
    places = model.weight.data_ptr(), model.running_mean.data_ptr()  # type: ignore[union-attr]
    with copied(model, parameters=False):
        assert model.weight.data_ptr() == places[0]
        assert model.running_mean.data_ptr() != places[1]  # type: ignore[union-attr]
    assert model.running_mean.data_ptr() == places[1]  # type: ignore[union-attr]


def test_modes_of_every_module_are_kept() -> None:
    one, other = nn.Sequential(nn.Linear(1, 1), nn.Dropout()), nn.Dropout().eval()
    one[1].eval()
    with modes_kept(one, other):
        one.eval()
        other.train()
    assert [module.training for module in (*one.modules(), other)] == [True, True, False, False]


def test_a_working_copy_puts_modes_and_flags_back() -> None:
    model = nn.BatchNorm2d(3)
    model.bias.requires_grad_(False)
    before = held(model)
    with working_copy(model, torch.float64):
        assert (model.training, model.weight.dtype) == (False, torch.float64)
        model.weight.requires_grad_(False)
        model.bias.requires_grad_(True)
    assert (model.training, model.weight.requires_grad, model.bias.requires_grad) == (True, True, False)
    assert same(model, before)


def test_random_inputs_are_those_of_their_seed() -> None:
    like = torch.zeros(2, 3, dtype=torch.float32)
    assert torch.equal(noise(like, 5), noise(like.double(), 5).float())
    assert not torch.equal(noise(like, 5), noise(like, 6))


def test_operators_get_their_threads_back() -> None:
    torch.set_num_threads(2)  # put back by the fixture that gives every test one
    inside = []

    def fail() -> None:
        with one_thread():
            inside.append(torch.get_num_threads())
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    assert (inside, torch.get_num_threads()) == ([1], 2)
