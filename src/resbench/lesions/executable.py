"""A network ready for lesions: its stem, its steps one by one, its head, as fast as inference allows."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from resbench.adapters import CannotAdapt, ResidualUnit, adapt, edited, output_of
from resbench.adapters.adapting import found_in
from resbench.adapters.cutting import Cut, cut
from resbench.adapters.folding import fold_batch_norms
from resbench.lesions.accelerating import graphed
from resbench.lesions.plans import Plan, deleted, whole
from resbench.lesions.trie import Step

__all__ = ["Executable", "Prepared", "cut_executable", "prepare", "step_by_step"]

Map = Callable[[Tensor], Tensor]
_Built = tuple[tuple["Executable", ...], int]

TOLERANCE = 1e-3
"""Of logits, relative to the largest: what folding and another memory layout may change by rounding.  Measured in
float32 under lesions: up to 9e-7 for a ResNet-56 on CIFAR-10, 4e-7 to 1.5e-6 for five networks of torchvision and timm
at 64 pixels."""

_FEW = 4
"""Images that tell how a network is cut; a check costs ten passes."""


@dataclass(frozen=True)
class Executable:
    """``head(steps(stem(images)))`` for batches of one size, in one thread at a time.

    ``take(step, x)`` leaves ``x`` as it is.  ``between``: the positions after which a step stands that is no unit.
    ``units``: where they are adapted ones, on the modules that this executable runs.
    """

    count: int
    between: frozenset[int]
    stem: Map
    take: Callable[[Step, Tensor], Tensor]
    head: Map
    units: Sequence[ResidualUnit] = ()


class Lesionable(Protocol):
    """What :func:`prepare` needs of a target."""

    @property
    def model(self) -> nn.Module: ...
    @property
    def units(self) -> list[ResidualUnit]: ...
    @property
    def globs(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Prepared:
    """``workers``: one executable for each thread, none where the model can only be run whole.

    ``folded``: batch normalisations folded into convolutions.  ``error``: largest difference of the logits from those
    of the live model, relative; ``reason``: why the model is not cut, or not copied.  ``own``: the executables run a
    copy.
    """

    workers: tuple[Executable, ...]
    folded: int = 0
    error: float = 0.0
    reason: str = ""
    own: bool = False
    units: Sequence[ResidualUnit] = ()
    any_size: bool = False


def prepare(target: Lesionable, example: Tensor, *, workers: int = 1, dtype: torch.dtype = torch.float32) -> Prepared:
    """Cut a target into steps and check them against the live model under lesions.

    An own copy of the model gets its batch normalisations folded and its images and weights in channels-last order;
    where that fails or gives something else, the live model itself is cut; where that fails, lesions edit it.  A few
    images are enough for that, unless the forward pass fixes their number.

    Args:
        example: ``(N, C, H, W)``, normalised; executables take batches of N images.
        workers: threads that will run at the same time; each gets modules of its own, on shared weights.
    """
    if len(example) > _FEW and not example.is_cuda:  # a CUDA graph is of the size that it was captured with
        found = _prepared(target, example[:_FEW], workers, dtype)
        if found.workers and _takes(found, example[:_FEW], example[: 2 * _FEW - 1]):
            return replace(found, any_size=True)
    found = _prepared(target, example, workers, dtype)
    fits = bool(found.workers) and _takes(found, example, example[: max(1, len(example) // 2)])
    return replace(found, any_size=fits)


def _prepared(target: Lesionable, example: Tensor, workers: int, dtype: torch.dtype) -> Prepared:
    reasons = []
    # A forward pass may have fixed the number of images, and with it the units that were recorded in it.
    try:
        units = adapt(target.model, example, units=target.globs) if len(example) > 1 else target.units
    except CannotAdapt:
        units = target.units
    for build in (_copied, _copied_in_order, _live):
        try:
            found, folded = build(target, example, workers, dtype)
            error = _difference(target.model, units, found[0], example)
        except (CannotAdapt, NotImplementedError, RuntimeError, TypeError, ValueError, AttributeError) as failure:
            reasons.append(" ".join(str(failure).split()) or type(failure).__name__)
            continue
        if error <= (TOLERANCE if dtype == torch.float32 else float("inf")):
            return Prepared(found, folded, error, _once(reasons), build is not _live, units)
        reasons.append(f"its parts one after the other differ from the whole by {error:.1g}")
    return Prepared((), reason=_once(reasons), units=units)


def _takes(prepared: Prepared, one: Tensor, other: Tensor) -> bool:
    """Whether batches of two sizes give the images that they share the same logits, whole and under lesions."""
    shared = min(len(one), len(other))
    with torch.inference_mode():
        for plan in _tried(prepared.units):
            try:
                first, second = (step_by_step(prepared.workers[0], plan, each) for each in (one, other))
            except (RuntimeError, ValueError):
                return False
            if len(first) != len(one) or len(second) != len(other):
                return False
            scale = float(first.abs().max()) or 1.0
            if not float((first[:shared] - second[:shared]).abs().max()) <= TOLERANCE * scale:
                return False
    return True


def _once(reasons: Sequence[str]) -> str:
    return "; ".join(dict.fromkeys(reasons))


def _copied(target: Lesionable, example: Tensor, workers: int, dtype: torch.dtype) -> _Built:
    """In channels-last order, where a core convolves faster."""
    if example.dim() != 4:
        raise CannotAdapt("not images")
    return _copy(target, example, workers, dtype, torch.channels_last)


def _copied_in_order(target: Lesionable, example: Tensor, workers: int, dtype: torch.dtype) -> _Built:
    """For code that takes the order of a tensor's numbers for granted (``x.view(len(x), -1)``)."""
    return _copy(target, example, workers, dtype, torch.contiguous_format)


def _copy(target: Lesionable, example: Tensor, workers: int, dtype: torch.dtype, layout: torch.memory_format) -> _Built:
    model = copy.deepcopy(target.model).eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    found = found_in(model, example[:2], target.globs)
    folded = fold_batch_norms(found.graph, {end for e in found.extents for end in (e.entry, e.output)})
    model = model.to(dtype)
    if layout is torch.channels_last:
        model = model.to(memory_format=layout)
    weights: dict[int, object] = {id(t): t for t in (*model.parameters(), *model.buffers())}
    copies = [model, *(copy.deepcopy(model, dict(weights)) for _ in range(workers - 1))]
    return tuple(_of(each, target, example, dtype, layout) for each in copies), folded


def _live(target: Lesionable, example: Tensor, workers: int, dtype: torch.dtype) -> _Built:
    """One executable whatever ``workers`` are: two threads must not run the same modules."""
    if dtype != torch.float32:
        raise CannotAdapt("only a copy can be of another type")
    return (_of(target.model, target, example, dtype, torch.contiguous_format),), 0


def _of(
    model: nn.Module, target: Lesionable, example: Tensor, dtype: torch.dtype, layout: torch.memory_format
) -> Executable:
    parts = cut(model, example.contiguous(memory_format=layout).to(dtype), units=target.globs)
    return cut_executable(parts, dtype, layout)


def cut_executable(
    parts: Cut, dtype: torch.dtype = torch.float32, layout: torch.memory_format = torch.contiguous_format
) -> Executable:
    """A cut network as an executable: images and logits are float32 whatever the type and order within."""
    units = parts.units
    on_gpu = bool(units) and units[0].example.is_cuda
    runs: list[Map] = graphed(units) if on_gpu else [unit.pieces.get("run", unit.run) for unit in units]

    def take(step: Step, x: Tensor) -> Tensor:
        if step.kind == "apply":
            return runs[step.at](x)
        return parts.between[step.at](x) if step.kind == "between" else units[step.at].without_branch(x)

    between = frozenset(i for i, part in enumerate(parts.between) if not part.trivial)
    return Executable(
        len(units),
        between,
        lambda images: parts.stem(images.contiguous(memory_format=layout).to(dtype)),
        take,
        lambda x: output_of(parts.head(x)).float(),
        units,
    )


def step_by_step(executable: Executable, plan: Plan, images: Tensor) -> Tensor:
    """The logits of one plan."""
    from resbench.lesions.trie import steps_of

    value = executable.stem(images)
    for step in steps_of(plan, executable.between):
        value = executable.take(step, value)
    return executable.head(value)


def _difference(model: nn.Module, units: Sequence[ResidualUnit], executable: Executable, example: Tensor) -> float:
    """Largest difference of the logits from those of the live model, whole and under lesions, relative."""
    worst = 0.0
    with torch.inference_mode():
        for plan in _tried(units):
            with edited(units, plan):
                expected = output_of(model(example)).float()
            found = step_by_step(executable, plan, example)
            scale = float(expected.abs().max()) or 1.0
            difference = float((found - expected).abs().max()) / scale
            worst = max(worst, difference) if difference == difference else float("inf")
    return worst


def _tried(units: Sequence[ResidualUnit]) -> Iterator[Plan]:
    """The whole network; without its first, a middle and its last deletable unit; with two units exchanged."""
    count = len(units)
    yield whole(count)
    deletable = [unit.index for unit in units if unit.deletable]
    for index in dict.fromkeys([deletable[0], deletable[len(deletable) // 2], deletable[-1]] if deletable else []):
        yield deleted(count, [index])
    groups: dict[int, list[int]] = {}
    for unit in units:
        if unit.group is not None:
            groups.setdefault(unit.group, []).append(unit.index)
    for members in groups.values():
        if len(members) > 1:
            order = list(range(count))
            order[members[0]], order[members[-1]] = members[-1], members[0]
            yield tuple((j,) for j in order)
            return
