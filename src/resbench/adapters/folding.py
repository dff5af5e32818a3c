"""Batch normalisation folded into the convolution before it, for inference.

In eval mode ``bn(conv(x))`` is a convolution with other weights (Jacob 2018, arXiv:1712.05877, section 3.2).  That is
legal where nothing else reads the convolution's result, each of the two is called once in a pass, and no unit begins or
ends between them (a lesion would part them).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resbench.adapters.graph import Graph
from resbench.adapters.values import Call, Op, Ref

__all__ = ["fold_batch_norms"]

_WEIGHTED = (F.conv1d, F.conv2d, F.conv3d, F.linear)


@torch.no_grad()
def fold_batch_norms(graph: Graph, borders: Collection[int] = ()) -> int:
    """Fold where it is legal, in the live modules that ``graph`` was recorded from; returns how many were folded.

    The model must be in eval mode and one's own copy: its weights change, and it cannot be trained any more.

    Args:
        borders: values at which units begin and end.
    """
    recording = graph.recording
    times = Counter(id(call.module) for call in recording.calls)
    count = 0
    for norm in recording.calls:
        layer = _layer_before(graph, norm, borders)
        if layer is None or times[id(norm.module)] > 1 or times[id(layer)] > 1:
            continue
        if _fold(layer, norm.module):
            count += 1
    return count


def _layer_before(graph: Graph, norm: Call, borders: Collection[int]) -> nn.Module | None:
    """The convolution or linear layer whose result only ``norm`` reads."""
    recording = graph.recording
    if not isinstance(norm.module, nn.modules.batchnorm._BatchNorm) or not norm.args or norm.kwargs:
        return None
    given, *further = norm.args
    if any(argument is not None for argument in further):  # None: an option that is not used, as of our own layers
        return None
    if not isinstance(given, Ref) or given.value in borders or given.value == recording.input:
        return None
    op = recording.op_of(given.value)
    if op.function not in _WEIGHTED or len(graph.users[given.value]) != 1 or not _lone(graph, norm):
        return None
    call = recording.calls[op.calls[-1]]
    return call.module if call.result == given and call.end - call.start == 1 and _own_weight(call.module, op) else None


def _lone(graph: Graph, norm: Call) -> bool:
    """Whether the call does a batch normalisation and nothing else."""
    ops = graph.recording.ops[norm.start : norm.end]
    return len(ops) == 1 and ops[0].function is F.batch_norm


def _own_weight(layer: nn.Module, op: Op) -> bool:
    """Whether the operation uses just the layer's own parameters (no weight standardisation, no masks)."""
    own = {id(p) for name in ("weight", "bias") if (p := layer._parameters.get(name)) is not None}
    given = {id(a) for a in (*op.args, *op.kwargs.values()) if isinstance(a, Tensor)}
    return (
        isinstance(layer, nn.modules.conv._ConvNd | nn.Linear)
        and given == own
        and not hasattr(layer, "parametrizations")
    )


def _fold(layer: nn.Module, norm: nn.Module) -> bool:
    assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
    if norm.running_mean is None or norm.running_var is None:
        return False
    scale = torch.rsqrt(norm.running_var.double() + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    weight = layer._parameters["weight"]
    bias = layer._parameters.get("bias")
    assert weight is not None
    before = 0.0 if bias is None else bias.double()
    shift = (before - norm.running_mean.double()) * scale + (0.0 if norm.bias is None else norm.bias.double())
    shaped = scale.view(-1, *(1,) * (weight.dim() - 1))
    layer._parameters["weight"] = nn.Parameter((weight.double() * shaped).to(weight.dtype), requires_grad=False)
    layer._parameters["bias"] = nn.Parameter(shift.to(weight.dtype), requires_grad=False)
    norm.__dict__["forward"] = _unchanged
    return True


def _unchanged(input: Tensor, *_: None) -> Tensor:
    return input
