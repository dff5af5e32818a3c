"""The same weights in two networks: which parameter of one is which of the other, and both lent them for a while.

A refactored network is a function of the old network's weights.  They are matched by name where names and shapes
agree, else by order.  Nothing here leaves a network changed: parameters, buffers and modes are those of before, the
same tensor objects, when the context ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from resbench.errors import UserError
from resbench.experiments.probes import copied, modes_kept

__all__ = ["CannotMatch", "Match", "buffers_of", "lent", "match", "parameters_of", "restored", "seeded"]

_SHOWN = 2
_COUNTER = "num_batches_tracked"
"""A batch normalisation's counter: read only where its momentum is None, and absent from functional rewrites."""

Pairs = tuple[tuple[str, str], ...]


class CannotMatch(UserError):
    """No parameter of the new network can be told to be one of the old."""


@dataclass(frozen=True)
class Match:
    """Pairs (name in the new network, name in the old); ``how`` they were found, ``detail`` says it in words.

    ``own``: nothing is matched, each network has the weights that its own checkpoint gave it.
    """

    how: Literal["name", "order", "execution", "own"]
    parameters: Pairs = ()
    buffers: Pairs = ()
    detail: str = ""

    @property
    def reversed(self) -> Match:
        """The same, seen from the old network."""
        parameters, buffers = (tuple((b, a) for a, b in pairs) for pairs in (self.parameters, self.buffers))
        return Match(self.how, parameters, buffers, self.detail)


def parameters_of(network: nn.Module) -> dict[str, nn.Parameter]:
    """Every parameter by name; one that several modules share is listed under each of its names."""
    return dict(network.named_parameters(remove_duplicate=False))


def buffers_of(network: nn.Module) -> dict[str, Tensor]:
    """The buffers that a state_dict would hold, by name."""
    return {
        f"{path}.{name}" if path else name: buffer
        for path, module in network.named_modules(remove_duplicate=False)
        for name, buffer in module._buffers.items()
        if buffer is not None and name not in module._non_persistent_buffers_set
    }


def match(new: nn.Module, old: nn.Module, batch: Tensor, *, own: bool = False) -> Match:
    """Which tensor of ``new`` takes the value of which of ``old``.

    By name; else by the order in which the modules were registered, where the sequences of shapes and dtypes agree;
    else by the order in which they are first called on ``batch``.  ``own``: both have weights of their own, so that
    networks that cannot be matched may still be compared as they are.

    Raises:
        CannotMatch: none of it works; the message names the first differences.
    """
    mine, theirs = (parameters_of(new), buffers_of(new)), (parameters_of(old), buffers_of(old))
    for dropped in ((), (_COUNTER,)):
        ours = [_without(tensors, dropped) for tensors in mine]
        others = [_without(tensors, dropped) for tensors in theirs]
        left_out = f", without {_COUNTER}" if dropped else ""
        if all(_shapes(one) == _shapes(other) for one, other in zip(ours, others, strict=True)):
            parameters, buffers = (tuple((name, name) for name in tensors) for tensors in ours)
            return Match("name", parameters, buffers, f"weights matched by name{left_out}")
        pairs = [_in_order(one, other) for one, other in zip(ours, others, strict=True)]
        if pairs[0] is not None and pairs[1] is not None:
            return _ordered("order", "matched by order", pairs[0], pairs[1], left_out)
        paths = _called(new, batch), _called(old, batch)
        if paths[0] and paths[1]:
            pairs = [
                _in_order(_sorted(one, paths[0]), _sorted(other, paths[1]))
                for one, other in zip(ours, others, strict=True)
            ]
            if pairs[0] is not None and pairs[1] is not None:
                return _ordered("execution", "matched by order of execution", pairs[0], pairs[1], left_out)
    differences = _differences({**mine[0], **mine[1]}, {**theirs[0], **theirs[1]})
    if own:
        return Match("own", detail=f"each with its own weights ({differences})")
    raise CannotMatch(differences)


def _without(tensors: Mapping[str, Tensor], dropped: Sequence[str]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(tuple(dropped))}


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}


def _in_order(new: Mapping[str, Tensor], old: Mapping[str, Tensor]) -> Pairs | None:
    if list(_shapes(new).values()) != list(_shapes(old).values()):
        return None
    return tuple(zip(new, old, strict=True))


def _ordered(how: Literal["order", "execution"], words: str, parameters: Pairs, buffers: Pairs, rest: str) -> Match:
    renamed = [f"{new} <- {old}" for new, old in parameters + buffers if new != old]
    shown = ", ".join(renamed[:_SHOWN]) + (", ..." if len(renamed) > _SHOWN else "")
    return Match(how, parameters, buffers, f"weights {words}{rest}: {shown}")


def _called(network: nn.Module, batch: Tensor) -> list[str]:
    """The modules that own tensors in the order of their first call; empty where one of them is never called."""
    owners = {path: module for path, module in network.named_modules() if module._parameters or module._buffers}
    order: list[str] = []

    def noted(path: str) -> None:
        if path not in order:
            order.append(path)

    with ExitStack() as stack:
        stack.enter_context(restored(network, parameters=False))
        for path, module in owners.items():
            handle = module.register_forward_pre_hook(lambda _, __, path=path: noted(path))
            stack.callback(handle.remove)
        with torch.no_grad():
            network.eval()(batch.clone())
    return order if len(order) == len(owners) else []


def _sorted(tensors: Mapping[str, Tensor], paths: Sequence[str]) -> dict[str, Tensor]:
    rank = {path: index for index, path in enumerate(paths)}
    names = sorted(tensors, key=lambda name: rank.get(name.rpartition(".")[0], len(rank)))
    return {name: tensors[name] for name in names}


def _differences(new: Mapping[str, Tensor], old: Mapping[str, Tensor]) -> str:
    """The first differences, in names and shapes."""
    if len(new) != len(old):
        count = f"{len(new)} parameters and buffers against {len(old)}"
    else:
        count = f"{len(new)} parameters and buffers each"
    shared = [name for name in new if name in old]
    found = [
        f"{name} is {_size(new[name])}, was {_size(old[name])}" for name in shared if _unlike(new[name], old[name])
    ]
    found = found[:_SHOWN]
    for word, ones, others in (("new", new, old), ("old", old, new)):
        found += [f"only the {word} one has {name} {_size(ones[name])}" for name in ones if name not in others][:_SHOWN]
    for number, (mine, theirs) in enumerate(zip(new, old, strict=False), start=1):
        if _unlike(new[mine], old[theirs]):
            found.append(f"in order, number {number} is {mine} {_size(new[mine])}, was {theirs} {_size(old[theirs])}")
            break
    return f"{count}; {', '.join(found)}"


def _unlike(one: Tensor, other: Tensor) -> bool:
    return (one.shape, one.dtype) != (other.shape, other.dtype)


def _size(tensor: Tensor) -> str:
    dtype = "" if tensor.dtype == torch.float32 else f" {tensor.dtype}".replace("torch.", "")
    return f"{tuple(tensor.shape)}{dtype}"


@contextmanager
def restored(*networks: nn.Module, parameters: bool = True, dtype: torch.dtype | None = None) -> Iterator[None]:
    """Copies of the parameters and buffers in their place, in ``dtype`` where given; all as before afterwards.

    ``parameters``: False where only a pass is run, which changes buffers at most.
    """
    with modes_kept(*networks), copied(*networks, dtype=dtype, parameters=parameters):
        yield


@contextmanager
def lent(
    giver: nn.Module, taker: nn.Module, found: Match, *, dtype: torch.dtype, lived_in: Tensor | None
) -> Iterator[None]:
    """Both networks in eval mode and ``dtype`` with the giver's weights; both as before afterwards.

    ``found``: pairs (name in the taker, name in the giver).  ``lived_in``: images.  Weights that are constant at
    initialisation (0 and 1: the last BN of a branch, biases, layer scales) and statistics that no data have been
    through would hide a layer that is missing or misplaced: they are drawn, and measured on the images.
    """
    with restored(giver, taker, dtype=dtype), seeded(giver, 0):
        giver.eval()
        taker.eval()
        if lived_in is not None:
            _live_in(giver, lived_in.to(dtype))
        for pairs, taken, given in (
            (found.parameters, parameters_of(taker), parameters_of(giver)),
            (found.buffers, buffers_of(taker), buffers_of(giver)),
        ):
            with torch.no_grad():
                for name, source in pairs:
                    taken[name].copy_(given[source])
        yield


@contextmanager
def seeded(network: nn.Module, seed: int) -> Iterator[None]:
    """Random numbers from ``seed`` on the CPU and the network's device; the generators' states are put back."""
    devices = {p.device for p in network.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=list(devices)):
        torch.manual_seed(seed)
        yield


@torch.no_grad()
def _live_in(network: nn.Module, images: Tensor) -> None:
    generator = torch.Generator().manual_seed(31)

    def drawn(like: Tensor, low: float, high: float) -> Tensor:
        numbers = torch.rand(like.shape, generator=generator, dtype=torch.float64)
        return (low + (high - low) * numbers).to(like)

    for parameter in network.parameters():
        first = parameter.flatten()[:1]
        if parameter.is_floating_point() and bool((parameter == first).all()):
            zero = not bool(first.any())
            parameter.copy_(drawn(parameter, -0.4, 0.4) if zero else first * drawn(parameter, 0.5, 1.5))
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.running_var is not None and _fresh(m)]
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 1.0
            norm.training = True
        network(images.clone())
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.training = False


def _fresh(norm: _BatchNorm) -> bool:
    mean, variance = norm.running_mean, norm.running_var
    return mean is not None and variance is not None and not bool(mean.any()) and bool((variance == 1).all())
