"""Two networks with the same weights: the gradients that their inputs and parameters get.

In float64 rounding is no matter.  In float32 it is: where rounding turns the sign of a ReLU's argument, the gradient
jumps.  How far is measured, on the old network with its images moved by what rounding may change.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from resbench.experiments.against_compare import (
    MOST,
    Comparison,
    Inputs,
    Mode,
    Pair,
    Side,
    Where,
    in_mode,
    relative_difference,
    unrepeatable,
)
from resbench.experiments.against_weights import parameters_of

__all__ = ["gradients"]

FLOOR = 1e-3
"""A parameter's gradients are compared on the scale of its largest, or of this share of the network's largest: what
batch normalisation makes zero (the bias before it) is rounding noise in both networks."""

ROUNDING = 0.01
"""The share of the tolerance by which images are moved: ``eps sum_l sqrt(n_l) / 10``.  The gradients of two ResNet-50
of different memory formats differed in float32 by at most half of what this gives."""


@dataclass(frozen=True)
class _Gradients:
    """Of the input, and of every parameter by name; what no gradient reaches has None."""

    input: Tensor | None
    parameters: dict[str, Tensor | None]

    @property
    def largest(self) -> float:
        return max((float(g.abs().max()) for g in self.parameters.values() if g is not None and g.numel()), default=0.0)


def gradients(pair: Pair, inputs: Inputs, mode: Mode, where: Where) -> tuple[Comparison, Comparison]:
    """The gradients that the input and the parameters get, of cross-entropy or of a random linear functional."""
    new, old = (_gradients(pair, side, inputs, mode) for side in pair.sides)
    setting = f"{mode} mode, {inputs.words}"
    tolerances = _tolerances(pair, inputs, mode, old)
    input_difference, said = _difference(new.input, old.input, 0.0)
    rows = _by_parameter(new, old, pair.match.parameters)
    worst = max((far for _, far, _ in rows), key=lambda far: (math.isnan(far), far), default=0.0)
    agree = [far <= tolerance for far, tolerance in zip((input_difference, worst), tolerances, strict=True)]
    random = "" if all(agree) else unrepeatable(pair, inputs, mode)
    located = "" if all(agree) or random else where(pair, inputs, mode)
    unmatched = f"parameters cannot be matched: {pair.match.detail}" if pair.match.how == "own" else ""
    found = (
        ("input gradient", input_difference, said, random),
        ("parameter gradients", worst, _words(rows, tolerances[1]), unmatched or random),
    )
    first, second = (
        Comparison(f"{name}, {setting}", far, tolerance, "" if equal else _joined(located, words), reason)
        for (name, far, words, reason), tolerance, equal in zip(found, tolerances, agree, strict=True)
    )
    return first, second


def _joined(*sentences: str) -> str:
    return "; ".join(filter(None, sentences))


def _words(rows: list[tuple[str, float, str]], tolerance: float) -> str:
    """The last parameter that differs: gradients come from the end, so it is the nearest to the cause."""
    differing = [row for row in rows if not row[1] <= tolerance]
    if not differing:
        return ""
    name, far, words = differing[-1]
    return f"{name} {words or f'differs by {far:.2g}'} ({len(differing)} of {len(rows)} parameters differ)"


def _by_parameter(new: _Gradients, old: _Gradients, pairs: tuple[tuple[str, str], ...]) -> list[tuple[str, float, str]]:
    """Name in the new network, difference and words of every parameter."""
    floor = FLOOR * max(new.largest, old.largest)
    return [(mine, *_difference(new.parameters[mine], old.parameters[theirs], floor)) for mine, theirs in pairs]


def _difference(new: Tensor | None, old: Tensor | None, floor: float) -> tuple[float, str]:
    """A gradient that is absent is zero, and said to be absent."""
    if new is None and old is None:
        return 0.0, ""
    if new is None or old is None:
        present = old if new is None else new
        assert present is not None
        words = f"gets a gradient in the {'old' if new is None else 'new'} network only"
        return relative_difference(present, torch.zeros_like(present), floor=floor), words
    return relative_difference(new, old, floor=floor), ""


def _tolerances(pair: Pair, inputs: Inputs, mode: Mode, old: _Gradients) -> tuple[float, float]:
    """For the input's gradient and the parameters': the pair's, or in float32 what rounding changes if that is more."""
    of_input = of_parameters = pair.tolerance
    if pair.dtype == torch.float64:
        return of_input, of_parameters
    names = tuple((name, name) for name in old.parameters)
    for seed in (43, 47):
        noise = torch.randn(inputs.images.shape, generator=torch.Generator().manual_seed(seed))
        moved = inputs.images * (1.0 + ROUNDING * pair.tolerance * noise.to(inputs.images))
        other = _gradients(pair, pair.old, Inputs(inputs.words, moved, inputs.labels), mode)
        of_input = max(of_input, _difference(other.input, old.input, 0.0)[0])
        of_parameters = max(of_parameters, *(far for _, far, _ in _by_parameter(other, old, names)))
    return min(MOST, of_input), min(MOST, of_parameters)


def _gradients(pair: Pair, side: Side, inputs: Inputs, mode: Mode) -> _Gradients:
    from resbench.adapters import output_of

    with in_mode(side, mode, pair.seed) as network, torch.enable_grad():
        given: dict[str, Tensor | None] = dict.fromkeys(parameters_of(network))
        learned = {name: p for name, p in parameters_of(network).items() if p.requires_grad}
        leaf = inputs.images.to(pair.dtype, copy=True).requires_grad_()
        output = output_of(network(leaf.clone()))
        if not output.requires_grad:
            return _Gradients(None, given)
        sources = [leaf, *learned.values()]
        found = torch.autograd.grad(_functional(output, inputs.labels), sources, allow_unused=True)
    return _Gradients(found[0], given | dict(zip(learned, found[1:], strict=True)))


def _functional(output: Tensor, labels: Tensor | None) -> Tensor:
    """Cross-entropy where it can be had; else a linear functional, whose coefficients are standard normal."""
    if labels is not None and output.ndim == 2 and int(labels.max()) < output.shape[1]:
        return F.cross_entropy(output, labels)
    generator = torch.Generator().manual_seed(37)
    return (output * torch.randn(output.shape, generator=generator, dtype=torch.float64).to(output)).sum()
