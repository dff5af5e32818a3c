"""Batch normalisation folded into the layer before it: the same function, and only where nobody else looks."""

from __future__ import annotations

import copy

import pytest
import torch
from tests.lesions.lesion_nets import Net, settled
from torch import Tensor, nn

from resbench.adapters.folding import fold_batch_norms
from resbench.adapters.graph import Graph
from resbench.adapters.recording import record

X = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(2))


def folded(model: nn.Module, x: Tensor = X, borders: tuple[int, ...] = ()) -> tuple[nn.Module, int]:
    own = copy.deepcopy(model)
    return own, fold_batch_norms(Graph(record(own, x)), borders)


@pytest.mark.parametrize(("kind", "count"), [("post", 11), ("pre", 6)])
def test_the_same_function(kind: str, count: int) -> None:
    """Post-activation: every one; pre-activation: the stem's and the second of each unit."""
    model = settled(Net(kind))
    own, found = folded(model)
    assert found == count
    torch.testing.assert_close(own(X), model(X), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(own(X[:1]), model(X[:1]), rtol=1e-5, atol=1e-5)


def test_by_hand() -> None:
    """``2 x + 1``, less 3, over the root of 4 (variance 4 without eps), times 10, plus 7."""
    layer, norm = nn.Linear(1, 1), nn.BatchNorm1d(1, eps=0.0)
    layer.weight.data.fill_(2.0)
    layer.bias.data.fill_(1.0)
    norm.running_mean.fill_(3.0)  # type: ignore[union-attr]
    norm.running_var.fill_(4.0)  # type: ignore[union-attr]
    norm.weight.data.fill_(10.0)
    norm.bias.data.fill_(7.0)
    own, found = folded(nn.Sequential(layer, norm).eval(), torch.ones(2, 1))
    assert found == 1
    assert own[0].weight.item() == 10.0  # type: ignore[index]
    assert own[0].bias.item() == (1 - 3) * 5 + 7  # type: ignore[index]
    assert own(torch.tensor([[1.5]])).item() == (2 * 1.5 + 1 - 3) / 2 * 10 + 7


class Read(nn.Module):
    """The convolution's result is read by the normalisation and by an addition."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.bn(y) + y


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(self.bn(self.conv(x))))


class Standardised(nn.Conv2d):
    """Weights that are computed from the parameters."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, self.weight - self.weight.mean(), self.bias)


class Scaled(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 2


@pytest.mark.parametrize(
    "model",
    [
        Read(),
        Twice(),
        nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.BatchNorm2d(3)),
        nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)),
        nn.Sequential(Standardised(3, 3, 1), nn.BatchNorm2d(3)),
        nn.Sequential(nn.Conv2d(3, 3, 1), Scaled(3)),
        nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)),
    ],
    ids=["read", "twice", "relu between", "before", "standardised", "scaled", "batch statistics"],
)
def test_left_alone(model: nn.Module) -> None:
    model = (
        settled(model)
        if all(m.track_running_stats for m in model.modules() if isinstance(m, nn.BatchNorm2d))
        else model
    )
    model.eval()
    own, found = folded(model)
    assert found == 0
    torch.testing.assert_close(own(X), model(X), rtol=0, atol=0)


def test_not_across_a_unit_s_border() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)).eval()
    own = copy.deepcopy(model)
    graph = Graph(record(own, X))
    between = graph.recording.calls[1].result.value
    assert fold_batch_norms(graph, (between,)) == 0
    assert fold_batch_norms(graph) == 1
