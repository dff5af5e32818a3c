"""The refactor check: is a network the same function of the old network's weights as the old one was?

A rewrite of residual code must change neither outputs nor gradients, neither the units nor what deleting one of them
does.  Both networks get the old one's weights (the new one's where only those are trained), in float64 where both run
in it, and the same inputs: images of random numbers, and the given data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor, nn

from resbench.errors import NotMeasured, UserError
from resbench.experiments.against_compare import (
    Comparison,
    Inputs,
    Pair,
    Side,
    buffers,
    outputs,
    tolerance_of,
)
from resbench.experiments.against_gradients import gradients
from resbench.experiments.against_units import (
    first_difference,
    first_gradient_difference,
    lesions,
    renamed,
    structure,
)
from resbench.experiments.against_weights import CannotMatch, Match, lent, match, restored, seeded
from resbench.experiments.probes import noise
from resbench.experiments.reading import reads
from resbench.records.measurement import Measurement
from resbench.records.results import Result

if TYPE_CHECKING:
    from resbench.targets.images import Images
    from resbench.targets.target import UserTarget

__all__ = ["Part", "against", "agreement", "compared", "structure_differences"]

Part = Literal[
    "outputs in eval mode",
    "outputs in train mode",
    "input gradient",
    "parameter gradients",
    "buffers after a train step",
    "lesion profile",
]

RANDOM_IMAGES = 4
DATA_IMAGES = 32
DATA_PIXELS = 32 * 64 * 64
"""Of the given data as many images as have together these pixels, 4 to 32: each passes every lesion twice."""


class _Member(Protocol):
    @property
    def target(self) -> UserTarget: ...

    @property
    def against(self) -> UserTarget | None: ...


def against(member: _Member) -> dict[str, Any]:
    """Compare the target with the network given as ``--against``; see :func:`compared`.

    Raises:
        NotMeasured: no other network is given.
        UserError: as :func:`compared`.
    """
    if member.against is None:
        raise NotMeasured("no other model to compare with: give --against MODULE:CALLABLE")
    return compared(member.target, member.against)


def compared(new: UserTarget, old: UserTarget) -> dict[str, Any]:
    """All comparisons of two networks; both are left as they were.

    Returns ``structure``: sentences, one a difference; ``renamed``; ``units``: how many; ``match``: how the weights
    were matched; ``parts``: part -> its comparisons, on random images and on the given data; ``errors``: with data, the
    errors of both networks, whole and with each unit deleted; ``reason``: why nothing but structure could be compared.

    Raises:
        UserError: the weights cannot be matched although the units are the same, or a network does not run.
    """
    if new.example.shape[1:] != old.example.shape[1:]:
        shapes = [tuple(target.example.shape[1:]) for target in (new, old)]
        raise UserError(f"{new.name} takes inputs {shapes[0]}, {old.name} {shapes[1]}: give both one --input or --data")
    apart = structure(new.units, old.units)
    result = {
        "structure": apart,
        "renamed": renamed(new.units, old.units),
        "units": len(new.units),
        "match": "",
        "parts": {},
        "errors": {},
        "reason": "",
    }
    images = _random_images(new, old)
    try:
        found = match(new.model, old.model, images, own=new.trained and old.trained)
    except CannotMatch as error:
        said = f"the weights of {old.name} do not fit {new.name}: {error}"
        if not apart:
            raise UserError(
                f"{said}; make names or order match, or give each its own weights (--checkpoint, --against-checkpoint)"
            ) from None
        return result | {"reason": f"the units differ, and {said}"}
    inputs = [Inputs("random images", images)]
    if new.data is not None:
        inputs.append(_given(new.data, new))
    parts, errors = _parts(new, old, found, inputs, lesioned=len(new.units) == len(old.units))
    return result | {"match": found.detail, "parts": parts, "errors": errors}


def _random_images(new: UserTarget, old: UserTarget) -> Tensor:
    """Standard normal numbers; as many images as both examples have where the networks take no other number."""
    least = max(len(new.example), len(old.example))
    size = (max(RANDOM_IMAGES, least), *new.example.shape[1:])
    images = noise(new.example.new_empty(size), new.seed)
    if all(_runs(target.model, images, images.dtype) is None for target in (new, old)):
        return images
    for target in (new, old):
        error = _runs(target.model, images[:least], images.dtype)
        if error is not None:
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise UserError(f"{target.name}: forward raised on images {tuple(images[:least].shape)}: {said[0]}")
    return images[:least]


def _given(data: Images, target: UserTarget) -> Inputs:
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(target.seed))
    _, height, width = data.shape
    fitting = DATA_PIXELS // max(1, height * width)
    chosen = order[: min(DATA_IMAGES, max(RANDOM_IMAGES, fitting))]
    return Inputs(f"{len(chosen)} of the given images", *data.take(chosen, target.device))


def _runs(network: nn.Module, images: Tensor, dtype: torch.dtype) -> Exception | None:
    """None where the network runs in both modes and computes in ``dtype``, what it raised otherwise."""
    from resbench.adapters import output_of

    with restored(network, dtype=dtype), seeded(network, 0), torch.no_grad():
        try:
            for training in (False, True):
                output = output_of(network.train(training)(images.to(dtype, copy=True)))
                if output.dtype != dtype:
                    return TypeError(f"the output is {output.dtype}")
        except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
            return error
    return None


def _parts(
    new: UserTarget, old: UserTarget, found: Match, inputs: Sequence[Inputs], *, lesioned: bool
) -> tuple[dict[Part, list[Comparison]], dict[str, list[float]]]:
    images = inputs[0].images
    double = all(_runs(target.model, images, torch.float64) is None for target in (new, old))
    dtype = torch.float64 if double else images.dtype
    # The old network's weights in both; the new one's where only those are trained.
    forwards = old.trained or not new.trained
    giver, taker, weights = (old, new, found) if forwards else (new, old, found.reversed)
    # A trained network has been through data; its own weights are what is asked about.  Other images than those of the
    # comparison: statistics of the same images would not move in a train step, whatever the momentum.
    lived_in = None if giver.trained or found.how == "own" else noise(images, new.seed + 1)
    tolerance = max(tolerance_of(target.model, dtype) for target in (new, old))
    sides = [Side(target.name, target.model, target.units) for target in (new, old)]
    pair = Pair(sides[0], sides[1], found, dtype, tolerance, new.seed)
    parts: dict[Part, list[Comparison]] = {}
    errors: dict[str, list[float]] = {}
    with lent(giver.model, taker.model, weights, dtype=dtype, lived_in=lived_in):
        for each in inputs:
            through = [gradients(pair, each, mode, first_gradient_difference) for mode in ("eval", "train")]
            rows: dict[Part, list[Comparison]] = {
                "outputs in eval mode": [outputs(pair, each, "eval", first_difference)],
                "outputs in train mode": [outputs(pair, each, "train", first_difference)],
                "input gradient": [row for row, _ in through],
                "parameter gradients": [row for _, row in through],
                "buffers after a train step": [buffers(pair, each)],
            }
            if lesioned:
                profile, errors = lesions(pair, each)
                rows["lesion profile"] = [profile]
            for part, comparisons in rows.items():
                parts.setdefault(part, []).extend(comparisons)
    return parts, errors


@reads(("against", "network"))
def agreement(result: Result, *, network: str, part: Part) -> Measurement:
    """The worst relative difference in one ``part``, in units of its tolerance: 0 is identical, above 1 is different.

    Raises:
        NotMeasured: it could not be compared; with the reason.
    """
    found = result[0]
    comparisons: list[Comparison] = found["parts"].get(part, [])
    if not comparisons:
        raise NotMeasured(found["reason"] or f"the numbers of units differ: {found['structure'][0]}")
    different = [c for c in comparisons if not c.equal and not c.reason]
    unknown = [c.reason for c in comparisons if c.reason]
    if unknown and not different:
        raise NotMeasured(unknown[0])
    # What is not a number comes first: it must never be taken for agreement.
    worst = max(comparisons, key=lambda c: (math.isnan(c.difference), c.difference / c.tolerance))
    if different:
        worst = different[0]
    detail = f"{worst.name}: relative difference {worst.difference:.2g}, tolerance {worst.tolerance:.2g}"
    detail = "; ".join(filter(None, (detail, worst.where, found["match"] if different else "")))
    samples = {c.name: c.difference for c in comparisons}
    samples |= {f"errors, {side}": errors for side, errors in found["errors"].items() if part == "lesion profile"}
    return Measurement(worst.difference / worst.tolerance, detail=detail, samples=samples, n=len(comparisons))


@reads(("against", "network"))
def structure_differences(result: Result, *, network: str) -> Measurement:
    """In how many respects the units differ: number, order, shapes, shortcut, end, deletable, stage, group."""
    found = result[0]
    apart: list[str] = found["structure"]
    more = f" (and {len(apart) - 1} more)" if len(apart) > 1 else ""
    detail = f"{apart[0]}{more}" if apart else "; ".join(filter(None, (f"{found['units']} units", found["renamed"])))
    return Measurement(len(apart), detail=detail, samples={"differences": apart}, n=found["units"])
