"""Does a unit of a user's network pass on its input, and the gradient, exactly?  (He 2016, equations 1, 3 and 5.)

The parameters of the last weight layer of a unit's branch are set to zero, so that the branch contributes nothing,
and the unit's own code is run: on its recorded input, and on random numbers, because a shortcut that is overwritten in
place by a ReLU shows on negative entries only.  What is left is ``after(shortcut(x))``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resbench.adapters import ResidualUnit
from resbench.experiments.probes import noise
from resbench.experiments.unit_probes import precise_copy, relative
from resbench.targets.target import UserMember

__all__ = ["difference_in_words", "unit_shortcuts"]

_CLOSE = 1e-6
"""How well a simple law (a constant factor, a ReLU) must explain a difference to be named as its cause."""


def unit_shortcuts(member: UserMember) -> dict[str, Any]:
    """Largest error of every unit's output and gradient with its branch set to zero.

    Returns one entry a unit: ``names``, ``changes_shape``, ``forward`` and ``backward`` (relative errors, NaN where not
    tested), ``forward_words`` and ``backward_words`` (what is wrong), ``untested`` (why not); and ``dtype``.
    """
    target = member.target
    rows: list[dict[str, Any]] = []
    with precise_copy(target) as dtype:
        for unit in target.units:
            row: dict[str, Any] = {"forward": np.nan, "backward": np.nan, "forward_words": "", "backward_words": ""}
            row |= {"names": unit.name, "changes_shape": unit.changes_shape, "untested": _untestable(unit)}
            if not row["untested"]:
                recorded = unit.example[:2].to(dtype)
                row |= _unit(unit, [recorded, noise(recorded, target.seed + unit.index)])
            rows.append(row)
    return {key: np.array([row[key] for row in rows]) for key in rows[0]} | {"dtype": np.array(str(dtype)[6:])}


def _untestable(unit: ResidualUnit) -> str:
    if not unit.branch_end:
        return "no weight layer that every way through its branch passes"
    if unit.opaque and unit.changes_shape:
        return unit.reason or "its shortcut is not visible"
    return ""


@contextmanager
def _silenced(unit: ResidualUnit) -> Iterator[None]:
    """The unit with the last weight layer of its branch at zero."""
    kept = [(parameter, parameter.data) for _, parameter in unit.branch_end]
    try:
        for parameter, data in kept:
            parameter.data = torch.zeros_like(data)
        yield
    finally:
        for parameter, data in kept:
            parameter.data = data


def _unit(unit: ResidualUnit, inputs: list[Tensor]) -> dict[str, Any]:
    with _silenced(unit):
        with torch.no_grad():
            if not unit.opaque and any(unit.branch(x).any() for x in inputs):
                return {"untested": "its branch is not zero when its last weight layer is"}
            forward = [_forward(unit, x) for x in inputs]
        backward = [_backward(unit, x) for x in inputs[1:]]
    (error, words), (gradient_error, gradient_words) = max(forward), max(backward)
    return {
        "forward": error,
        "forward_words": words,
        "backward": gradient_error,
        "backward_words": gradient_words,
    }


def _expected(unit: ResidualUnit) -> Callable[[Tensor], Tensor]:
    """What the unit is without its branch: the input itself, but for what follows the addition, where shapes allow."""
    if unit.changes_shape:
        return unit.without_branch
    if unit.after_kind == "relu":
        return torch.relu
    return unit.after if unit.after_kind == "other" and not unit.opaque else torch.clone


def _forward(unit: ResidualUnit, x: Tensor) -> tuple[float, str]:
    """Relative error of the output, and the difference in words."""
    try:
        measured = unit.run(x)
    except RuntimeError as raised:
        return float("inf"), f"raised {_line(raised)}"
    expected = _expected(unit)(x)
    error = relative(measured, expected)
    wanted = "its shortcut's output" if unit.changes_shape else "its input"
    return error, difference_in_words("its output is", measured, expected, wanted) if error > 0 else ""


def _backward(unit: ResidualUnit, x: Tensor) -> tuple[float, str]:
    """Relative error of the gradient that reaches the unit's input, and the difference in words."""
    leaf = x.clone().requires_grad_()
    vector = noise(x.new_empty(len(x), *unit.output_shape), 1 + unit.index)
    (expected,) = torch.autograd.grad(_expected(unit)(leaf), leaf, vector)
    try:
        output = unit.run(leaf)
        (measured,) = torch.autograd.grad(output, leaf, vector, allow_unused=True) if output.requires_grad else (None,)
    except RuntimeError as raised:
        return float("inf"), f"its backward pass raised {_line(raised)}"
    if measured is None or not measured.any():
        return 1.0, "no gradient passes its shortcut (is it detached?)"
    error = relative(measured, expected)
    return error, difference_in_words("what it passes on is", measured, expected, "the gradient") if error > 0 else ""


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:160]


def difference_in_words(verb: str, measured: Tensor, expected: Tensor, name: str) -> str:
    """How ``measured`` differs from ``expected``: by a factor, channel by channel, at negative entries, at random."""
    if measured.shape != expected.shape:
        return f"{verb} of shape {tuple(measured.shape[1:])}, not {tuple(expected.shape[1:])}"
    if not torch.isfinite(measured).all():
        return f"{verb} not finite"
    if not measured.any():
        return f"{verb} zero"
    if not expected.any():
        return f"{verb} up to {float(measured.abs().max()):.3g}, where {name} is zero"
    factor = float((measured * expected).sum() / (expected * expected).sum())
    if relative(factor * expected, measured) < _CLOSE:
        return f"{verb} {_in_digits(factor)} x {name}"
    if relative(torch.relu(expected), measured) < _CLOSE:
        return f"{verb} {name} with its negative entries set to 0"
    if expected.ndim > 2 and (span := _channel_factors(measured, expected)) is not None:
        return f"{verb} {name} scaled channel by channel, by {_in_digits(span[0])} to {_in_digits(span[1])}"
    nonzero = expected != 0
    ratio = measured[nonzero] / expected[nonzero]
    low, high = float(ratio.min()), float(ratio.max())
    if low >= 0 and high <= 1:
        return f"{verb} {name} times a gate of {_in_digits(low)} to {_in_digits(high)}"
    largest, scale = float((measured - expected).abs().max()), float(expected.abs().max())
    return f"{verb} not {name}: they differ by up to {largest:.3g} where {name} goes up to {scale:.3g}"


def _in_digits(factor: float) -> str:
    """Four digits, or as many as tell the factor from 1: a shortcut that is scaled by 0.999995 is not kept by 1."""
    written = (f"{factor:.{digits}g}" for digits in range(4, 18))
    return f"{factor:.4g}" if factor == 1 else next(text for text in written if float(text) != 1)


def _channel_factors(measured: Tensor, expected: Tensor) -> tuple[float, float] | None:
    """Least and greatest factor where each channel (dimension 1) has one of its own; else None."""
    a, b = (t.transpose(0, 1).flatten(1) for t in (measured, expected))
    factors = (a * b).sum(1) / (b * b).sum(1).clamp_min(torch.finfo(b.dtype).tiny)
    if relative(factors[:, None] * b, a) >= _CLOSE:
        return None
    return float(factors.min()), float(factors.max())
